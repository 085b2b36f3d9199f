"""The ledger: a row for each version of a domain that has to be adapted to, kept open until that is done.

Events can be lost or doubled and workers can die; a row cannot. A row stays open until the flow ``adapt`` came to its
end for the row's key, however often that has to be started.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import Any, Literal

import sqlalchemy as sa

from domains.errors import UserError
from tasks.base.settings import Settings

Status = Literal["open", "done", "failed", "overtaken"]

_meta = sa.MetaData()
_rows = sa.Table(
    "adaptations",
    _meta,
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
)
_kinds = sa.Table(
    "kinds",
    _meta,
    sa.Column("domain", sa.String(128), primary_key=True),
    sa.Column("content_hash", sa.String(64), primary_key=True),
    sa.Column("family", sa.String(16), nullable=False),
    sa.Column("role", sa.String(16), nullable=False),
)


@dataclass(frozen=True)
class LedgerRow:
    """A version of a domain to adapt to.

    Attributes:
        name: what makes it one: the same name is never opened twice.
        domain, content_hash: the domain's name and the hash of its bytes.
        key: of the adaptation (``tasks.adapt.adaptation.adaptation_key``), by which the registry finds what was made.
        parameters: of the flow ``adapt``.
        why: what made it necessary, for people.
        status: ``open`` until the adaptation has been judged, has failed for good, or another version is wanted.
        attempts: flow runs that were created for it.
        flow_run: the last of them; empty before the first.
        version, decision, reason: what came of it, or why it failed.
        opened, changed: UTC times in ISO format.
    """

    name: str
    domain: str
    content_hash: str
    key: str
    parameters: dict[str, Any]
    why: str
    status: Status = "open"
    attempts: int = 0
    flow_run: str = ""
    version: str = ""
    decision: str = ""
    reason: str = ""
    opened: str = ""
    changed: str = ""


def row_name(*parts: str) -> str:
    """Return the name of the row that these words fix."""
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:32]


def families_and_roles(
    settings: Settings, hashes: Mapping[str, str], find: Callable[[str], tuple[str, str] | None]
) -> dict[str, tuple[str, str]]:
    """Return family and role of domains; ``find`` is asked about each until it knows, once for the same bytes."""
    with _transaction(settings) as connection:
        known = {(d, h): (family, role) for d, h, family, role in connection.execute(sa.select(_kinds))}
    looked_for = {name: find(name) for name, digest in hashes.items() if (name, digest) not in known}
    new = {name: kind for name, kind in looked_for.items() if kind is not None}
    if new:
        with _transaction(settings) as connection:
            for name, (family, role) in new.items():
                there = _kinds.delete().where(_kinds.c.domain == name, _kinds.c.content_hash == hashes[name])
                connection.execute(there)
                values = {"domain": name, "content_hash": hashes[name], "family": family, "role": role}
                connection.execute(_kinds.insert().values(values))
    return new | {name: known[name, digest] for name, digest in hashes.items() if (name, digest) in known}


def add_rows(settings: Settings, rows: Iterable[LedgerRow]) -> list[LedgerRow]:
    """Add rows, each once, and return those that are new; one that was overtaken is wanted again, and opened again."""
    added = []
    with _transaction(settings) as connection:
        for row in rows:
            now = _now()
            values = vars(row) | {"opened": row.opened or now, "changed": now}
            there = _rows.c.name == row.name
            before = connection.execute(sa.select(_rows).where(there)).mappings().first()
            if before is None:
                connection.execute(_rows.insert().values(values))
            elif before["status"] == "overtaken":
                values["attempts"] = before["attempts"]  # so that the next is another run
                connection.execute(_rows.update().where(there).values(values))
            else:
                continue
            added.append(LedgerRow(**values))
    return added


def known_names(settings: Settings, names: Sequence[str]) -> set[str]:
    """Return those of the names that have a row and were not overtaken."""
    with _transaction(settings) as connection:
        query = sa.select(_rows.c.name).where(_rows.c.status != "overtaken")
        every = set(connection.execute(query).scalars())
    return every & set(names)


def list_rows(settings: Settings, status: Status | None = None) -> list[LedgerRow]:
    """Return rows, oldest first."""
    query = sa.select(_rows).order_by(_rows.c.opened, _rows.c.domain)
    if status is not None:
        query = query.where(_rows.c.status == status)
    with _transaction(settings) as connection:
        return [LedgerRow(**found) for found in connection.execute(query).mappings()]


def record_run(settings: Settings, attempts: Mapping[str, int], flow_run: str) -> None:
    """Record the flow run that is to do these rows, and how many were created for each by now."""
    with _transaction(settings) as connection:
        for name, count in attempts.items():
            values = {"flow_run": flow_run, "attempts": count, "changed": _now()}
            connection.execute(_rows.update().where(_rows.c.name == name).values(values))


def note_waiting(settings: Settings, key: str, version: str, decision: str, reason: str, flow_run: str = "") -> None:
    """Note on the open rows that asked for an adaptation that a person has to decide, and the run that asks."""
    values = {"version": version, "decision": decision, "reason": reason, "changed": _now()}
    if flow_run:
        values["flow_run"] = flow_run
    with _transaction(settings) as connection:
        connection.execute(_rows.update().where(_rows.c.key == key, _rows.c.status == "open").values(values))


def close_rows(settings: Settings, key: str, version: str, decision: str, reason: str) -> int:
    """Close the rows that asked for an adaptation, and return how many; rows that are done stay as they are."""
    values = {"status": "done", "version": version, "decision": decision, "reason": reason, "changed": _now()}
    with _transaction(settings) as connection:
        found = connection.execute(_rows.update().where(_rows.c.key == key, _rows.c.status != "done").values(values))
        return int(found.rowcount)


def give_up(settings: Settings, name: str, reason: str, status: Status = "failed") -> None:
    """Close an open row that cannot be done, or whose place another took (``overtaken``)."""
    with _transaction(settings) as connection:
        values = {"status": status, "reason": reason, "changed": _now()}
        connection.execute(_rows.update().where(_rows.c.name == name, _rows.c.status == "open").values(values))


def display_row(row: LedgerRow) -> dict[str, str]:
    """Return a row as people read it."""
    return {
        "domain": row.domain,
        "data": row.content_hash[:12],
        "why": row.why,
        "status": row.status,
        "runs": str(row.attempts),
        "version": row.version,
        "decision": row.decision,
        "reason": row.reason,
        "opened": row.opened[:19].replace("T", " "),
    }


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="microseconds")


@contextmanager
def _transaction(settings: Settings) -> Iterator[sa.Connection]:
    """Yield a connection inside a transaction.

    Raises:
        UserError: the database cannot be reached, read or written, or its address is not one of a database.
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
    return _connect(settings.ledger_uri)


@cache
def _connect(uri: str) -> sa.Engine:
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
    try:
        _meta.create_all(engine)
    except sa.exc.OperationalError:  # another process made the table at the same moment
        _meta.create_all(engine)
    return engine
