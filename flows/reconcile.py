"""Set right what dead processes left behind, and ask again for what they were doing."""

from prefect import flow

from tasks import alive
from tasks import watch_steps as do


@flow(name="reconcile", flow_run_name="reconcile", on_running=[alive.mark])
def reconcile() -> str:
    """Return what was done, in a line."""
    return do.clear_and_submit()
