"""The ledger's database: its tables, how an earlier ledger becomes one of today, and transactions.

Migrations go forward only, in one transaction, which processes that begin at the same moment wait for.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import sqlalchemy as sa

from domains.errors import UserError
from tasks.base.settings import Settings
from tasks.models.adapt_result import PROMOTED

META = sa.MetaData()
ROWS = sa.Table(
    "adaptations",
    META,
    sa.Column("name", sa.String(64), primary_key=True),
    sa.Column("domain", sa.String(128), nullable=False, index=True),
    sa.Column("content_hash", sa.String(64), nullable=False),
    sa.Column("key", sa.String(64), nullable=False, index=True),
    sa.Column("parameters", sa.JSON, nullable=False),
    sa.Column("why", sa.Text, nullable=False),
    sa.Column("status", sa.String(16), nullable=False, index=True),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("flow_run", sa.String(64), nullable=False),
    sa.Column("version", sa.String(16), nullable=False),
    sa.Column("decision", sa.String(64), nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("opened", sa.String(40), nullable=False),
    sa.Column("changed", sa.String(40), nullable=False),
    sa.Column("serves", sa.String(16), nullable=False, server_default=""),
    sa.Column("asked", sa.Integer, nullable=False, server_default="0"),
    sa.Column("failures", sa.Integer, nullable=False, server_default="0"),
    sa.Column("crashes", sa.Integer, nullable=False, server_default="0"),
    sa.Column("batch", sa.String(32), nullable=False, server_default=""),
)
KINDS = sa.Table(
    "kinds",
    META,
    sa.Column("domain", sa.String(128), primary_key=True),
    sa.Column("content_hash", sa.String(64), primary_key=True),
    sa.Column("family", sa.String(16), nullable=False),
    sa.Column("role", sa.String(16), nullable=False),
)
#: One row: how many looks at the data began; of the newest that was written down its number, commit, place and time.
LOOKS = sa.Table(
    "looks",
    META,
    sa.Column("begun", sa.Integer, nullable=False),
    sa.Column("applied", sa.Integer, nullable=False),
    sa.Column("revision", sa.String(64), nullable=False),
    sa.Column("checkout", sa.Text, nullable=False),
    sa.Column("at", sa.String(40), nullable=False),
)
_VERSION = sa.Table("ledger_version", META, sa.Column("version", sa.Integer, nullable=False))
_MIGRATING = 0x4C454447  # Postgres's advisory lock of whoever migrates


def _know_what_serves(connection: sa.Connection) -> None:
    """From 0.10.0 on: what each decision left in service, the order of what was asked for, and how runs ended."""
    for column in ("serves", "asked", "failures", "crashes", "batch"):
        add = sa.schema.CreateColumn(ROWS.c[column])
        connection.exec_driver_sql(f"ALTER TABLE adaptations ADD COLUMN {add.compile(dialect=connection.dialect)}")
    promoted = ROWS.c.status == "done", ROWS.c.decision == PROMOTED
    connection.execute(ROWS.update().where(*promoted).values(serves=ROWS.c.version))
    names = connection.execute(sa.select(ROWS.c.name).order_by(ROWS.c.opened, ROWS.c.domain)).scalars().all()
    for number, name in enumerate(names, 1):
        connection.execute(ROWS.update().where(ROWS.c.name == name).values(asked=number))
    _begin_looks(connection)


def _begin_looks(connection: sa.Connection) -> None:
    LOOKS.create(connection, checkfirst=True)
    connection.execute(LOOKS.insert().values(begun=0, applied=0, revision="", checkout="", at=""))


#: What makes version n + 1 of version n; the first version is that of 0.10.0.
MIGRATIONS: tuple[Callable[[sa.Connection], None], ...] = (_know_what_serves,)
NEWEST = 1 + len(MIGRATIONS)


def _migrate(connection: sa.Connection, where: str) -> None:
    """Bring a ledger to the newest version, or make a new one.

    Raises:
        UserError: it is of a later version than this code knows.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_MIGRATING)))
    known = sa.inspect(connection)
    if known.has_table(_VERSION.name):
        found = int(connection.execute(sa.select(_VERSION.c.version)).scalar_one())
    elif known.has_table(ROWS.name):
        found = 1
    else:
        META.create_all(connection)
        _begin_looks(connection)
        connection.execute(_VERSION.insert().values(version=NEWEST))
        return
    if found > NEWEST:
        raise UserError(
            f"the ledger at {where} is of a newer version of Acclimate (form {found}, this one knows {NEWEST}): "
            "update this installation, or name another ledger in ACCLIMATE_LEDGER"
        )
    if found == NEWEST:
        return
    for migrate in MIGRATIONS[found - 1 :]:
        migrate(connection)
    _VERSION.create(connection, checkfirst=True)
    connection.execute(_VERSION.delete())
    connection.execute(_VERSION.insert().values(version=NEWEST))


@contextmanager
def transaction(settings: Settings) -> Iterator[sa.Connection]:
    """Yield a connection inside a transaction.

    Raises:
        UserError: the database cannot be reached, read or written, its address is not one of a database, or the ledger
            is of a later version than this code knows.
    """
    try:
        with _engine(settings).begin() as connection:
            yield connection
    except ImportError as error:
        raise UserError(
            f"the ledger at {settings.ledger_without_password} needs a driver ({error}): "
            "pip install 'acclimate[postgres]'"
        ) from error
    except (sa.exc.OperationalError, sa.exc.ArgumentError, OSError) as error:
        reason = " ".join(str(getattr(error, "orig", error)).split())
        raise UserError(
            f"the ledger at {settings.ledger_without_password} cannot be used: {reason}; then run again"
        ) from error


def _engine(settings: Settings) -> sa.Engine:
    if settings.ledger_uri.startswith("sqlite:///"):
        settings.home_path.mkdir(parents=True, exist_ok=True)
    return _connect(settings.ledger_uri, settings.ledger_without_password)


@cache
def _connect(uri: str, where: str) -> sa.Engine:
    if uri.startswith("sqlite:"):
        engine = sa.create_engine(uri, connect_args={"timeout": 60})

        @sa.event.listens_for(engine, "connect")
        def prepare(connection: Any, _: Any) -> None:
            connection.isolation_level = None  # the driver begins no transaction by itself: we say which
            connection.execute("PRAGMA journal_mode = WAL")

        @sa.event.listens_for(engine, "begin")
        def begin(connection: sa.Connection) -> None:
            connection.exec_driver_sql("BEGIN IMMEDIATE")  # two that add the same row take turns
    else:
        engine = sa.create_engine(uri, pool_pre_ping=True)
    with engine.begin() as connection:
        _migrate(connection, where)
    return engine
