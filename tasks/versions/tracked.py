"""Any file or folder that DVC keeps, as it is at a git revision: not only ``data/``."""

import os
from pathlib import Path, PurePosixPath

import yaml

from domains.errors import UserError
from tasks.versions.cache import object_paths
from tasks.versions.dvc_names import check_files, is_file_hash, is_folder_hash
from tasks.versions.git import git
from tasks.versions.revisions import DataRevision, Listing, content_hash, data_revision, parse_listing
from tasks.versions.snapshots import materialise


def tracked_path(root: Path, home: Path, path: str, revision: str) -> Path:
    """Return a file or folder as it is at a revision, from ``home/inputs/``, which is filled when needed.

    Bytes come from DVC's cache or remote and are checked against their hashes.

    Args:
        path: relative to the project, ``/`` between its parts. It, or a folder that it lies in, has a ``.dvc`` file.

    Raises:
        UserError: no such revision, or DVC keeps no such file there; its bytes are neither in the cache nor sound at
            the remote; the disk is full.
    """
    check_files([path], "what is asked for", "choose another path")
    at = data_revision(root, revision)
    files = files_at(root, at, path)
    target = home / "inputs" / content_hash(files)[:16]
    try:
        os.utime(target)  # it is in use: `acclimate clean` leaves it
    except FileNotFoundError:
        materialise(files, object_paths(root, at, {md5 for _, md5 in files}), target)
    return target / PurePosixPath(path).name


def files_at(root: Path, at: DataRevision, path: str) -> Listing:
    """Return a file, or the files of a folder, that DVC keeps at a commit: paths that begin with its name, and md5s.

    Raises:
        UserError: there is none.
    """
    asked = PurePosixPath(path)
    for tracked in (asked, *asked.parents[:-1]):
        text = git(root, "show", f"{at.commit}:./{tracked}.dvc")
        if text.returncode:
            continue
        kept = parse_out(text.stdout, tracked, f"{tracked}.dvc at {at.commit[:12]}")
        if is_file_hash(kept):
            found: Listing = ((asked.name, kept),) if tracked == asked else ()
        else:
            listed = parse_listing(object_paths(root, at, {kept})[kept].read_bytes())
            inside = asked.relative_to(tracked).as_posix()
            found = tuple(
                (f"{asked.name}{name[len(inside) :] if inside != '.' else f'/{name}'}", md5)
                for name, md5 in listed
                if inside == "." or name == inside or name.startswith(f"{inside}/")
            )
        if found:
            return found
        break
    raise UserError(
        f"DVC keeps no {path} at revision {at.commit[:12]}: `dvc add` it and commit, or leave out the revision"
    )


def parse_out(text: str, tracked: PurePosixPath, where: str) -> str:
    """Return the hash that a ``.dvc`` file names for what lies beside it.

    Raises:
        UserError: it names something else, or no md5.
    """
    try:
        (out,) = yaml.safe_load(text)["outs"]
        if out["path"] == tracked.name and out["hash"] == "md5":
            found = out["md5"]
            if is_file_hash(found) or is_folder_hash(found):
                return str(found)
    except (yaml.YAMLError, LookupError, TypeError, ValueError, AttributeError, RecursionError):
        pass
    raise UserError(f"{where} does not name {tracked} by md5: make it again by dvc add {tracked}")
