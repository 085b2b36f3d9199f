"""Equal work is done once: runs that want the same take turns, and those that waited find it done."""

from collections.abc import Iterator
from contextlib import contextmanager

from filelock import FileLock, Timeout

from tasks.base.progress import say
from tasks.base.settings import settings


@contextmanager
def one_at_a_time(key: str) -> Iterator[None]:
    """Hold the lock of a piece of work on this machine; it dies with its process."""
    folder = settings().home_path / "locks"
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / f"{key}.lock")
    try:
        held = lock.acquire(timeout=1)
    except Timeout:
        say("another run does the same work; waiting for it")
        held = lock.acquire()
    with held:
        yield
