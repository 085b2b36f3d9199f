"""Which flow runs still have their process: each holds a file locked while it lives, and the kernel frees it."""

import fcntl
from collections.abc import Iterable
from pathlib import Path
from typing import IO, Any
from uuid import UUID

from tasks.base.settings import Settings, settings

_held: dict[str, IO[str]] = {}


def mark(flow: Any, flow_run: Any, state: Any) -> None:
    """Hook ``on_running`` of every flow: hold the run's file locked for as long as this process lives."""
    name = str(flow_run.id)
    if name not in _held:
        folder = _folder(settings())
        folder.mkdir(parents=True, exist_ok=True)
        making = folder / f".{name}"
        file = making.open("a")
        fcntl.flock(file, fcntl.LOCK_EX)
        making.rename(folder / name)  # so that it is never seen without its lock
        _held[name] = file


def lives(settings: Settings, run: UUID | str) -> bool | None:
    """Return whether the process of a flow run lives; None: it never ran on this machine."""
    try:
        with (_folder(settings) / str(run)).open() as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            return False
    except FileNotFoundError:
        return None
    except BlockingIOError:
        return True


def ended(settings: Settings) -> list[str]:
    """Return the runs of this machine whose process is gone."""
    return [path.name for path in _folder(settings).glob("[!.]*") if not lives(settings, path.name)]


def forget(settings: Settings, runs: Iterable[str]) -> None:
    """Delete the files of runs that ended; call it when they have been seen to."""
    for run in runs:
        (_folder(settings) / run).unlink(missing_ok=True)


def _folder(settings: Settings) -> Path:
    return settings.home_path / "runs"
