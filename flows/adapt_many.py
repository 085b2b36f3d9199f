"""Adapt to many domains in one flow run: a process takes longer to start than a small domain to adapt to.

By configuration (``ACCLIMATE_DASK``) they are spread over a Dask cluster.
"""

from prefect import flow

from flows.adapt import adapt, steps
from tasks.adapt.batch import Request, adapting, each, runner
from tasks.watch import run_locks as alive


@flow(name="adapt-many", flow_run_name="adapt to many", task_runner=runner(), on_running=[alive.mark])
def adapt_many(requests: list[Request]) -> str:
    """Do each request as a task run, or as a flow run of ``adapt`` where a person is asked; what fails stops no other.

    Args:
        requests: parameters of ``adapt``, one set a domain.
    """
    return each(adapting(adapt, steps).submit, requests)
