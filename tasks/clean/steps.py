"""The steps of the flow ``clean``: models first, as what they need decides on the rest."""

import time
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from domains.errors import UserError
from tasks.base.progress import say
from tasks.base.settings import Settings, read_duration
from tasks.clean.databases import prune_features, shrink_databases
from tasks.clean.folders import Needed, prune_folders
from tasks.clean.freed import Freed, size_of
from tasks.clean.server_runs import prune_runs
from tasks.models import registry
from tasks.models.disposable import delete_run, delete_version, disposable, leftover_runs
from tasks.models.registry import Registered
from tasks.service.logs import rotate_all
from tasks.service.processes import live_record
from tasks.versions.snapshots import domains_at
from tasks.watch import ledger
from tasks.watch.ledger import LedgerRow

DAY = 86400
LONGEST = 3650  # days
OFTEN_KEPT = timedelta(days=1)  # uneventful runs of flows that run every few minutes


def read_keep(text: str) -> int:
    """Return the days of a time as people write it.

    Raises:
        UserError: it is none, or not between a day and ten years: what runs now may use what is younger than a day.
    """
    seconds = read_duration(text)
    if not DAY <= seconds <= LONGEST * DAY:
        raise UserError(f"keep {text!r}: at least 1d and at most {LONGEST}d, as what runs now may use what is younger")
    return seconds // DAY


def clean_up(settings: Settings, client: Any, days: int, dry_run: bool = False) -> list[Freed]:
    """Delete what nothing needs and nobody used for so many days; return what was freed, kinds with nothing left out.

    Args:
        client: a synchronous Prefect client.
        dry_run: delete nothing, and return what would be.
    """
    before = datetime.now(UTC) - timedelta(days=days)
    rows = ledger.list_rows(settings, "open")
    kept, freed = prune_models(settings, rows, before, dry_run)
    needed = what_is_needed(settings, kept, rows)
    if needed is not None:
        freed += prune_folders(settings, needed, time.time() - days * DAY, dry_run)
    freed.append(prune_features(settings, days, dry_run))
    server = live_record(settings.home_path / "prefect" / "server.json") or {}
    ours = str(client.api_url).rstrip("/") == server.get("url")
    yesterday = datetime.now(UTC) - OFTEN_KEPT
    freed += prune_runs(client, ours, before, yesterday, {row.flow_run for row in rows}, dry_run)
    if not dry_run:
        freed.append(Freed("logs", 0, rotate_all(settings.home_path / "prefect")))
        freed.append(shrink_databases(settings))
    return [each for each in freed if each.items or each.bytes]


def prune_models(
    settings: Settings, rows: Iterable[LedgerRow], before: datetime, dry_run: bool
) -> tuple[list[Registered], list[Freed]]:
    """Delete versions that nothing needs, and MLflow runs without a version; return the versions that are kept."""
    models = {name: registry.versions(settings, name) for name in registry.names(settings)}
    keys = {row.key for row in rows}
    metas = {str(row.parameters.get("meta_version", "")) for row in rows} - {""}
    going, gone, size = disposable(models, before, keys, metas), [], 0
    for model in going:
        there = size_of_version(model)
        if dry_run or delete_version(settings, model):
            gone.append(model)
            size += there
    left = leftover_runs(settings, before)
    if not dry_run:
        for run in left:
            delete_run(settings, run)
    kept = [v for versions in models.values() for v in versions if v not in gone]
    return kept, [Freed("versions of models", len(gone), size), Freed("runs without a version", len(left))]


def size_of_version(model: Registered) -> int:
    """Return the bytes of a version's files on this machine."""
    return size_of(model.folder.parents[1]) if model.uri.startswith(("file:", "/")) else 0


def what_is_needed(settings: Settings, kept: Iterable[Registered], rows: Iterable[LedgerRow]) -> Needed | None:
    """Return what of the home's folders is needed; None, said why, where the data in use are not known."""
    domains = {(row.domain, row.content_hash) for row in rows}
    encoders: set[str] = set()
    for model in kept:
        domains.add((model.name, model.tags.get("content_hash", "")))
        encoders.update(model.tags.get("encoder", "").split("+"))
    for revision in {"HEAD", settings.watch}:
        try:
            domains.update(domains_at(settings.root_path, revision).items())
        except UserError as error:
            say(f"snapshots and other caches are kept, as it is not known which are in use: {error}")
            return None
    return Needed(frozenset(domains), frozenset(encoders))
