"""Look for new data and adapt to it: on a schedule, and at once when somebody says that there is some."""

from prefect import flow

from tasks.base.settings import settings
from tasks.watch import run_locks
from tasks.watch.steps import notice_and_submit


@flow(name="watch", flow_run_name="watch", timeout_seconds=settings().tick_seconds, on_running=[run_locks.mark])
def watch(domains: list[str] | None = None, why: str = "") -> str:
    """Open a ledger row for every domain that changed, ask for what is due, and return what was done, in a line.

    Args:
        domains: only these; all, if not said.
        why: what made it necessary, for people; found out, if not said.
    """
    return notice_and_submit(domains or [], why)
