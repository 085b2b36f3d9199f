"""Whether what is in service is what the watched revision asks for: a level, not an edge.

A revision asks for what the gate, or a person, left in service when it decided on its data. Data that go back to an
earlier state therefore bring back what served then, without a comparison with the model of the data that were taken
back: that these were wrong may be why. The rows of the ledger are the history.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from socket import gethostname
from typing import TYPE_CHECKING, Literal

from domains.errors import UserError
from tasks.base.settings import Settings
from tasks.models import promotion, registry
from tasks.models.adapt_result import AWAITING, PROMOTED
from tasks.models.registry import Registered
from tasks.models.verdicts import WITHDRAWN, is_held, served_since, was_left_unpromoted
from tasks.versions.git import git
from tasks.versions.snapshots import domains_at
from tasks.watch import ledger
from tasks.watch.ledger import LedgerRow

if TYPE_CHECKING:
    from tasks.adapt.plan import Plan

LEFT = 3600  # seconds after which a checkout that was ahead no longer counts: ticks come every few minutes


def checkout_of(settings: Settings) -> str:
    """Return the name of this checkout among those that share a ledger."""
    return f"{gethostname()}:{settings.root_path}"


def is_ancestor(settings: Settings, old: str, new: str) -> bool:
    """Whether a commit comes before another; not where this checkout does not know one of them."""
    return git(settings.root_path, "merge-base", "--is-ancestor", old, new).returncode == 0


def what_served(rows: Sequence[LedgerRow], content_hash: str) -> str:
    """Return the version that was in service before the data of a domain changed from what they are again now.

    Args:
        rows: all of the domain, oldest first.

    Returns:
        What the last decision on the same data left in service; without one, the last decision before these data came
        first. Empty where that is not known, or these data never were there.
    """
    done = [row for row in rows if row.status == "done" and row.serves]
    if same := [row for row in done if row.content_hash == content_hash]:
        return max(same, key=lambda row: row.changed).serves
    came = next((row.opened for row in rows if row.content_hash == content_hash), "")
    return next((row.serves for row in reversed(done) if row.opened < came), "")


def is_overtaken(settings: Settings, plan: "Plan") -> bool:
    """Whether newer data of the domain are asked for than a run was to adapt to."""
    last = ledger.newest_rows(settings, plan.domain.name).get(plan.domain.name)
    if last is None or last.content_hash == plan.domain.content_hash:
        return False
    return not is_ancestor(settings, last.revision, plan.domain.revision)


def version_to_bring_back(settings: Settings, plan: "Plan", champion: Registered | None) -> str:
    """Return the version that served when the data were as they are again, where another serves now; else nothing."""
    from tasks.adapt.adaptation import work_key  # slow to import, and `status` does without

    name, digest = plan.domain.name, plan.domain.content_hash
    rows = ledger.rows_of(settings, name)
    mine = [row for row in rows if row.key == work_key(plan.domain, plan.meta_version, plan.how)]
    wanted = ""
    if opened := [row for row in mine if row.status == "open"]:
        wanted = opened[-1].serves
    elif champion is None or champion.tags.get("content_hash") != digest:
        last = max(rows, key=lambda row: row.asked, default=None)
        chosen = is_held(champion) if last is None else last.content_hash == digest and is_chosen(champion, last)
        if not chosen and is_watched(settings, plan) and not is_overtaken(settings, plan):
            made = registry.find_by_key(settings, plan.key)
            wanted = what_served(mine, digest)
            if not wanted and made is not None and not was_left_unpromoted(made, champion):
                wanted = served_since(made)
    return "" if champion is not None and champion.version == wanted else wanted


def is_chosen(champion: Registered | None, last: LedgerRow) -> bool:
    """Whether a person put the champion into service since the data of a row came."""
    return champion is not None and is_held(champion) and champion.tags.get("decided", "")[:19] >= last.opened[:19]


def is_watched(settings: Settings, plan: "Plan") -> bool:
    """Whether a run is about the data that the watched revision has, as this checkout knows it."""
    try:
        return domains_at(settings.root_path, settings.watch).get(plan.domain.name) == plan.domain.content_hash
    except UserError:
        return False


def usable(settings: Settings, name: str, version: str) -> Registered | None:
    """Return a version that may come back: it is still there, and no person took it out of service."""
    try:
        found = registry.get(settings, name, version)
    except UserError:
        return None
    return None if WITHDRAWN in found.tags else found


def release(settings: Settings, name: str) -> list[str]:
    """Leave a model to the gate again, and open its row where another version should serve; return the versions.

    Raises:
        UserError: as ``promotion.release``.
    """
    released = promotion.release(settings, name)
    last = ledger.newest_rows(settings, name).get(name)
    if last is not None and last.status == "done":
        made = None if not last.version else usable(settings, name, last.version)
        serves = last.version if last.decision == PROMOTED else "" if made is None else served_since(made)
        if serves != registry.champions(settings).get(name, ""):
            why = "a person left it to the gate again"
            ledger.add_rows(settings, [ledger.ask_again(last, why, last.parameters, serves)])
    return released


Word = Literal["yes", "no", "chosen"]


@dataclass(frozen=True)
class Level:
    """Whether what serves is what the watched revision asks for, or a person has chosen otherwise; and why."""

    word: Word
    why: str


def levels(settings: Settings, hashes: Mapping[str, str], champions: Mapping[str, Registered]) -> dict[str, Level]:
    """Return the level of every domain that has a champion or a row in the ledger; nothing is changed.

    Args:
        hashes: content hashes of the domains of the watched revision, by name.
        champions: versions in service, by domain.
    """
    last = ledger.newest_rows(settings)
    return {name: _level(hashes.get(name), champions.get(name), last.get(name)) for name in sorted({*champions, *last})}


def _level(digest: str | None, champion: Registered | None, last: LedgerRow | None) -> Level:
    serving = "" if champion is None else champion.version
    if digest is None:
        return Level("no", "the watched revision has no such domain any more; its champion stays")
    if last is None or last.content_hash != digest:
        if champion is not None and champion.tags.get("content_hash") == digest:
            return Level("yes", "adapted to these data")
        return Level("no", "its data are not noticed yet: acclimate watch")
    if is_chosen(champion, last):
        return Level("chosen", f"a person's choice, until its data change or: acclimate models release {last.domain}")
    if last.status == "failed":
        return Level("no", f"given up: {last.reason}")
    if last.status == "open" and last.decision == AWAITING:
        return Level("no", f"waits for approval: acclimate models approve {last.domain} {last.version}, or refuse")
    if last.status != "done":
        trouble = f"; {last.trouble}" if last.trouble else ""
        return Level("no", f"{'waits' if last.status == 'open' else last.status}: {last.why}{trouble}")
    if serving != last.serves:
        return Level("no", "another version serves than was decided; the next tick sets it right")
    if champion is not None and champion.version == last.version:
        return Level("yes", "adapted to these data")
    return Level("yes", f"version {last.version} was {last.decision}, what served stays")
