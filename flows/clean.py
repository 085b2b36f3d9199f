"""Delete what nothing needs any more: on a schedule, or by hand."""

from prefect import flow

from tasks.base.artifacts import table_artifact
from tasks.base.flow_runs import describe_run
from tasks.base.settings import settings
from tasks.clean.freed import Freed, size_text
from tasks.clean.steps import clean_up, read_keep
from tasks.watch import run_locks
from tasks.watch.run_locks import one_at_a_time


@flow(name="clean", flow_run_name="clean", timeout_seconds=settings().run_seconds, on_running=[run_locks.mark])
def clean(keep: str = "30d", dry_run: bool = False) -> list[Freed]:
    """Return what was freed, by kind.

    Args:
        keep: what was made or used since then stays, as 30d.
        dry_run: only say what would be deleted.
    """
    from prefect.client.orchestration import get_client

    days = read_keep(keep)
    with one_at_a_time("clean"), get_client(sync_client=True) as client:
        freed = clean_up(settings(), client, days, dry_run)
    size = size_text(sum(each.bytes for each in freed))
    describe_run(f"clean: {size} {'to free' if dry_run else 'freed'}" if freed else "clean: nothing to do")
    if freed:
        about = f"What {'would be' if dry_run else 'was'} deleted, as nobody used it for {days} days."
        table_artifact("clean", [each.row for each in freed], about)
    return freed
