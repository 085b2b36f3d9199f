"""Set right what dead processes left behind, and ask again for what they were doing."""

from prefect import flow

from tasks.base.settings import settings
from tasks.watch import run_locks
from tasks.watch.steps import clear_and_submit


@flow(name="reconcile", flow_run_name="reconcile", timeout_seconds=settings().tick_seconds, on_running=[run_locks.mark])
def reconcile() -> str:
    """Return what was done, in a line."""
    return clear_and_submit()
