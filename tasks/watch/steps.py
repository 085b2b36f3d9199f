"""The Prefect tasks of the flows ``watch`` and ``reconcile``."""

from typing import TYPE_CHECKING

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.logging import get_run_logger

from tasks.base.artifacts import table_artifact
from tasks.base.settings import settings
from tasks.service.up import worker_since
from tasks.watch import reconciling
from tasks.watch import run_locks as alive
from tasks.watch.ledger import rows, shown
from tasks.watch.submitting import submit_due

if TYPE_CHECKING:
    from tasks.watch.noticing import Tick

SHOWN = 50  # rows of the ledger in its artifact


@task(cache_policy=NO_CACHE)
def notice_and_submit(only: list[str], why: str = "") -> str:
    """Do one tick and say in a line what came of it."""
    from tasks.watch import noticing as watching  # two seconds, which reconcile need not spend

    done = watching.tick(settings(), only, why)
    for note in done.notes:
        get_run_logger().warning(note)
    if done.opened or done.asked:
        show_ledger()
    return line(done)


@task(cache_policy=NO_CACHE)
def clear_and_submit() -> str:
    """Clear what dead processes left, ask again for what they were doing, and say what was done."""
    from prefect.client.orchestration import get_client

    s = settings()
    ended = alive.ended(s)  # first: of one that dies meanwhile the file is what the next run goes by
    with get_client(sync_client=True) as client:
        cleared = reconciling.clear_dead_runs(s, client, worker_since(s))
        reconciling.clear_files(s, ended)
        asked, notes = submit_due(s, client)
    for said in (*cleared, *notes):
        get_run_logger().warning(said)
    if asked:
        show_ledger()
    return f"{len(cleared)} dead runs cleared, {len(asked)} adaptations asked for"


def line(done: "Tick") -> str:
    """Return a tick in a line."""
    new = ", ".join(row.domain for row in done.opened if row.status == "open") or "nothing"
    return f"{done.commit[:12]}: new {new}; {len(done.asked)} adaptations asked for" + "".join(
        f"; {note}" for note in done.notes
    )


def show_ledger() -> None:
    """Leave the newest rows of the ledger as an artifact."""
    newest = rows(settings())[::-1][:SHOWN]
    said = f"The {len(newest)} newest rows of the ledger: versions of domains and what came of them."
    table_artifact("ledger", [shown(row) for row in newest], said)
