"""What the Prefect server needs beside the deployments of ``prefect.yaml``: a work pool, queues and an automation."""

import asyncio
from collections.abc import Iterable
from contextlib import suppress
from copy import deepcopy
from datetime import UTC, datetime, timedelta
from typing import Any

from domains.errors import UserError
from tasks.base.settings import Settings
from tasks.service.containers import set_defaults, worker_class
from tasks.service.forks import BEAT

POOL = "acclimate"
WORK = "work"  # queue of what takes long; the pool's default queue is for watch and reconcile

MISSED = timedelta(minutes=1)
SILENT = "acclimate: runs that went silent"
SILENT_FOR = timedelta(seconds=4 * BEAT)  # three signs of life that did not come, and one to spare


def create_work_pool(settings: Settings) -> None:
    """Create or update the work pool of this project, with a queue for so many long runs at a time.

    Raises:
        UserError: the server has it as a pool of another type, or the extra for its type is not installed.
    """
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.actions import WorkPoolCreate, WorkPoolUpdate
    from prefect.exceptions import ObjectAlreadyExists

    kind = settings.pool_type
    template = set_defaults(worker_class(kind).get_default_base_job_template(), settings)
    with get_client(sync_client=True) as client:
        try:
            client.create_work_pool(WorkPoolCreate(name=POOL, type=kind, base_job_template=template))
        except ObjectAlreadyExists:
            pool = client.read_work_pool(POOL)
            if pool.type != kind:
                raise UserError(
                    f"the work pool {POOL} of this server is of type {pool.type}: use --pool-type {pool.type}, "
                    f"or delete it: prefect work-pool delete {POOL}"
                ) from None
            template = set_defaults(deepcopy(pool.base_job_template), settings)
            if template != pool.base_job_template:
                client.update_work_pool(POOL, WorkPoolUpdate(base_job_template=template))
    asyncio.run(_limit_queue(settings.processes))  # the synchronous client knows no queues


async def _limit_queue(processes: int) -> None:
    """Create the queue of long runs, or set its limit."""
    from prefect.client.orchestration import get_client
    from prefect.exceptions import ObjectNotFound

    async with get_client() as client:
        try:
            queue = await client.read_work_queue_by_name(WORK, POOL)
        except ObjectNotFound:
            await client.create_work_queue(WORK, concurrency_limit=processes, work_pool_name=POOL)
        else:
            await client.update_work_queue(queue.id, concurrency_limit=processes)


def ask_to_reconcile() -> None:
    """Create a run of the flow ``reconcile``, which clears what a dead process left behind."""
    from prefect.client.orchestration import get_client
    from prefect.exceptions import ObjectNotFound

    with get_client(sync_client=True) as client, suppress(ObjectNotFound):  # a prefect.yaml may do without it
        deployment = client.read_deployment_by_name("reconcile/acclimate")
        client.create_flow_run_from_deployment(deployment.id, tags=["acclimate"])


def forget_missed_runs() -> None:
    """Delete runs that were due while there was no worker; the newest of each schedule stays and makes up for all."""
    from prefect.client.orchestration import get_client
    from prefect.client.schemas import filters as of
    from prefect.client.schemas.sorting import FlowRunSort

    late = of.FlowRunFilter(
        state=of.FlowRunFilterState(name=of.FlowRunFilterStateName(any_=["Late", "Scheduled"])),
        tags=of.FlowRunFilterTags(all_=["auto-scheduled", "acclimate"]),
        expected_start_time=of.FlowRunFilterExpectedStartTime(before_=datetime.now(UTC) - MISSED),
    )
    kept: dict[tuple[Any, str], Any] = {}
    with get_client(sync_client=True) as client:
        while runs := client.read_flow_runs(flow_run_filter=late, sort=FlowRunSort.EXPECTED_START_TIME_DESC):
            missed = []
            for run in runs:
                schedule = run.deployment_id, str(run.parameters)
                if kept.setdefault(schedule, run.id) != run.id:
                    missed.append(run)
                    client.delete_flow_run(run.id)
            if not missed:
                return


def crash_silent_runs(wanted: bool) -> None:
    """Create or update the automation that crashes runs of our work pool that no longer say that they live.

    Args:
        wanted: false deletes it. A server that only this machine reaches does not need it, as file locks tell more than
            silence, and each event of a run would cost a write into a database that takes one at a time.
    """
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import WorkPoolFilter, WorkPoolFilterName
    from prefect.events.actions import ChangeFlowRunState
    from prefect.events.schemas.automations import AutomationCore
    from prefect.states import StateType

    with get_client(sync_client=True) as client:
        if not wanted:
            for old in client.read_automations_by_name(SILENT):
                client.delete_automation(old.id)
            return
        pool = WorkPoolFilter(name=WorkPoolFilterName(any_=[POOL]))
        automation = AutomationCore(
            name=SILENT,
            description="A run whose machine died says nothing more; it is marked as crashed, and asked for again.",
            trigger=silence_trigger(deployment.id for deployment in client.read_deployments(work_pool_filter=pool)),
            actions=[
                ChangeFlowRunState(state=StateType.CRASHED, message=f"no sign of life for {SILENT_FOR.seconds} s")
            ],
        )
        put_automation(client, automation)


def silence_trigger(deployments: Iterable[object]) -> Any:
    """Return the trigger of a run of these deployments, by their ids, that says no more that it lives.

    A sign of life names the run's deployment, and not its work pool.
    """
    from prefect.events.schemas.automations import EventTrigger, Posture

    ends = ("Completed", "Failed", "Cancelled", "Crashed", "Paused", "Suspended", "TimedOut")
    beat = "prefect.flow-run.heartbeat"
    ids = [f"prefect.deployment.{each}" for each in deployments]
    return EventTrigger(
        after={beat},
        expect={beat, *(f"prefect.flow-run.{end}" for end in ends)},
        match={"prefect.resource.id": ["prefect.flow-run.*"]},  # type: ignore[arg-type]
        match_related={"prefect.resource.role": "deployment", "prefect.resource.id": ids},  # type: ignore[arg-type]
        for_each={"prefect.resource.id"},
        posture=Posture.Proactive,
        threshold=1,
        within=SILENT_FOR,
    )


def put_automation(client: Any, automation: Any) -> None:
    """Create an automation, or update the one of its name; others of that name are deleted.

    Args:
        client: a synchronous Prefect client.
        automation: a Prefect ``AutomationCore``.
    """
    known = client.read_automations_by_name(automation.name)
    if known:
        client.update_automation(known[0].id, automation)
    else:
        client.create_automation(automation)
    for double in known[1:]:
        client.delete_automation(double.id)
