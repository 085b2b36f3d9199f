"""File locks of flow runs, which the kernel frees however a process ends.

Each run holds one while it lives, so that others know whether it does; and one for the work that it does, so that equal
work is done once, by whichever machine (``tasks/base/shared_lock.py``).
"""

import fcntl
import socket
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any
from uuid import UUID

from tasks.base.progress import say
from tasks.base.settings import Settings, settings
from tasks.base.shared_lock import shared_lock

_held: dict[str, IO[str]] = {}


def mark(flow: Any, flow_run: Any, state: Any) -> None:
    """Hold the run's file locked while this process lives; the hook ``on_running`` of every flow."""
    name = str(flow_run.id)
    if name not in _held:
        folder = _folder(settings())
        folder.mkdir(parents=True, exist_ok=True)
        making = folder / f".{name}"
        file = making.open("a")
        fcntl.flock(file, fcntl.LOCK_EX)
        file.write(socket.gethostname())
        file.flush()
        making.rename(folder / name)  # so that it is never seen without its lock
        _held[name] = file


def is_alive(settings: Settings, run: UUID | str) -> bool | None:
    """Return whether the process of a flow run lives; None: it never ran on this machine.

    A home can be shared; what a file system tells of the locks of other machines is not relied on.
    """
    try:
        with (_folder(settings) / str(run)).open() as file:
            if file.read() not in ("", socket.gethostname()):  # empty: of an earlier version
                return None
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            return False
    except FileNotFoundError:
        return None
    except BlockingIOError:
        return True


def ended_runs(settings: Settings) -> list[str]:
    """Return the flow runs of this machine whose process is gone."""
    return [path.name for path in _folder(settings).glob("[!.]*") if is_alive(settings, path.name) is False]


def forget(settings: Settings, runs: Iterable[str]) -> None:
    """Delete the files of runs that ended, once others know that they did."""
    for run in runs:
        (_folder(settings) / run).unlink(missing_ok=True)


@contextmanager
def one_at_a_time(key: str) -> Iterator[None]:
    """Hold the lock of a piece of work, so that a run that waited for it finds the work done."""
    with shared_lock(settings(), key, lambda: say("another run does the same work; waiting for it")):
        yield


def _folder(settings: Settings) -> Path:
    return settings.home_path / "runs"
