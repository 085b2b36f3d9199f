"""What ``data/`` holds now: hashed by DVC and copied into its cache. Files that did not change are not read again."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock

from domains.errors import UserError
from tasks.versions.dvc_names import check_files
from tasks.versions.dvc_repo import collect_complaints
from tasks.versions.revisions import Listing


@dataclass(frozen=True)
class Folder:
    """``data/`` as DVC hashed it.

    Attributes:
        data_hash: what a ``data.dvc`` would name (``….dir``).
        size, nfiles: bytes and files in it.
        files: the files, sorted.
        staged: DVC's own objects, for :func:`keep_in_cache`.
    """

    data_hash: str
    size: int
    nfiles: int
    files: Listing
    staged: Any


def writers_lock(home: Path) -> FileLock:
    """Return the lock that every writer of ``data/`` holds, so that no domain is read while it is swapped."""
    home.mkdir(parents=True, exist_ok=True)
    return FileLock(home / "build.lock")


def read_folder(repo: Any, advance: Callable[[int], None] | None = None) -> Folder:
    """Hash what is new or changed in ``data/``; ``advance`` hears how many files are done.

    Raises:
        UserError: a file has a name that no reader of the version would accept (``check_files``).
    """
    from dvc_data.hashfile.build import build

    path, cache = os.path.join(repo.root_dir, "data"), repo.cache.local
    staging, meta, tree = build(cache, path, repo.fs, "md5", ignore=repo.dvcignore, callback=dvc_callback(advance))
    files = tuple(sorted(("/".join(key), info.value) for key, _, info in tree))
    check_files((path for path, _ in files), "data/", "rename it")
    return Folder(tree.hash_info.value, meta.size, meta.nfiles, files, (staging, tree.hash_info))


def keep_in_cache(repo: Any, folder: Folder, advance: Callable[[int], None] | None = None) -> None:
    """Copy what DVC's cache lacks into it, each file checked after the copy.

    Raises:
        UserError: the cache cannot be written, or a file was changed after it was hashed.
    """
    from dvc_data.hashfile.transfer import transfer

    cache, (staging, tree) = repo.cache.local, folder.staged
    with collect_complaints() as reasons:
        done = transfer(staging, cache, {tree}, verify=True, shallow=False, callback=dvc_callback(advance))
    if done.failed:
        reason = f" ({reasons[0]})" if reasons else ""
        raise UserError(f"cannot copy data/ into DVC's cache {cache.path}{reason}: free some space")
    # DVC drops a copy without a word whose bytes are not those that it hashed.
    lost = [path for path, md5 in folder.files if not os.path.exists(cache.oid_to_path(md5))]
    if lost:
        raise UserError(f"data/{lost[0]} was changed while it was read: let the other program end, then try again")


def dvc_callback(advance: Callable[[int], None] | None) -> Any:
    """Return a callback for DVC by which ``advance`` hears of every file that is done."""
    from fsspec.callbacks import DEFAULT_CALLBACK, Callback

    if advance is None:
        return DEFAULT_CALLBACK

    class Counting(Callback):
        def relative_update(self, inc: int = 1) -> None:
            advance(inc)

    return Counting()
