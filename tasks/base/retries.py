"""Which tasks are tried again by themselves: those that fetch what lies elsewhere, where it could not be reached."""

from typing import Any

from domains.errors import UnreachableError

TRIES = 3


def is_unreachable(task: Any, task_run: Any, state: Any) -> bool:
    """Whether a task failed in a way that may pass; Prefect asks this before it tries again.

    A person who waits at a terminal is told at once.
    """
    return _is_deployed() and isinstance(state.result(raise_on_failure=False, _sync=True), UnreachableError)


def is_tried_again(error: Exception) -> bool:
    """Whether the task that runs now, if it fails of this, is tried again: nothing is to be made of it yet."""
    from prefect.context import TaskRunContext

    context = TaskRunContext.get()
    tries_left = context is not None and context.task_run.run_count < TRIES
    return isinstance(error, UnreachableError) and tries_left and _is_deployed()


def _is_deployed() -> bool:
    """Whether this is in a flow run of a deployment."""
    from prefect.context import FlowRunContext

    context = FlowRunContext.get()
    return context is not None and context.flow_run is not None and context.flow_run.deployment_id is not None


#: Options of a Prefect task that fetches; the waits differ, so that those who failed together do not come back so.
RETRIES: dict[str, Any] = {
    "retries": TRIES - 1,
    "retry_delay_seconds": [10, 60],
    "retry_jitter_factor": 0.5,
    "retry_condition_fn": is_unreachable,
}
