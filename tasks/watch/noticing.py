"""From a revision of the data to rows of the ledger, and flow runs asked for: what ``watch`` does at each tick.

A tick is safe to repeat, to kill and to run beside another: rows are opened once, and Prefect creates one run for
one idempotency key. So whatever was lost, the next tick asks for.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version

from domains.errors import UserError
from tasks.adapt.adaptation import AUTO, Adaptation, adaptation_key, work_key
from tasks.base.progress import say
from tasks.base.settings import Settings, settings
from tasks.ingest.domain_list import target
from tasks.models import registry
from tasks.versions.git import git
from tasks.versions.revisions import data_revision
from tasks.versions.snapshots import domains_at
from tasks.watch import ledger
from tasks.watch.ledger import Row
from tasks.watch.submitting import TOGETHER, submit_due

FETCH = 120.0  # seconds that a git remote has to answer
FEW_DRAWS = 3  # behind each interval where many domains changed at once
CHANGED = "data.revision.changed"  # event of one domain, emitted when its row is in the ledger


@dataclass(frozen=True)
class Wanted:
    """A target domain at a revision and the meta-model in service; the name of its row."""

    domain: str
    content_hash: str
    meta_version: str
    row: str


@dataclass(frozen=True)
class Tick:
    """What a tick did: rows it opened, flow runs it asked for by row's domain, and what could not be done yet."""

    commit: str
    opened: list[Row]
    asked: dict[str, str]
    notes: list[str]


def wanted(settings: Settings, commit: str, only: Sequence[str] = ()) -> tuple[list[Wanted], list[str]]:
    """Return the target domains at a commit whose family has a meta-model in service, and notes on the others."""
    hashes = domains_at(settings.root_path, commit)
    if unknown := sorted(set(only) - hashes.keys()):
        raise UserError(f"no domain {unknown[0]!r} at revision {commit[:12]}; there are: {', '.join(hashes)}")
    notes: list[str] = []
    kinds = ledger.kinds(settings, hashes, lambda name: kind_of(settings, name, commit, notes))
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
            found.append(Wanted(name, digest, meta.version, row))
    absent = [f"no meta-model of family {f} yet: acclimate meta-train --family {f}" for f in sorted(waiting)]
    return found, notes + absent


def kind_of(settings: Settings, name: str, commit: str, notes: list[str]) -> tuple[str, str] | None:
    """Return family and role of a domain; None, and a note why, where its bytes cannot be had: the others go on."""
    from tasks.versions.snapshots import snapshot

    try:
        found = snapshot(settings.root_path, settings.home_path, name, commit)
    except UserError as error:
        notes.append(f"{name}: {error}")
        return None
    return found.family, found.role


def notice(settings: Settings, commit: str, only: Sequence[str] = (), why: str = "") -> tuple[list[Row], list[str]]:
    """Open a row for every domain that has to be adapted to and has none; rows that no longer apply are closed."""
    every, notes = wanted(settings, commit, only)
    known = ledger.known(settings, [w.row for w in every])
    new, begun = [], []
    for w in every:
        if w.row in known:
            continue
        try:
            row, made = row_of(settings, w, commit, why)
        except UserError as error:
            notes.append(f"{w.domain}: {error}")
            continue
        (new if made else begun).append(row)
    if len(begun) >= TOGETHER:
        begun = [replace(row, parameters=row.parameters | {"draws": FEW_DRAWS}) for row in begun]
    added = ledger.add(settings, [*new, *begun])
    current = {w.domain: w.row for w in every}
    for row in ledger.rows(settings, "open"):
        if row.domain in current and row.name != current[row.domain]:
            ledger.give_up(
                settings, row.name, "another version of the data or the meta-model took its place", "overtaken"
            )
    return added, notes


