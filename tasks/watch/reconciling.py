"""Clear what a dead process left behind: flow runs that the server takes for running, and files of runs that ended."""

import shutil
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from tasks.base.settings import Settings, read_duration
from tasks.models.verdicts import GRACE
from tasks.service.deployments import POOL
from tasks.watch import run_locks

BEGINS_WITHIN = {"process": "150s"}  # by type of the work pool; a process that has not begun by then never will
IMAGE_PULLED_WITHIN = "1h"  # where a worker starts containers
JUST_BEGUN = timedelta(seconds=2)  # a run that began anew may not hold its file yet
WORKER = "prefect.worker.name"  # label that Prefect gives a run when a worker takes it
DAY = 86400
PAGE = 200  # runs that the server gives at once


@dataclass(frozen=True)
class Worker:
    """The worker whose runs are cleared.

    Attributes:
        name: which Prefect writes on every run that it takes.
        since: when it started, as a Unix time: what the one before was starting is lost. None: not known.
    """

    name: str
    since: float | None = None


def clear_dead_runs(settings: Settings, client: Any, ended: Sequence[str], worker: Worker) -> list[str]:
    """Mark runs as crashed whose process is gone, so that nothing waits for them; return what was done, a line each.

    Runs of other machines and other projects are left alone: what began is known by the file that it held in this
    home, what did not by the worker that took it from our work pool.

    Args:
        client: a synchronous Prefect client.
        ended: ids of the runs that began in this home and whose process is gone.
    """
    from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId, WorkPoolFilter, WorkPoolFilterName
    from prefect.client.schemas.objects import StateType
    from prefect.exceptions import ObjectNotFound
    from prefect.states import Cancelled, Crashed

    dead = []
    for first in range(0, len(ended), PAGE):
        which = FlowRunFilter(id=FlowRunFilterId(any_=ended[first : first + PAGE]))  # type: ignore[arg-type]
        which.state = in_states(StateType.RUNNING, StateType.CANCELLING, StateType.PAUSED)
        dead += [run for run in client.read_flow_runs(flow_run_filter=which) if lost_its_process(settings, run)]
    with suppress(ObjectNotFound):  # nothing was deployed here
        limit = pending_limit(settings, client.read_work_pool(POOL).type)
        pool, pending = WorkPoolFilter(name=WorkPoolFilterName(any_=[POOL])), in_states(StateType.PENDING)
        runs: list[Any] = []
        while page := client.read_flow_runs(
            work_pool_filter=pool, flow_run_filter=FlowRunFilter(state=pending), limit=PAGE, offset=len(runs)
        ):
            runs += page
        dead += [run for run in runs if never_begins(run, worker, limit)]
    done = []
    for run in dead:
        gone = "its process is gone"
        state = Cancelled(message=gone) if run.state.is_cancelling() else Crashed(message=gone)
        client.set_flow_run_state(run.id, state, force=True)
        done.append(f"{run.name}: {run.state.name} before, {state.name} now")
    return done


def in_states(*types: Any) -> Any:
    """Return Prefect's filter of flow runs in states of these types."""
    from prefect.client.schemas.filters import FlowRunFilterState, FlowRunFilterStateType

    return FlowRunFilterState(type=FlowRunFilterStateType(any_=list(types)))


def pending_limit(settings: Settings, pool_type: str) -> timedelta:
    """Return how long a run that a worker took may need to begin."""
    return timedelta(seconds=read_duration(settings.pending_limit or BEGINS_WITHIN.get(pool_type, IMAGE_PULLED_WITHIN)))


def lost_its_process(settings: Settings, run: Any) -> bool:
    """Whether a run that began in this home has no process, and is not one that waits without."""
    if run.state.name == "Suspended" or datetime.now(UTC) - run.state.timestamp < JUST_BEGUN:
        return False
    return run_locks.is_alive(settings, run.id) is False


def never_begins(run: Any, worker: Worker, limit: timedelta) -> bool:
    """Whether a run that was taken from our work pool by our worker, or one that died as it took it, will not begin."""
    taken_by, since = run.labels.get(WORKER), run.state.timestamp
    if taken_by not in (None, worker.name):
        return False
    lost = taken_by is not None and worker.since is not None and since.timestamp() < worker.since
    return lost or datetime.now(UTC) - since > limit


def refuse_late(client: Any) -> list[str]:
    """Answer no for runs that wait for a person whose time is up; return what was done, a line each.

    They start again, and say so. Left to Prefect they would fail some minutes later.
    """
    from prefect.client.schemas.filters import (
        FlowRunFilter,
        FlowRunFilterState,
        FlowRunFilterStateName,
        WorkPoolFilter,
        WorkPoolFilterName,
    )

    pool = WorkPoolFilter(name=WorkPoolFilterName(any_=[POOL]))
    suspended = FlowRunFilter(state=FlowRunFilterState(name=FlowRunFilterStateName(any_=["Suspended"])))
    late = []
    for run in client.read_flow_runs(work_pool_filter=pool, flow_run_filter=suspended):
        end = run.state.state_details.pause_timeout
        if end is not None and end - timedelta(seconds=GRACE) <= datetime.now(UTC):
            client.resume_flow_run(run.id, {"approve": False})
            late.append(f"{run.name}: nobody approved in time")
    return late


def clear_files(settings: Settings, ended: Sequence[str]) -> None:
    """Delete the lock files of runs that ended, and work folders nobody touched for a day."""
    run_locks.forget(settings, ended)
    for folder in (settings.home_path / "work").glob("*"):
        with suppress(FileNotFoundError):  # its run has just ended
            if time.time() - folder.stat().st_mtime > DAY:
                shutil.rmtree(folder, ignore_errors=True)
