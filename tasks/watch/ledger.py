"""The ledger: a row for each version of a domain that has to be adapted to, kept open until that is done.

Events can be lost or doubled and workers can die; a row cannot. A row stays open until the flow ``adapt`` came to its
end for the row's key, however often that has to be started.
"""

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Literal

import sqlalchemy as sa

from tasks.base.settings import Settings
from tasks.models.adapt_result import AWAITING
from tasks.watch.ledger_database import KINDS, LOOKS, ROWS, transaction

Status = Literal["open", "done", "failed", "overtaken"]
Ended = Literal["", "failed", "crashed"]  # a row's last flow run; empty: there was none, or it is not to be counted

ATTEMPTS = 5  # runs that failed, after which a row is given up
CRASHES = 20  # runs whose process or machine died, the same: a domain may be what kills it, as for want of memory


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
        failures, crashes: how many of these ended so since it was asked for last.
        flow_run: the last of them; empty before the first.
        batch: under which name that was asked for, which is its idempotency key.
        version, decision, reason: what came of it, or why it failed.
        serves: the version that the decision left in service, or a person put there since; of an open row, the version
            to bring back first.
        asked: the order in which rows were asked for last; the highest of a domain is what is asked for now.
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
    serves: str = ""
    asked: int = 0
    failures: int = 0
    crashes: int = 0
    batch: str = ""

    @property
    def revision(self) -> str:
        """The commit whose data it is about."""
        return str(self.parameters.get("revision", ""))

    @property
    def trouble(self) -> str:
        """How its runs ended, where that was not well, in words."""
        failed = f"{self.failures} of {ATTEMPTS} runs failed" if self.failures else ""
        crashed = f"{self.crashes} of {CRASHES} runs crashed" if self.crashes else ""
        return ", ".join(filter(None, (failed, crashed)))


@dataclass(frozen=True)
class Look:
    """A look at the data: its number (``begin_look``), the commit, the checkout that it was taken in, and when."""

    number: int
    revision: str
    checkout: str
    at: str = ""


def row_name(*parts: str) -> str:
    """Return the name of the row that these words fix."""
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:32]


def families_and_roles(
    settings: Settings, hashes: Mapping[str, str], find: Callable[[str], tuple[str, str] | None]
) -> dict[str, tuple[str, str]]:
    """Return family and role of domains; ``find`` is asked about each until it knows, once for the same bytes."""
    with transaction(settings) as connection:
        known = {(d, h): (family, role) for d, h, family, role in connection.execute(sa.select(KINDS))}
    looked_for = {name: find(name) for name, digest in hashes.items() if (name, digest) not in known}
    new = {name: kind for name, kind in looked_for.items() if kind is not None}
    if new:
        with transaction(settings) as connection:
            for name, (family, role) in new.items():
                there = KINDS.delete().where(KINDS.c.domain == name, KINDS.c.content_hash == hashes[name])
                connection.execute(there)
                values = {"domain": name, "content_hash": hashes[name], "family": family, "role": role}
                connection.execute(KINDS.insert().values(values))
    return new | {name: known[name, digest] for name, digest in hashes.items() if (name, digest) in known}


def begin_look(settings: Settings) -> int:
    """Return the number of a look at the data that begins: of two, the one that began later knows newer data."""
    with transaction(settings) as connection:
        connection.execute(LOOKS.update().values(begun=LOOKS.c.begun + 1))
        return int(connection.execute(sa.select(LOOKS.c.begun)).scalar_one())


def last_look(settings: Settings) -> Look:
    """Return the newest look that changed the ledger; its number is 0 where there was none."""
    with transaction(settings) as connection:
        found = connection.execute(sa.select(LOOKS)).mappings().one()
    return Look(found["applied"], found["revision"], found["checkout"], found["at"])


def add_rows(
    settings: Settings,
    rows: Iterable[LedgerRow],
    kept: Iterable[LedgerRow] = (),
    overtaken: Mapping[str, str] | None = None,
    look: Look | None = None,
) -> list[LedgerRow] | None:
    """Write down what a look at the data asks for, in one transaction, and return the rows that are open or done by it.

    Args:
        rows: to be added, each once; one that is known is asked for again, unless another changed it since it was read.
        kept: that are asked for again, and stay as they are.
        overtaken: open rows that nothing asks for any more, and why, by name.
        look: which look it was.

    Returns:
        None where a later look was written down first, and nothing is changed.
    """
    added = []
    with transaction(settings) as connection:
        if look is not None:
            later = LOOKS.c.applied <= look.number
            seen = {"applied": look.number, "revision": look.revision, "checkout": look.checkout, "at": _now()}
            if not connection.execute(LOOKS.update().where(later).values(seen)).rowcount:
                return None
        asked = int(connection.execute(sa.select(sa.func.max(ROWS.c.asked))).scalar() or 0)
        for row in kept:
            asked += 1
            values = {"asked": asked, "parameters": row.parameters, "serves": row.serves}
            connection.execute(ROWS.update().where(ROWS.c.name == row.name).values(values))
        for row in rows:
            asked, now = asked + 1, _now()
            values = vars(row) | {"opened": row.opened or now, "changed": now, "asked": asked}
            there = ROWS.c.name == row.name
            before = connection.execute(sa.select(ROWS).where(there)).mappings().first()
            if before is None:
                connection.execute(ROWS.insert().values(values))
            elif before["changed"] == row.changed and before["status"] != "open":
                connection.execute(ROWS.update().where(there).values(values))
            else:
                continue
            added.append(LedgerRow(**values))
        for name, reason in (overtaken or {}).items():
            values = {"status": "overtaken", "reason": reason, "changed": _now()}
            connection.execute(ROWS.update().where(ROWS.c.name == name, ROWS.c.status == "open").values(values))
    return added