def row_of(settings: Settings, w: Wanted, commit: str, why: str = "") -> tuple[Row, bool]:
    """Return the row of a domain, and whether it was adapted to by hand before: then it is done, or left half-way."""
    domain = target(settings, w.domain, commit)
    before = registry.champion(settings, w.domain)
    how = way_of(settings, before)
    made = registry.find_by_key(settings, adaptation_key(domain, w.meta_version, how))
    parameters = {"domain": w.domain, "k": how.k, "revision": commit, "draws": how.draws, "method": how.method}
    key = work_key(domain, w.meta_version, how)
    row = Row(w.row, w.domain, w.content_hash, key, parameters, why or reason_of(w, before))
    if made is None or left_unpromoted(made, before):
        return row, made is not None
    decision = made.tags.get("decision", "")
    told = "adapted to before it was noticed"
    return replace(row, status="done", version=made.version, decision=decision, reason=told), True


def way_of(settings: Settings, champion: registry.Registered | None) -> Adaptation:
    """Return how a domain is adapted to: with the K and method that its champion was."""
    if champion is None:
        return Adaptation(seed=settings.seed)
    k, method = int(champion.params.get("k", 10)), champion.tags.get("method", AUTO)
    return Adaptation(k=k, method=method, seed=settings.seed)


def reason_of(w: Wanted, champion: registry.Registered | None) -> str:
    if champion is None:
        return "no champion yet"
    if champion.tags.get("content_hash") != w.content_hash:
        return f"its data changed since champion {champion.version}"
    if champion.tags.get("meta_version") != w.meta_version:
        return f"meta-model {w.meta_version} took the place of {champion.tags.get('meta_version')}"
    return "acclimate or its settings changed"


def left_unpromoted(made: registry.Registered, champion: registry.Registered | None) -> bool:
    """Whether a version that passed the gate never came into service, as where its process was killed in between."""
    passed = made.tags.get("decision") == "promoted" and not made.aliases and "withdrawn" not in made.tags
    return passed and (champion is None or int(champion.version) < int(made.version))


def commit_to_watch(settings: Settings, notes: list[str]) -> str:
    """Return the commit whose data is adapted to; where it is a remote's branch, the remote is asked first."""
    root, revision = settings.root_path, settings.watch
    remotes = git(root, "remote").stdout.split()
    if (remote := revision.split("/")[0]) in remotes:
        fetched = git(root, "fetch", "--quiet", remote, seconds=FETCH)
        if fetched.returncode:
            notes.append(f"git remote {remote} cannot be reached: {' '.join(fetched.stderr.split())[:200]}")
    return data_revision(root, revision).commit


def revision_to_read(revision: str) -> str:
    """Return a revision as it is; of an empty one, as schedules give, the commit that ``ACCLIMATE_WATCH`` names."""
    notes: list[str] = []
    commit = revision or commit_to_watch(settings(), notes)
    for note in notes:
        say(note)
    return commit


def announce(rows: Iterable[Row]) -> None:
    """Emit an event a domain, for automations of the user's; nothing of ours depends on its arrival."""
    from prefect.events import emit_event

    for row in rows:
        emit_event(
            CHANGED,
            resource={"prefect.resource.id": f"acclimate.domain.{row.domain}", "prefect.resource.name": row.domain},
            payload={"domain": row.domain, "revision": row.parameters["revision"], "why": row.why},
        )


def tick(settings: Settings, only: Sequence[str] = (), why: str = "") -> Tick:
    """Notice what changed, and ask for what is due. Needs a Prefect server; rows are kept where it goes away.

    Raises:
        UserError: the revision to watch is unknown, or its data are not at hand.
    """
    from prefect.client.orchestration import get_client

    notes: list[str] = []
    commit = commit_to_watch(settings, notes)
    opened, more = notice(settings, commit, only, why)
    announce(row for row in opened if row.status == "open")
    with get_client(sync_client=True) as client:
        asked, late = submit_due(settings, client)
    return Tick(commit, opened, asked, [*notes, *more, *late])
