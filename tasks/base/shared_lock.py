"""Locks of what is done once: by a file on this machine, by the ledger's database on all, where that is Postgres.

Either is freed when its holder ends, however it does: the kernel frees the file, and Postgres the advisory lock of a
connection that is gone. Of a machine that is lost it hears after a minute of silence.
"""

import hashlib
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from domains.errors import UserError
from tasks.base.settings import Settings

POLL = 0.5  # seconds between two looks at whether another machine is done
KEEPALIVE = {"tcp_keepalives_idle": 30, "tcp_keepalives_interval": 10, "tcp_keepalives_count": 3}


@contextmanager
def shared_lock(
    settings: Settings, name: str, waiting: Callable[[], object] = lambda: None, seconds: float | None = None
) -> Iterator[None]:
    """Hold the lock of this name, on this machine and, where the ledger is in Postgres, on all that share it.

    Args:
        name: a file name.
        waiting: called once where another holds it.
        seconds: how long to wait; None: until it is free.

    Raises:
        TimeoutError: another still holds it.
        UserError: the ledger's database cannot be reached.
    """
    from filelock import FileLock, Timeout

    folder = settings.home_path / "locks"
    folder.mkdir(parents=True, exist_ok=True)
    deadline = None if seconds is None else time.monotonic() + seconds
    lock = FileLock(folder / f"{name}.lock")
    try:
        held = lock.acquire(timeout=1 if seconds is None else min(1, seconds))
    except Timeout:
        waiting()
        try:
            held = lock.acquire(timeout=-1 if deadline is None else max(0, deadline - time.monotonic()))
        except Timeout as error:
            raise TimeoutError from error
    with held:
        if not settings.ledger_uri.startswith("postgresql"):
            yield
            return
        with _advisory_lock(settings, name, waiting, deadline):
            yield


@contextmanager
def _advisory_lock(
    settings: Settings, name: str, waiting: Callable[[], object], deadline: float | None
) -> Iterator[None]:
    """Hold Postgres's advisory lock of a name by a connection of its own."""
    import sqlalchemy as sa

    number = int.from_bytes(hashlib.sha256(f"acclimate {name}".encode()).digest()[:8], "big", signed=True)
    engine = sa.create_engine(settings.ledger_uri, poolclass=sa.NullPool, isolation_level="AUTOCOMMIT")
    try:
        connection = engine.connect()
        for setting, value in KEEPALIVE.items():
            connection.exec_driver_sql(f"SET {setting} = {value}")
    except (sa.exc.DBAPIError, ImportError) as error:
        reason = " ".join(str(getattr(error, "orig", error)).split())
        raise UserError(
            f"the ledger at {settings.ledger_without_password}, which holds locks between machines, cannot be used: "
            f"{reason}; then run again"
        ) from error
    try:
        _wait(connection, number, waiting, deadline)
        yield
    finally:
        with suppress(sa.exc.DBAPIError):  # a connection that broke holds nothing any more
            connection.close()


def _wait(connection: Any, number: int, waiting: Callable[[], object], deadline: float | None) -> None:
    import sqlalchemy as sa

    told = False
    while not connection.execute(sa.select(sa.func.pg_try_advisory_lock(number))).scalar_one():
        if not told:
            waiting()
            told = True
        if deadline is not None and time.monotonic() > deadline:
            raise TimeoutError
        time.sleep(POLL)
