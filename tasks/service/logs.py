"""Logs of server and worker, which grow by the day: what is beyond a size moves to a second file."""

import fcntl
import shutil
from pathlib import Path

LARGEST = 20_000_000  # bytes


def rotate(log: Path, largest: int = LARGEST) -> int:
    """Move a log that has grown too large to ``….1``, in place of the one before; return the bytes that this frees.

    Processes that append to it go on doing so: the file stays the same one, and is emptied.
    """
    try:
        with log.open("r+b") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX)  # two that rotate take turns; the second finds it short
            if stream.seek(0, 2) <= largest:
                return 0
            old = log.with_name(f"{log.name}.1")
            freed = old.stat().st_size if old.exists() else 0
            stream.seek(0)
            with old.open("wb") as copy:
                shutil.copyfileobj(stream, copy)
            stream.truncate(0)
            return freed
    except FileNotFoundError:
        return 0


def rotate_all(folder: Path) -> int:
    """Rotate the logs of server and worker; return the bytes that this frees."""
    return sum(rotate(folder / f"{name}.log") for name in ("server", "worker", "warm"))
