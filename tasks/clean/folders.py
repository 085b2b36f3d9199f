"""What in the home's folders nobody needs: caches not asked for in a while, and what dead processes left behind."""

import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from tasks.base.settings import Settings
from tasks.clean.freed import Freed, newest, remove
from tasks.features.tuned import NAME as TUNED
from tasks.models.registry import COPIES
from tasks.watch import run_locks

DAY = 86400
#: How the names of files and folders begin that are being made, or deleted; those of a killed process stay.
HALF = (".", "tmp")
HELD = (Timeout, RuntimeError)  # what taking a lock raises: others hold it; we do ourselves
FILLED = (
    "domains",
    "encoders",
    "checkpoints",
    "downloads",
    "class-means",
    "inputs",
    COPIES,
)  # folders that such are made in


@dataclass(frozen=True)
class Needed:
    """What is kept however old it is.

    Attributes:
        domains: name and content hash of domains: of the data in use, of versions that are kept, of open rows.
        encoders: identities that versions which are kept read.
    """

    domains: frozenset[tuple[str, str]]
    encoders: frozenset[str]


def prune_folders(settings: Settings, needed: Needed, before: float, dry_run: bool) -> list[Freed]:
    """Delete what nobody asked for since ``before``, a Unix time; of killed processes, what is a day old."""
    home, yesterday = settings.home_path, time.time() - DAY
    snapshots = {f"{name}-{digest[:16]}" for name, digest in needed.domains}
    hashes = {digest for _, digest in needed.domains}
    kinds = {
        "snapshots": [f for f in _old(home / "domains", before) if f.name not in snapshots],
        "tuned encoders": [
            f
            for part in ("encoders", "features")
            for f in _old(home / part, before)
            if TUNED.fullmatch(f.name) and f.name not in needed.encoders and newest(f) < before
        ],
        "class means": [f for part in _in(home / "class-means") for f in _old(part, before) if f.stem not in hashes],
        "checkpoints": [f for f in _old(home / "checkpoints", before) if newest(f) < before],
        "inputs of predictions": list(_old(home / "inputs", before)),
        "copies of models": list(_old(home / COPIES, before)),
        "work of dead processes": [
            f for f in _old(home / "work", yesterday) if newest(f) < yesterday and not _is_held(home, f.name)
        ],
        "half-written files": [f for part in FILLED for f in _half_written(home / part, yesterday)],
        "marks of ended runs": [
            home / "runs" / name for name in run_locks.ended_runs(settings) if _is_old(home / "runs" / name, yesterday)
        ],
    }
    return [remove(kind, paths, dry_run) for kind, paths in kinds.items()] + [_prune_locks(home, before, dry_run)]


def _in(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.is_dir() else []


def _old(folder: Path, before: float) -> Iterator[Path]:
    """Yield what is whole in a folder and was not touched since then."""
    return (path for path in _in(folder) if not path.name.startswith(HALF) and _is_old(path, before))


def _half_written(folder: Path, before: float) -> Iterator[Path]:
    return (path for path in _in(folder) if path.name.startswith(HALF) and newest(path) < before)


def _is_old(path: Path, before: float) -> bool:
    with suppress(OSError):
        return path.lstat().st_mtime < before
    return False


def _is_held(home: Path, key: str) -> bool:
    """Whether a run that does this work holds its lock."""
    lock = home / "locks" / f"{key}.lock"
    if not lock.exists():
        return False
    try:
        with FileLock(lock, timeout=0):
            return False
    except HELD:
        return True


def _prune_locks(home: Path, before: float, dry_run: bool) -> Freed:
    """Delete lock files that nobody holds, each while we hold it: who waits for it then makes a new one."""
    items = 0
    for path in (*_in(home / "locks"), *home.glob("*.lock")):
        if path.suffix != ".lock" or not _is_old(path, before):
            continue
        with suppress(OSError, *HELD), FileLock(path, timeout=0):
            items += 1
            if not dry_run:
                path.unlink(missing_ok=True)
    return Freed("locks", items)
