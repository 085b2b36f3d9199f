"""From a revision of the data to rows of the ledger and flow runs: what ``watch`` does at each tick.

A tick may be repeated, killed, or run beside another: rows are opened once, and Prefect creates one run for one
idempotency key. So the next tick creates whatever was lost.
"""

from collections.abc import Iterable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

from domains.errors import UserError
from tasks.adapt.adaptation import AUTO, Adaptation, adaptation_key, tuning_budget, work_key
from tasks.adapt.plan import NO_META
from tasks.base.progress import in_run
from tasks.base.settings import Settings, read_duration
from tasks.models import registry
from tasks.models.adapt_result import k_of
from tasks.models.verdicts import served_since, was_left_unpromoted
from tasks.versions.snapshots import domains_at, snapshot, target_snapshot
from tasks.versions.watched_commit import Fault, commit_to_watch
from tasks.watch import ledger, level
from tasks.watch.ledger import LedgerRow, Look
from tasks.watch.submitting import submit_due

CHANGED = "data.revision.changed"  # event of one domain, emitted when its row is in the ledger


@dataclass(frozen=True)
class Target:
    """A target domain at a revision, the meta-model in service for it (or `NO_META`), and the name of its row."""

    domain: str
    content_hash: str
    meta_version: str
    row: str


@dataclass(frozen=True)
class Tick:
    """What a tick did.

    Attributes:
        commit: whose data was looked at.
        opened: rows that it opened.
        submitted: ids of the flow runs that it created, by domain.
        notes: what could not be done yet.
    """

    commit: str
    opened: list[LedgerRow]
    submitted: dict[str, str]
    notes: list[str]


def targets_at(settings: Settings, commit: str, only: Sequence[str] = ()) -> tuple[list[Target], list[str]]:
    """Return the target domains at a commit, and notes on those that wait for a meta-model.

    A family waits for its first where it has source domains to train one on; where it has none, strategies that are not
    meta-trained adapt.
    """
    hashes = domains_at(settings.root_path, commit)
    if unknown := sorted(set(only) - hashes.keys()):
        raise UserError(f"no domain {unknown[0]!r} at revision {commit[:12]}; there are: {', '.join(hashes)}")
    notes: list[str] = []
    kinds = ledger.families_and_roles(settings, hashes, lambda name: family_and_role(settings, name, commit, notes))
    found, waiting = [], set()
    metas = {
        family: registry.champion(settings, registry.meta_name(family)) for family in {k[0] for k in kinds.values()}
    }
    for name, (family, role) in kinds.items():
        digest = hashes[name]
        if role != "target" or (only and name not in only):
            continue
        serving = metas[family]
        if serving is None and (family, "source") in kinds.values():
            waiting.add(family)
        else:
            meta = NO_META if serving is None else serving.version
            found.append(Target(name, digest, meta, ledger.row_name(name, digest, family, meta, version("acclimate"))))
    absent = [f"no meta-model of family {f} yet: acclimate meta-train --family {f}" for f in sorted(waiting)]
    return found, notes + absent


def family_and_role(settings: Settings, name: str, commit: str, notes: list[str]) -> tuple[str, str] | None:
    """Return family and role of a domain; None, and a note why, where its bytes are not at hand: the others go on."""
    try:
        found = snapshot(settings.root_path, settings.home_path, name, commit)
    except UserError as error:
        notes.append(Fault(f"{name}: {error}"))
        return None
    return found.family, found.role


