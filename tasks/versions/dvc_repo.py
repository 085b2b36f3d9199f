"""DVC as a library: imported late, as that is slow, locked patiently, and its complaints turned into UserErrors."""

import logging
import random
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from domains.errors import UserError

LOCK_SECONDS = 30  # how long another command that holds a lock is waited for


@contextmanager
def dvc(root: Path) -> Iterator[Any]:
    """Open the DVC repository; errors of DVC or the disk become UserErrors."""
    streams = sys.stdout, sys.stderr
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    sys.stdout, sys.stderr = streams  # the first import wraps both in colorama
    try:
        with Repo(str(root)) as repo:
            yield repo
    except DvcException as error:
        raise UserError(f"DVC cannot read the data of {root}: {error}") from error
    except OSError as error:
        raise UserError(f"DVC cannot keep the data of {root}: {error}; free some space or change the rights") from error


@contextmanager
def dvc_lock(repo: Any) -> Iterator[None]:
    """Hold DVC's lock; wait for another holder at uneven steps, so that two that wait do not collide each time."""
    from dvc.lock import LockError

    deadline = time.monotonic() + LOCK_SECONDS
    while True:
        try:
            repo.lock.lock()
            break
        except LockError:
            if time.monotonic() > deadline:
                raise UserError(
                    f"another DVC command has held the lock of {repo.root_dir} for {LOCK_SECONDS} s: "
                    "let it end, then try again"
                ) from None
            pause()
    try:
        yield
    finally:
        repo.lock.unlock()


def pause() -> None:
    """Sleep a moment of uneven length before a lock is tried again."""
    time.sleep(random.uniform(0.1, 0.5))


@contextmanager
def collect_complaints() -> Iterator[list[str]]:
    """Collect why single files failed, which DVC only logs, with tracebacks; the terminal shows nothing of it."""
    reasons: list[str] = []

    class Collect(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            fault = record.exc_info[1] if record.exc_info else None
            reasons.append(str(fault or record.getMessage()))

    loggers = [logging.getLogger(name) for name in ("dvc", "dvc_data", "dvc_objects")]
    before = [(one, one.handlers, one.propagate) for one in loggers]
    for one in loggers:
        one.handlers, one.propagate = [Collect(logging.WARNING)], False
    try:
        yield reasons
    finally:
        for one, handlers, propagate in before:
            one.handlers, one.propagate = handlers, propagate
