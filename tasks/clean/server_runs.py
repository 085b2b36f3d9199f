"""Old flow runs at the Prefect server, with their pages; the newest page of each kind stays, and its run."""

from collections.abc import Collection, Iterator
from contextlib import suppress
from datetime import datetime
from typing import Any
from uuid import UUID

from tasks.clean.freed import Freed

FLOWS = (
    *("ingest", "meta-train", "adapt", "adapt-many", "watch", "reconcile", "clean", "drift", "demo"),
    *("demo-family", "predict", "meta-train-decisions", "bench-market", "federate-serve", "federate-join"),
)
OFTEN = ("watch", "reconcile")  # flows that run every few minutes, a thousand times a day
TAG = "acclimate"
PAGE = 200  # that the server gives at once


def prune_runs(
    client: Any, ours: bool, before: datetime, often_before: datetime, rows: Collection[str], dry_run: bool
) -> list[Freed]:
    """Delete runs of our flows that ended before then; of ``watch`` and ``reconcile``, what ended well before another.

    Kept are those that made the newest page of a kind, and those that open rows of the ledger name. A run's pages go
    before it does, so that a process killed in between leaves nothing that the next would not find.

    Args:
        client: a synchronous Prefect client.
        ours: whether the server is our own; of another, only runs with our tag are deleted.
        rows: ids of runs that open rows name.
    """
    shown = _runs_of_newest_pages(client)
    found = {
        run.id: run
        for flows, until, completed in ((FLOWS, before, False), (OFTEN, often_before, True))
        for run in _ended_runs(client, flows, until, ours, completed)
        if str(run.id) not in shown and str(run.id) not in rows
    }
    pages = size = 0
    for run in found:
        for page in _pages_of(client, run):
            pages += 1
            size += len(page.data) if isinstance(page.data, str) else 0
            if not dry_run:
                _delete(client.delete_artifact, page.id)
        if not dry_run:
            _delete(client.delete_flow_run, run)
    return [Freed("flow runs", len(found)), Freed("pages of flow runs", pages, size)]


def _ended_runs(client: Any, flows: Collection[str], before: datetime, ours: bool, completed: bool) -> Iterator[Any]:
    from prefect.client.schemas import filters as of
    from prefect.client.schemas.objects import TERMINAL_STATES, StateType

    which = of.FlowRunFilter(
        state=of.FlowRunFilterState(
            type=of.FlowRunFilterStateType(any_=[StateType.COMPLETED] if completed else sorted(TERMINAL_STATES))
        ),
        end_time=of.FlowRunFilterEndTime(before_=before),  # type: ignore[arg-type]
        tags=None if ours else of.FlowRunFilterTags(all_=[TAG]),
    )
    named = of.FlowFilter(name=of.FlowFilterName(any_=list(flows)))
    return _all(client.read_flow_runs, flow_filter=named, flow_run_filter=which)


def _runs_of_newest_pages(client: Any) -> set[str]:
    return {str(page.flow_run_id) for page in _all(client.read_latest_artifacts)}


def _pages_of(client: Any, run: UUID) -> list[Any]:
    from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterFlowRunId

    of_run = ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[run]))
    return list(_all(client.read_artifacts, artifact_filter=of_run))


def _all(read: Any, **which: Any) -> Iterator[Any]:
    """Yield what the server has, so much at a time; nothing of it may be deleted before all is read."""
    start = 0
    while some := read(**which, limit=PAGE, offset=start):
        yield from some
        start += len(some)


def _delete(delete: Any, name: UUID) -> None:
    from prefect.exceptions import ObjectNotFound

    with suppress(ObjectNotFound):  # another clean was faster
        delete(name)
