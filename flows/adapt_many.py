"""Adapt to many domains in one flow run: a process takes longer to start than a small domain to adapt to.

By configuration (``ACCLIMATE_DASK``) they are spread over a Dask cluster.
"""

from functools import partial

from prefect import flow
from prefect.runtime import flow_run

from domains.words import some
from flows.adapt import adapt_in_order, directly
from tasks.adapt.batch import Request, adapt_each, make_task, task_runner
from tasks.base.settings import settings
from tasks.models.adapt_result import AdaptResult
from tasks.watch import run_locks
from tasks.watch.submitting import ask_in_own_run


def run_name() -> str:
    """Return the name of the flow run that begins."""
    names = [Request.model_validate(request).domain for request in flow_run.parameters["requests"]]
    return f"adapt to {len(names)}: {some(names)}"


@flow(
    name="adapt-many",
    flow_run_name=run_name,
    task_runner=task_runner(),
    timeout_seconds=settings().run_seconds,
    on_running=[run_locks.mark],
)
def adapt_many(requests: list[Request]) -> str:
    """Do each request as a task run; what fails stops no other. A person is asked by runs of ``adapt``.

    Args:
        requests: parameters of ``adapt``, one set a domain.
    """
    return adapt_each(make_task(adapt_directly).submit, requests)


def adapt_directly(request: Request) -> AdaptResult:
    """Do what ``adapt`` does without a task run for each step."""
    given = request.domain, request.k, request.revision, request.draws, request.method
    ask = partial(ask_in_own_run, request.model_dump())
    return adapt_in_order(directly, *given, budget=request.budget, hand_over=ask)