def ask_again(row: LedgerRow, why: str, parameters: dict[str, Any], serves: str = "") -> LedgerRow:
    """Return a row that is asked for again: as another run, with five tries; what was decided on it stays known.

    Args:
        serves: the version to bring back first; empty: none.
    """
    none: dict[str, Any] = {"flow_run": "", "batch": "", "failures": 0, "crashes": 0, "reason": ""}
    if row.decision == AWAITING:
        none["decision"] = ""
    return replace(row, status="open", why=why, parameters=parameters, serves=serves, **none)


def rows_named(settings: Settings, names: Iterable[str]) -> dict[str, LedgerRow]:
    """Return those of the rows that there are, by name."""
    return {row.name: row for row in _select(settings, ROWS.c.name.in_(list(names)))}


def newest_rows(settings: Settings, domain: str | None = None) -> dict[str, LedgerRow]:
    """Return the row that was asked for last, by domain; of one, if it is named."""
    last = sa.select(sa.func.max(ROWS.c.asked)).group_by(ROWS.c.domain)
    if domain is not None:
        last = last.where(ROWS.c.domain == domain)
    return {row.domain: row for row in _select(settings, ROWS.c.asked.in_(last))}


def rows_of(settings: Settings, domain: str) -> list[LedgerRow]:
    """Return a domain's rows, oldest first."""
    return _select(settings, ROWS.c.domain == domain)


def list_rows(settings: Settings, status: Status | None = None) -> list[LedgerRow]:
    """Return rows, oldest first."""
    return _select(settings, *(() if status is None else (ROWS.c.status == status,)))


def claim(settings: Settings, rows: Iterable[tuple[LedgerRow, Ended]], batch: str) -> list[LedgerRow]:
    """Give open rows to a flow run that is to be created under the name ``batch``; return those that no other has.

    Args:
        rows: each with how its last run ended, which is counted.
    """
    claimed = []
    with transaction(settings) as connection:
        for row, ended in rows:
            now = {"batch": batch, "flow_run": "", "attempts": row.attempts + 1, "changed": _now()}
            now |= {"failures": row.failures + (ended == "failed"), "crashes": row.crashes + (ended == "crashed")}
            same = ROWS.c.name == row.name, ROWS.c.batch == row.batch, ROWS.c.flow_run == row.flow_run
            if connection.execute(ROWS.update().where(*same, ROWS.c.status == "open").values(now)).rowcount:
                claimed.append(replace(row, **now))
    return claimed


def record_run(settings: Settings, batch: str, flow_run: str) -> None:
    """Record the flow run that was created for the rows that were claimed together, unless one has by now another.

    That is one which asks a person.
    """
    these = ROWS.c.batch == batch, ROWS.c.flow_run == ""
    with transaction(settings) as connection:
        connection.execute(ROWS.update().where(*these).values(flow_run=flow_run, changed=_now()))


def note_waiting(settings: Settings, key: str, version: str, decision: str, reason: str, flow_run: str = "") -> None:
    """Note on the open rows that asked for an adaptation that a person has to decide, and the run that asks."""
    values = {"version": version, "decision": decision, "reason": reason, "changed": _now()}
    if flow_run:
        values["flow_run"] = flow_run
    with transaction(settings) as connection:
        connection.execute(ROWS.update().where(ROWS.c.key == key, ROWS.c.status == "open").values(values))


def close_rows(settings: Settings, key: str, version: str, decision: str, reason: str, serves: str = "") -> int:
    """Close the rows that asked for an adaptation, and return how many; those done or overtaken stay as they are.

    Args:
        serves: the version that is in service since the decision; empty: none.
    """
    values = {"status": "done", "version": version, "decision": decision, "reason": reason, "serves": serves}
    waiting = ROWS.c.key == key, ROWS.c.status.in_(["open", "failed"])
    with transaction(settings) as connection:
        return int(connection.execute(ROWS.update().where(*waiting).values(values | {"changed": _now()})).rowcount)


def set_serving(settings: Settings, name: str, version: str) -> None:
    """Record which version is in service for the data of a row since a person, or a later decision, said so."""
    with transaction(settings) as connection:
        connection.execute(ROWS.update().where(ROWS.c.name == name).values(serves=version, changed=_now()))


def give_up(settings: Settings, name: str, reason: str) -> None:
    """Close an open row that cannot be done."""
    with transaction(settings) as connection:
        values = {"status": "failed", "reason": reason, "changed": _now()}
        connection.execute(ROWS.update().where(ROWS.c.name == name, ROWS.c.status == "open").values(values))


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
        "reason": row.reason or (row.trouble if row.status == "open" else ""),
        "serves": row.serves,
        "opened": row.opened[:19].replace("T", " "),
    }


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="microseconds")


def _select(settings: Settings, *where: sa.ColumnElement[bool]) -> list[LedgerRow]:
    query = sa.select(ROWS).where(*where).order_by(ROWS.c.opened, ROWS.c.domain)
    with transaction(settings) as connection:
        return [LedgerRow(**found) for found in connection.execute(query).mappings()]
