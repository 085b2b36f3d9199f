"""Adapt to many domains in one flow run: a process takes longer to start than a small domain to adapt to.

By configuration (``ACCLIMATE_DASK``) they are spread over a Dask cluster.
"""

from typing import Any

from prefect import flow

from flows.adapt import adapt, steps
from tasks.adapt.batch import Request, adapting, each, runner
from tasks.models.adapt_result import AdaptResult
from tasks.watch import run_locks
from tasks.watch.steps import settle


@flow(name="adapt-many", flow_run_name="adapt to many", task_runner=runner(), on_running=[run_locks.mark])
def adapt_many(requests: list[Request]) -> str:
    """Do each request as a task run, or as a flow run of ``adapt`` where a person is asked; what fails stops no other.

    Args:
        requests: parameters of ``adapt``, one set a domain.
    """
    return each(adapting(adapt, steps_and_settle).submit, requests)


def steps_and_settle(do: Any, **parameters: Any) -> AdaptResult:
    """Do what ``adapt`` does, by plain functions to the end."""
    return steps(do, **parameters, settle=settle)
