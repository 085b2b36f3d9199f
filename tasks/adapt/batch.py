"""Many adaptations in one flow run: where they run, and what comes of each."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from prefect import Task, task
from prefect.cache_policies import NO_CACHE
from prefect.futures import PrefectFuture
from prefect.logging import get_run_logger
from prefect.task_runners import TaskRunner, ThreadPoolTaskRunner
from pydantic import BaseModel, Field

from domains.errors import UserError
from domains.words import some
from tasks.adapt.adaptation import AUTO
from tasks.base.artifacts import table_artifact
from tasks.base.progress import progress
from tasks.base.retries import RETRIES, is_tried_again
from tasks.base.settings import settings
from tasks.models.adapt_result import AWAITING, PROMOTED, AdaptResult

LOCAL = "local"


class Request(BaseModel):
    """Parameters of the flow ``adapt``."""

    domain: str = Field(description="A target domain.")
    k: int | None = Field(None, ge=1, description="At most so many labels a class are used; none: all labels.")
    revision: str = Field("HEAD", description="The git revision whose data.dvc is read.")
    draws: int = Field(10, ge=1, description="With k, support draws behind the interval.")
    method: str = Field(AUTO, description="A strategy's name, or auto.")
    budget: str = Field("", description="How long an encoder is tuned, such as 10m; empty: as ACCLIMATE_BUDGET says.")


def task_runner() -> TaskRunner[Any]:
    """Return where the adaptations run: one after another here, or on the Dask cluster of ``ACCLIMATE_DASK``.

    Raises:
        UserError: a cluster is set and prefect-dask is not installed.
    """
    s = settings()
    if not s.dask:
        return ThreadPoolTaskRunner(max_workers=1)  # torch has one thread; more processes make more speed, not these
    try:
        from prefect_dask import DaskTaskRunner
    except ImportError:
        raise UserError("ACCLIMATE_DASK is set and prefect-dask is not installed: pip install -e '.[dask]'") from None
    if s.dask == LOCAL:
        workers = {"n_workers": s.processes, "threads_per_worker": 1, "processes": True}
        return DaskTaskRunner(cluster_kwargs=workers | {"dashboard_address": None})
    return DaskTaskRunner(address=s.dask)


class Outcome(NamedTuple):
    """What came of a request: the decision, empty where it failed; and why, in a line."""

    decision: str
    reason: str


def make_task(adapt_directly: Callable[[Request], AdaptResult]) -> Task[[Request], Outcome]:
    """Return a Prefect task that adapts as a request says; what fails is its outcome, not its state.

    Args:
        adapt_directly: does what ``adapt`` does without a flow run.
    """

    @task(name="adapt one", task_run_name="adapt {request.domain}", cache_policy=NO_CACHE, **RETRIES)
    def adapt_one(request: Request) -> Outcome:
        try:
            result = adapt_directly(request)
        except Exception as error:
            if is_tried_again(error):
                raise
            get_run_logger().warning("not adapted to", exc_info=not isinstance(error, UserError))
            return Outcome("", " ".join(f"{type(error).__name__}: {error}".split()))
        return Outcome(result.decision, result.reason)

    return adapt_one


def adapt_each(submit: Callable[[Request], PrefectFuture[Outcome]], requests: Sequence[Request]) -> str:
    """Submit all requests, wait for all, leave a table of what came of them, and return it in a line.

    Raises:
        UserError: one or more failed.
    """
    rows = []
    with progress("adapt to many", len(requests)) as advance:
        for request, future in [(request, submit(request)) for request in requests]:
            state = future.wait() or future.state
            done = state is None or state.is_completed()
            outcome = future.result() if done else Outcome("", state.message or state.name or "")
            rows.append({"domain": request.domain, "decision": outcome.decision or "failed", "reason": outcome.reason})
            advance()
    table_artifact("many-domains", rows, "Many domains adapted to in one flow run.")
    failed = [f"{row['domain']}: {row['reason']}" for row in rows if row["decision"] == "failed"]
    if failed:
        raise UserError(f"{len(failed)} of {len(rows)} adaptations failed: {some(failed)}")
    promoted, waiting = (sum(row["decision"] == word for row in rows) for word in (PROMOTED, AWAITING))
    return f"{len(rows)} adapted to, {promoted} promoted" + (f", {waiting} wait for approval" if waiting else "")
