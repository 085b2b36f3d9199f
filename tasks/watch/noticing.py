"""From a revision of the data to rows of the ledger and flow runs: what ``watch`` does at each tick.

A tick may be repeated, killed, or run beside another: rows are opened once, and Prefect creates one run for one
idempotency key. So the next tick creates whatever was lost.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version

from domains.errors import UserError
from tasks.adapt.adaptation import AUTO, Adaptation, adaptation_key, tuning_budget, work_key
from tasks.base.settings import Settings, read_duration
from tasks.models import registry
from tasks.models.adapt_result import k_of
from tasks.versions.snapshots import domains_at, snapshot, target_snapshot
from tasks.versions.watched_commit import Fault, commit_to_watch
from tasks.watch import ledger
from tasks.watch.ledger import LedgerRow
from tasks.watch.submitting import submit_due

CHANGED = "data.revision.changed"  # event of one domain, emitted when its row is in the ledger


@dataclass(frozen=True)
class Target:
    """A target domain at a revision, the meta-model in service for it, and the name of its row."""

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
    """Return the target domains at a commit whose family has a meta-model in service, and notes on the others."""
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
        if (meta := metas[family]) is None:
            waiting.add(family)
        else:
            row = ledger.row_name(name, digest, family, meta.version, version("acclimate"))
            found.append(Target(name, digest, meta.version, row))
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
    settings: Settings, commit: str, only: Sequence[str] = (), why: str = ""
) -> tuple[list[LedgerRow], list[str]]:
    """Open a row for every domain that has to be adapted to and has none; rows that no longer apply are closed."""
    every, notes = targets_at(settings, commit, only)
    known = ledger.known_names(settings, [w.row for w in every])
    found = []
    for w in every:
        if w.row in known:
            continue
        try:
            found.append(ledger_row(settings, w, commit, why))
        except UserError as error:
            notes.append(Fault(f"{w.domain}: {error}"))
    added = ledger.add_rows(settings, found)
    current = {w.domain: w.row for w in every}
    for row in ledger.list_rows(settings, "open"):
        if row.domain in current and row.name != current[row.domain]:
            ledger.give_up(
                settings, row.name, "another version of the data or the meta-model took its place", "overtaken"
            )
    return added, notes


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
    if made is None or was_left_unpromoted(made, before):
        return row
    decision = made.tags.get("decision", "")
    reason = "adapted to before it was noticed"
    return replace(row, status="done", version=made.version, decision=decision, reason=reason)


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


def was_left_unpromoted(made: registry.Registered, champion: registry.Registered | None) -> bool:
    """Whether a version that passed the gate never came into service, as where its process was killed in between."""
    passed = made.tags.get("decision") == "promoted" and not made.aliases and "withdrawn" not in made.tags
    return passed and (champion is None or int(champion.version) < int(made.version))


def announce(rows: Iterable[LedgerRow]) -> None:
    """Emit an event for each domain, for automations of the user's; nothing of ours depends on it."""
    from prefect.events import emit_event

    for row in rows:
        emit_event(
            CHANGED,
            resource={"prefect.resource.id": f"acclimate.domain.{row.domain}", "prefect.resource.name": row.domain},
            payload={"domain": row.domain, "revision": row.parameters["revision"], "why": row.why},
        )


def tick(settings: Settings, only: Sequence[str] = (), why: str = "") -> Tick:
    """Notice what changed, and create the flow runs that are due.

    Needs a Prefect server; where that goes away the rows stay.

    Raises:
        UserError: the revision to watch is unknown, or its data are not at hand.
    """
    from prefect.client.orchestration import get_client

    notes: list[str] = []
    commit = commit_to_watch(settings, notes)
    opened, more = notice(settings, commit, only, why)
    announce(row for row in opened if row.status == "open")
    with get_client(sync_client=True) as client:
        submitted, late = submit_due(settings, client)
    return Tick(commit, opened, submitted, [*notes, *more, *late])
