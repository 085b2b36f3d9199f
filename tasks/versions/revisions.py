"""What a git revision names: its ``data.dvc``, and the form of the list of files that it points to."""

import hashlib
import json
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import yaml

from domains.domain import is_name
from domains.errors import UserError
from tasks.versions.dvc_names import check_files, is_file_hash, is_folder_hash
from tasks.versions.git import git

#: The files under ``data/`` at a revision: path relative to ``data/``, md5.
Listing = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class DataRevision:
    """A git commit and what its ``data.dvc`` names.

    Attributes:
        commit: full hash of the commit.
        data_hash: DVC's hash of ``data/`` (``….dir``), which fixes every byte of it.
    """

    commit: str
    data_hash: str


def data_revision(root: Path, revision: str = "HEAD") -> DataRevision:
    """Resolve a git revision and read its ``data.dvc``.

    Raises:
        UserError: ``root`` is no git checkout, the revision is unknown, or it has no readable ``data.dvc``.
    """
    if not revision or revision.startswith("-") or "\0" in revision:
        raise UserError(f"{revision!r} is not a git revision: give a commit, a branch or a tag")
    found = git(root, "rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}")
    if found.returncode:
        check_checkout(root)
        if revision == "HEAD":
            raise UserError(f"{root} has no commit yet: acclimate init makes it a project")
        raise UserError(f"unknown git revision {revision!r}: give a commit, branch or tag that `git log` knows")
    commit = found.stdout.strip()
    text = git(root, "show", f"{commit}:./data.dvc")
    if text.returncode:
        raise UserError(
            f"revision {revision} ({commit[:12]}) has no data.dvc: choose one that does; "
            "acclimate init makes a folder a project"
        )
    return DataRevision(commit, parse_pointer(text.stdout, f"data.dvc at {revision}"))


def short_commit(root: Path, revision: str) -> str:
    """Return the first seven digits of the commit that a revision names; what is given, where it names none."""
    try:
        return data_revision(root, revision).commit[:7]
    except UserError:
        return revision


def check_checkout(root: Path) -> None:
    """Raise UserError if ``root`` is not inside a git checkout."""
    found = git(root, "rev-parse", "--git-dir")
    if found.returncode:
        raise UserError(
            f"{root} is not a git checkout ({found.stderr.strip()}): "
            "acclimate init makes it a project; or get the project with git clone, or set ACCLIMATE_ROOT to one"
        )


def parse_pointer(text: str, where: str) -> str:
    """Return the hash of ``data/`` that the text of a ``data.dvc`` names, or raise UserError."""
    try:
        (out,) = yaml.safe_load(text)["outs"]
        if out["path"] == "data" and out["hash"] == "md5" and is_folder_hash(out["md5"]):
            return str(out["md5"])
    except (yaml.YAMLError, LookupError, TypeError, ValueError, AttributeError, RecursionError):
        pass
    raise UserError(f"{where} does not name the folder data/ by md5: make it again by dvc add data")


def parse_listing(content: bytes) -> Listing:
    """Return what one of DVC's ``.dir`` objects lists, sorted.

    Raises:
        UserError: it is no such list; an md5 is none; a path is not one of a file in ``data/`` (``check_files``).
    """
    try:
        entries = json.loads(content)
        listing = [(entry["relpath"], entry["md5"]) for entry in entries]
        form = isinstance(entries, list) and all(isinstance(path, str) and is_file_hash(md5) for path, md5 in listing)
    except (ValueError, LookupError, TypeError, RecursionError):
        form = False
    if not form:
        raise UserError(
            "the list of files that data.dvc points to is not one of DVC's (entries of md5 and relpath): "
            "do not use this revision"
        )
    check_files((path for path, _ in listing), "data.dvc", "do not use this revision")
    return tuple(sorted(listing))


def domain_files(listing: Listing) -> dict[str, Listing]:
    """Return the files of every domain, relative to its folder: that has a ``domain.yaml`` and a domain's name."""
    folders = {
        name: tuple((path.removeprefix(f"{name}/"), md5) for path, md5 in files)
        for name, files in groupby(listing, lambda file: file[0].split("/")[0])
    }
    return {name: files for name, files in folders.items() if "domain.yaml" in dict(files) and is_name(name)}


def content_hash(files: Listing) -> str:
    """Return the sha256 over the sorted paths and md5s of a domain's files."""
    return hashlib.sha256(json.dumps(sorted(files)).encode()).hexdigest()


def changed_names(a: Listing, b: Listing) -> tuple[str, ...]:
    """Return the names directly under ``data/`` below which two listings differ, sorted."""
    return tuple(sorted({path.split("/")[0] for path, _ in set(a) ^ set(b)}))