def notice(
    settings: Settings, commit: str, only: Sequence[str] = (), why: str = "", number: int | None = None
) -> tuple[list[LedgerRow], list[str]]:
    """Open a row for every domain where what serves is not what a commit asks for; close those that no longer apply.

    Args:
        number: of this look at the data (``ledger.begin_look``), taken before the commit was found out.
    """
    look = Look(ledger.begin_look(settings) if number is None else number, commit, level.checkout_of(settings))
    if ahead := who_is_ahead(settings, look):
        return [], [f"{ahead} watches data that do not come before {commit[:12]}: update this checkout"]
    every, notes = targets_at(settings, commit, only)
    known, last = ledger.rows_named(settings, [w.row for w in every]), ledger.newest_rows(settings)
    serving = registry.champions(settings)
    rows, kept = [], []
    for w in every:
        now = Now(w, known.get(w.row), last.get(w.domain), serving.get(w.domain, ""))
        try:
            row = next_row(settings, now, commit, why)
        except UserError as error:
            notes.append(Fault(f"{w.domain}: {error}"))
            continue
        if row is not None:
            (kept if row.status == "done" and now.row is not None else rows).append(row)
    added = ledger.add_rows(settings, rows, kept, overtaken_rows(settings, commit, every, only), look)
    return ([], [*notes, "a later look at the data came first"]) if added is None else (added, notes)


def who_is_ahead(settings: Settings, look: Look) -> str:
    """Return the checkout whose data a look would replace though they are newer, or of another branch; else nothing.

    In the same checkout whoever looks later is right, as a branch may be reset to an earlier commit.
    """
    last = ledger.last_look(settings)
    if last.checkout in ("", look.checkout) or last.revision == look.revision:
        return ""
    left = (datetime.now(UTC) - datetime.fromisoformat(last.at)).total_seconds() > level.LEFT
    return "" if left or level.is_ancestor(settings, last.revision, look.revision) else last.checkout


def overtaken_rows(settings: Settings, commit: str, every: Sequence[Target], only: Sequence[str]) -> dict[str, str]:
    """Return the open rows that a commit does not ask for, and why."""
    current, there = {w.domain: w.row for w in every}, domains_at(settings.root_path, commit)
    found = {}
    for row in ledger.list_rows(settings, "open"):
        if row.domain in current and row.name != current[row.domain]:
            found[row.name] = "another version of the data or the meta-model took its place"
        elif row.domain not in there and (not only or row.domain in only):
            found[row.name] = "the watched revision has no such domain any more"
    return found


@dataclass(frozen=True)
class Now:
    """How a target stands: its row, that of the domain which was asked for last, and the version in service or ""."""

    target: Target
    row: LedgerRow | None
    last: LedgerRow | None
    serving: str


def next_row(settings: Settings, now: Now, commit: str, why: str) -> LedgerRow | None:
    """Return the row to write down for a target: to be opened, or done already; None where nothing changes.

    A choice of a person is written down as what serves for the data that were asked for last, and holds for these.
    """
    w, row, last, serving = now.target, now.row, now.last, now.serving
    same_data = last is not None and last.content_hash == w.content_hash
    if row is not None:
        is_last = last is not None and row.name == last.name
        if row.status == "open" or (is_last and (row.status == "failed" or is_settled(row, serving))):
            return None
    champion = registry.champion(settings, w.domain) if serving else None
    if last is not None and level.is_chosen(champion, last):
        if last.status == "done" and last.serves != serving:
            ledger.set_serving(settings, last.name, serving)
        if same_data:
            return None
    rows = [] if last is None else ledger.rows_of(settings, w.domain)
    if row is None:
        made = ledger_row(settings, w, commit, why)
        if made.status == "done" or same_data:
            return made
        return replace(made, serves=level.what_served(rows, w.content_hash))
    parameters = row.parameters | {"revision": commit}
    adapted = champion is not None and champion.tags.get("content_hash") == w.content_hash
    if row.status == "done" and (adapted or row.serves == serving):  # the last word of the gate on the same data
        return replace(row, serves=serving, parameters=parameters)
    serves = "" if same_data and row.status != "done" else level.what_served(rows, w.content_hash)
    return ledger.ask_again(row, why or reason_to_ask_again(now, champion), parameters, serves)


def is_settled(row: LedgerRow, serving: str) -> bool:
    """Whether what serves is what was decided on the data of a row."""
    return row.status == "done" and row.serves == serving


def reason_to_ask_again(now: Now, champion: registry.Registered | None) -> str:
    """Return in words why a row is opened again."""
    if now.last is not None and now.last.content_hash != now.target.content_hash:
        return "its data are again what they were"
    if champion is None and now.row is not None and now.row.serves:
        return f"champion {now.row.serves} is gone"
    return "another version serves than was decided" if champion is not None else "no champion yet"


