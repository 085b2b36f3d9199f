"""Clear what a dead process left behind: flow runs that the server takes for running, and files of runs that ended."""

import shutil
import time
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

from tasks.base.settings import Settings
from tasks.watch import run_locks

PENDING_FOR = timedelta(seconds=150)  # a process that has not begun by then never will
DAY = 86400
PAGE = 200  # runs that the server gives at once


def clear_dead_runs(settings: Settings, client: Any, worker_since: float | None = None) -> list[str]:
    """Mark runs as crashed whose process is gone, so that nothing waits for them; return what was done, a line each.

    Args:
        client: a synchronous Prefect client.
        worker_since: when this machine's worker started, as a Unix time: what the one before was starting is lost.
    """
    from prefect.client.schemas.filters import (
        FlowFilter,
        FlowFilterName,
        FlowRunFilter,
        FlowRunFilterState,
        FlowRunFilterStateType,
    )
    from prefect.client.schemas.objects import StateType
    from prefect.states import Cancelled, Crashed

    unsure = [StateType.RUNNING, StateType.PENDING, StateType.CANCELLING, StateType.PAUSED]
    ours = FlowFilter(name=FlowFilterName(any_=list(FLOWS)))
    which = FlowRunFilter(state=FlowRunFilterState(type=FlowRunFilterStateType(any_=unsure)))
    runs: list[Any] = []
    while page := client.read_flow_runs(flow_filter=ours, flow_run_filter=which, limit=PAGE, offset=len(runs)):
        runs += page
    done = []
    for run in runs:
        if run.state is None or not is_dead(settings, run, worker_since):
            continue
        gone = "its process is gone"
        state = Cancelled(message=gone) if run.state.is_cancelling() else Crashed(message=gone)
        client.set_flow_run_state(run.id, state, force=True)
        done.append(f"{run.name}: {run.state.name} before, {state.name} now")
    return done


def is_dead(settings: Settings, run: Any, worker_since: float | None) -> bool:
    """Whether a run that should have a process has none."""
    lives = run_locks.is_alive(settings, run.id)
    if lives is not None:
        return not lives
    if not run.state.is_pending():
        return False  # it runs on another machine
    since = run.state.timestamp
    lost = worker_since is not None and since.timestamp() < worker_since
    return lost or datetime.now(UTC) - since > PENDING_FOR


def clear_files(settings: Settings, ended: Sequence[str]) -> None:
    """Delete the lock files of runs that ended, and work folders nobody touched for a day."""
    run_locks.forget(settings, ended)
    for folder in (settings.home_path / "work").glob("*"):
        with suppress(FileNotFoundError):  # its run has just ended
            if time.time() - folder.stat().st_mtime > DAY:
                shutil.rmtree(folder, ignore_errors=True)


FLOWS = (
    *("ingest", "meta-train", "adapt", "adapt-many", "watch", "reconcile", "clean", "drift", "demo"),
    "meta-train-decisions",
)
