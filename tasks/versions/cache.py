"""Objects of DVC's cache, each checked against its name, and pulled from the remote where absent or damaged."""

import hashlib
import os
import stat
from collections.abc import Iterable
from pathlib import Path

from domains.errors import UnreachableError, UserError
from tasks.versions.dvc_names import check_object
from tasks.versions.dvc_repo import dvc
from tasks.versions.remote import pull
from tasks.versions.revisions import DataRevision, Listing, parse_listing


def listing_at(root: Path, at: DataRevision) -> Listing:
    """Return the files of a revision.

    Raises:
        UserError: their list is neither in the cache nor at the remote.
    """
    return parse_listing(object_paths(root, at, {at.data_hash})[at.data_hash].read_bytes())


def object_paths(root: Path, at: DataRevision, hashes: Iterable[str]) -> dict[str, Path]:
    """Return where the cache keeps objects of a revision, each of them sound.

    Where all are in the cache's usual place, DVC is not even imported (0.4 s).

    Raises:
        UserError: a hash is none; some objects are neither in the cache nor sound at the remote, or its answer took
            longer than ``ACCLIMATE_TRANSFER_LIMIT``; an UnreachableError where there is a remote.
    """
    paths = {name: usual_path(root, name) for name in hashes}  # which checks the names
    if all(is_sound(path, name) for name, path in paths.items()):
        return paths
    fault, has_remote = "", False
    with dvc(root) as repo:
        cache = repo.cache.local
        paths = {name: Path(cache.oid_to_path(name)) for name in paths}
        wanted = [name for name, path in paths.items() if not is_sound(path, name)]
        for name in wanted:  # DVC trusts a read-only object as it is, so a damaged one would never be repaired
            paths[name].unlink(missing_ok=True)
        has_remote = bool(repo.config["core"].get("remote"))
        if wanted and has_remote:
            fault = pull(repo, wanted).fault
            wanted = [name for name in wanted if not is_sound(paths[name], name)]
    if wanted:
        reason = f" ({' '.join(fault.split())})" if fault else ""
        raise (UnreachableError if has_remote else UserError)(
            f"data of revision {at.commit[:12]} is neither in DVC's cache nor sound at its remote{reason}: "
            "check out that revision and run acclimate data build, or give DVC a remote that has them"
        )
    return paths


def usual_path(root: Path, name: str) -> Path:
    """Return where DVC keeps an object unless it was told to keep its cache elsewhere.

    Raises:
        UserError: the name is not one of an object.
    """
    check_object(name)
    return root / ".dvc/cache/files/md5" / name[:2] / name[2:]


def is_sound(path: Path, name: str) -> bool:
    """Whether a regular file is there and its bytes are those that its name says."""
    try:
        with open(path, "rb", opener=_open_at_once) as stream:
            if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):  # a device may have no end
                return False
            return hashlib.file_digest(stream, "md5").hexdigest() == name.removesuffix(".dir")
    except OSError:
        return False


def _open_at_once(path: str, flags: int) -> int:
    """Open a file, and do not wait for a writer where it is a pipe."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))