def ledger_row(settings: Settings, w: Target, commit: str, why: str = "") -> LedgerRow:
    """Return the row of a domain, which is done where a person had it adapted to before, unless it was left half-way.

    What was adapted as the champion was, from K labels a class say, counts as done. What is asked for is all labels.
    """
    domain = target_snapshot(settings, w.domain, commit)
    before = registry.champion(settings, w.domain)
    how = replace(adaptation_like(settings, before), objective=domain.objective)
    made = registry.find_by_key(settings, adaptation_key(domain, w.meta_version, how))
    if made is None and how.k is not None:
        how = replace(how, k=None)
        made = registry.find_by_key(settings, adaptation_key(domain, w.meta_version, how))
    parameters = {"domain": w.domain, "k": how.k, "revision": commit, "draws": how.draws, "method": how.method}
    if budget := tuning_budget(domain, how):
        parameters["budget"] = f"{budget}s"
    key = work_key(domain, w.meta_version, how)
    row = LedgerRow(w.row, w.domain, w.content_hash, key, parameters, why or reason_to_adapt(w, before))
    serving = "" if before is None else before.version
    if made is None or was_left_unpromoted(made, before) or not is_decided(w, made, before):
        return row
    decision = made.tags.get("decision", "")
    reason = "adapted to before it was noticed"
    return replace(row, status="done", version=made.version, decision=decision, reason=reason, serves=serving)


def is_decided(w: Target, made: registry.Registered, champion: registry.Registered | None) -> bool:
    """Whether what serves is what was decided on a version that a person had made, or later on the same data."""
    if champion is not None and champion.tags.get("content_hash") == w.content_hash:
        return True
    return served_since(made) == ("" if champion is None else champion.version)


def adaptation_like(settings: Settings, champion: registry.Registered | None) -> Adaptation:
    """Return how a domain's champion was adapted: its K, method and budget; without one, the default."""
    budget = read_duration(settings.budget)
    if champion is None:
        return Adaptation(seed=settings.seed, budget=budget)
    method, budget = champion.tags.get("method", AUTO), int(champion.tags.get("budget", "0")) or budget
    return Adaptation(k=k_of(champion.params), method=method, seed=settings.seed, budget=budget)


def reason_to_adapt(w: Target, champion: registry.Registered | None) -> str:
    """Return in words what made an adaptation necessary."""
    if champion is None:
        return "no champion yet"
    if champion.tags.get("content_hash") != w.content_hash:
        return f"its data changed since champion {champion.version}"
    if champion.tags.get("meta_version") != w.meta_version:
        return f"meta-model {w.meta_version} took the place of {champion.tags.get('meta_version')}"
    return "acclimate or its settings changed"


def announce(rows: Iterable[LedgerRow]) -> None:
    """Emit an event for each domain, for automations of the user's; nothing of ours depends on it.

    Outside of a Prefect run there are none.
    """
    if not in_run():
        return
    from prefect.events import emit_event

    for row in rows:
        emit_event(
            CHANGED,
            resource={"prefect.resource.id": f"acclimate.domain.{row.domain}", "prefect.resource.name": row.domain},
            payload={"domain": row.domain, "revision": row.parameters["revision"], "why": row.why},
        )


def tick(settings: Settings, only: Sequence[str] = (), why: str = "", client: Any = None) -> Tick:
    """Notice what changed, and create the flow runs that are due.

    Needs a Prefect server; where that goes away the rows stay.

    Args:
        client: a synchronous Prefect client, if not one of the server that the environment names.

    Raises:
        UserError: the revision to watch is unknown, or its data are not at hand.
    """
    from prefect.client.orchestration import get_client

    notes: list[str] = []
    number = ledger.begin_look(settings)
    commit = commit_to_watch(settings, notes)
    opened, more = notice(settings, commit, only, why, number)
    announce(row for row in opened if row.status == "open")
    with nullcontext(client) if client is not None else get_client(sync_client=True) as asked:
        submitted, late = submit_due(settings, asked)
    return Tick(commit, opened, submitted, [*notes, *more, *late])
