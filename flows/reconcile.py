"""Set right what dead processes left behind, and ask again for what they were doing."""

from prefect import flow

from tasks.watch import run_locks
from tasks.watch import steps as do


@flow(name="reconcile", flow_run_name="reconcile", on_running=[run_locks.mark])
def reconcile() -> str:
    """Return what was done, in a line."""
    return do.clear_and_submit()
