"""Processes of ours, each recorded in a file that it holds locked while it lives.

A file lock says whether a process lives, never its id alone: the kernel frees the lock however the process ends. So a
recycled id is never trusted, and a killed command leaves nothing to clear up.
"""

import fcntl
import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from domains.errors import UserError
from tasks.base.settings import Settings

STOP_SECONDS = 15


def state_folder(settings: Settings) -> Path:
    """Return the folder of the server, the worker and their records and logs, made where it is absent.

    Raises:
        UserError: it cannot be made.
    """
    folder = settings.home_path / "prefect"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot write {folder}: {error.strerror}; change the rights or set ACCLIMATE_HOME") from error
    return folder


def spawn(
    record: Path, command: list[str], environment: Mapping[str, str], log: Path, url: str = ""
) -> subprocess.Popen[bytes]:
    """Start a process that holds its record locked while it lives, out of reach of the terminal's Ctrl-C."""
    record.unlink(missing_ok=True)
    with record.open("x") as lock, log.open("ab") as output:
        fcntl.flock(lock, fcntl.LOCK_EX)
        process = subprocess.Popen(
            command,
            cwd=record.parent,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            pass_fds=[lock.fileno()],
        )
        json.dump({"pid": process.pid, "url": url}, lock)
    return process


def live_record(record: Path) -> dict[str, Any] | None:
    """Return what is recorded of a process that still holds its record locked, else None."""
    try:
        with record.open() as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return json.load(lock)
    except (FileNotFoundError, json.JSONDecodeError):
        pass
    return None


def stop(record: Path) -> None:
    """End a recorded process, if it lives, by SIGTERM, or by SIGKILL where that does not help."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        if not (found := live_record(record)):
            break
        with suppress(ProcessLookupError):
            os.kill(found["pid"], number)
        deadline = time.monotonic() + STOP_SECONDS
        while live_record(record) and time.monotonic() < deadline:
            time.sleep(0.02)
    record.unlink(missing_ok=True)


@contextmanager
def file_lock(path: Path) -> Iterator[None]:
    """Hold a file locked for the length of the block; wait for another holder."""
    with path.open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def try_exclusive(lock: IO[str]) -> bool:
    """Make a lock exclusive; return whether that was possible, that is, whether nobody else holds it."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def last_line(log: Path) -> str:
    """Return the last line of a log that is not blank."""
    lines = log.read_text("utf-8", "replace").split("\n") if log.exists() else []
    return next((line.strip() for line in reversed(lines) if line.strip()), "it said nothing")
