"""Many adaptations in one flow run: where they run, and what is said when they are done."""

from collections.abc import Callable, Sequence
from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.exceptions import MissingResult
from prefect.futures import PrefectFuture
from prefect.logging import get_run_logger
from prefect.task_runners import TaskRunner, ThreadPoolTaskRunner
from pydantic import BaseModel

from domains.errors import UserError
from domains.words import some
from tasks.adapt import steps as adapt_steps
from tasks.adapt.adaptation import AUTO
from tasks.base.artifacts import table_artifact
from tasks.base.progress import progress
from tasks.base.settings import settings

LOCAL = "local"


class Request(BaseModel):
    """Parameters of the flow ``adapt``."""

    domain: str
    k: int = 10
    revision: str = "HEAD"
    draws: int = 10
    method: str = AUTO


def runner() -> TaskRunner[Any]:
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


class Plain:
    """The tasks of a module as plain functions: a task run costs its server a dozen writes, as much as the work."""

    def __init__(self, module: Any) -> None:
        self._module = module

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._module, name)
        return getattr(found, "fn", found)


def adapting(flow: Callable[..., Any], steps: Callable[..., Any]) -> Any:
    """Return a Prefect task that adapts as a request says, and returns its decision and what was said.

    Args:
        flow: ``adapt``, run where a person is asked, as only a flow run can pause.
        steps: what it does.
    """

    @task(name="adapt one", task_run_name="adapt {request.domain}", cache_policy=NO_CACHE)
    def adapt_one(request: Request) -> tuple[str, str]:
        if settings().approval == "ask":
            return in_a_flow_run(flow, request)
        try:
            result = steps(Plain(adapt_steps), **request.model_dump())
        except Exception as error:
            get_run_logger().warning("not adapted to", exc_info=not isinstance(error, UserError))
            return "", " ".join(f"{type(error).__name__}: {error}".split())
        return result.decision, result.reason

    return adapt_one


def in_a_flow_run(flow: Callable[..., Any], request: Request) -> tuple[str, str]:
    """Adapt in a flow run of its own, and return its decision and what was said."""
    state = flow(**request.model_dump(), return_state=True)
    if not state.is_completed():
        return "", " ".join((state.message or state.name or "").split())
    try:
        result = state.result()
    except MissingResult:  # a server that answers late sends the state without it; the ledger has it
        return "done", "see acclimate status"
    return result.decision, result.reason


def each(submit: Callable[[Request], PrefectFuture[Any]], requests: Sequence[Request]) -> str:
    """Submit all requests, wait for all, leave a table of what came of them, and return it in a line.

    Raises:
        UserError: one or more failed.
    """
    rows = []
    with progress("adapt to many", len(requests)) as advance:
        for request, future in [(request, submit(request)) for request in requests]:
            state = future.wait() or future.state
            done = state is None or state.is_completed()
            decision, said = future.result() if done else ("", state.message or state.name)
            rows.append({"domain": request.domain, "decision": decision or "failed", "reason": said})
            advance()
    table_artifact("adapt-many", rows, "Many domains adapted to in one flow run.")
    failed = [f"{row['domain']}: {row['reason']}" for row in rows if row["decision"] == "failed"]
    if failed:
        raise UserError(f"{len(failed)} of {len(rows)} adaptations failed: {some(failed)}")
    promoted = sum(row["decision"] == "promoted" for row in rows)
    return f"{len(rows)} adapted to, {promoted} promoted"
