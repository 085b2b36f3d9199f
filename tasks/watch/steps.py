"""The Prefect tasks of the flows ``watch`` and ``reconcile``."""

from typing import TYPE_CHECKING, Any
from uuid import UUID

from prefect import runtime, task
from prefect.cache_policies import NO_CACHE
from prefect.logging import get_run_logger

from domains.words import some
from tasks.base.artifacts import table_artifact
from tasks.base.flow_runs import describe_run
from tasks.base.progress import say
from tasks.base.retries import RETRIES
from tasks.base.settings import Settings, settings
from tasks.models.adapt_result import AWAITING, PROMOTED, REFUSED
from tasks.service.environment import worker_name
from tasks.service.up import worker_since
from tasks.versions.watched_commit import check_faults
from tasks.watch import ledger, reconciling, run_locks
from tasks.watch.submitting import submit_due

if TYPE_CHECKING:
    from tasks.adapt.plan import Plan
    from tasks.models.adapt_result import AdaptResult
    from tasks.watch.noticing import Tick

SHOWN = 50  # rows of the ledger in its artifact


@task(cache_policy=NO_CACHE, **RETRIES)
def notice_and_submit(only: list[str], why: str = "") -> str:
    """Do one tick and say in a line what came of it.

    Raises:
        UserError: a git remote could not be reached, or the data of a domain could not be read; what else there was to
            do is done, and the next tick tries again.
    """
    from tasks.watch.noticing import tick  # two seconds, which reconcile need not spend

    done = tick(settings(), only, why)
    for note in done.notes:
        get_run_logger().warning(note)
    if done.opened or done.submitted:
        show_ledger()
    new = [row.domain for row in done.opened if row.status == "open"]
    describe_run(f"watch: {some(new) if new else 'nothing new'}")
    check_faults(done.notes)
    return tick_line(done)


def bring_back(plan: "Plan") -> str:
    """Put back into service what served when the data were as they are again; return the version, or nothing.

    It is smoke-tested and not compared: what serves now was adapted to data that were taken back.
    """
    from tasks.adapt import events
    from tasks.models import registry
    from tasks.models.adapt_result import AdaptResult
    from tasks.models.smoke_test import smoke_test_for
    from tasks.watch import level

    s, name = settings(), plan.domain.name
    champion = registry.champion(s, name)
    wanted = level.version_to_bring_back(s, plan, champion)
    model = level.usable(s, name, wanted) if wanted else None
    if model is None:
        return ""
    before = None if champion is None else champion.version
    registry.promote(s, name, wanted, smoke_test_for(s, model), expected=before)
    reason = "its data are again what they were when it was in service"
    say(f"{name} version {wanted} is in service again: {reason}")
    told = {"model_version": wanted, "champion_before": before, "reason": reason}
    events.champion_changed(AdaptResult.read(model.folder).model_copy(update=told))
    return wanted


def promote(plan: "Plan", result: "AdaptResult") -> "AdaptResult":
    """Put a challenger that passed the gate into service, unless newer data of its domain are asked for by now."""
    from tasks.adapt import steps
    from tasks.models import registry
    from tasks.watch import level

    s = settings()
    serving = registry.champions(s).get(result.domain)
    if result.decision == PROMOTED and result.model_version != serving and level.is_overtaken(s, plan):
        reason = (
            f"version {result.model_version} passed the gate, but newer data of {result.domain} are asked for; "
            f"acclimate models promote {result.domain} {result.model_version} puts it into service all the same"
        )
        return result.model_copy(update={"decision": REFUSED, "reason": reason, "in_service": serving})
    return steps.promote(plan, result)


def settle(plan: "Plan", result: "AdaptResult", flow_run: str = "") -> None:
    """Close the rows of the ledger that asked for this adaptation; there are none where a person asked for it.

    Those of a challenger that waits for a person stay open and say so, and which flow run asks.
    """
    from tasks.adapt.adaptation import work_key  # slow to import too

    key = work_key(plan.domain, plan.meta_version, plan.how)
    said = result.model_version, result.decision, result.reason
    if result.decision == AWAITING:
        ledger.note_waiting(settings(), key, *said, flow_run)
    else:
        ledger.close_rows(settings(), key, *said, result.in_service or "")


@task(cache_policy=NO_CACHE, **RETRIES)
def clear_and_submit() -> str:
    """Clear what dead processes left, ask again for what they were doing, and say what was done."""
    from prefect.client.orchestration import get_client

    s = settings()
    ended = run_locks.ended_runs(s)  # first: the file of one that dies meanwhile is kept for the next time
    with get_client(sync_client=True) as client:
        cleared = reconciling.clear_dead_runs(s, client, ended, this_worker(s, client))
        cleared += reconciling.refuse_late(client)
        reconciling.clear_files(s, ended)
        submitted, notes = submit_due(s, client)
    for note in (*cleared, *notes):
        get_run_logger().warning(note)
    if submitted:
        show_ledger()
    line = f"{len(cleared)} dead runs cleared, {len(submitted)} adaptations asked for"
    describe_run(f"reconcile: {line if cleared or submitted else 'nothing to do'}")
    return line


def this_worker(settings: Settings, client: Any) -> reconciling.Worker:
    """Return the worker that this flow run came from; started by hand, the one of `acclimate up` in this home.

    Args:
        client: a synchronous Prefect client.
    """
    ours = worker_name(settings)
    name = client.read_flow_run(UUID(runtime.flow_run.id)).labels.get(reconciling.WORKER, ours)
    return reconciling.Worker(str(name), worker_since(settings) if name == ours else None)


def tick_line(done: "Tick") -> str:
    """Return a tick in a line."""
    new = ", ".join(row.domain for row in done.opened if row.status == "open") or "nothing"
    return f"{done.commit[:12]}: new {new}; {len(done.submitted)} adaptations asked for" + "".join(
        f"; {note}" for note in done.notes
    )


def show_ledger() -> None:
    """Leave the newest rows of the ledger as an artifact."""
    newest = ledger.list_rows(settings())[::-1][:SHOWN]
    about = f"The {len(newest)} newest rows of the ledger: versions of domains and what came of them."
    table_artifact("ledger", [ledger.display_row(row) for row in newest], about)
