"""From rows of the ledger to flow runs: one for each row, and another where a run ended without doing its rows.

Rows are claimed in the ledger under a name, which then is the idempotency key of the flow run: whoever was killed
between the two, or does the same at the same moment, asks for the same run again.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from domains.errors import UserError
from tasks.base.settings import Settings
from tasks.models.adapt_result import AdaptResult
from tasks.watch import ledger
from tasks.watch.ledger import ATTEMPTS, CRASHES, Ended, LedgerRow

ADAPT, ADAPT_MANY = "adapt/acclimate", "adapt-many/acclimate"
TOGETHER = 4  # from so many rows on, one flow run does several: a process takes seconds to start
FIRST_DELAY = timedelta(minutes=2)  # after a failure, or the second death of a process; doubled each time
LONGEST_DELAY = timedelta(hours=1)
ALONE = 2  # a row that was crashed so often runs by itself, as it may be what kills the others

Due = tuple[LedgerRow, Ended]


def submit_due(settings: Settings, client: Any) -> tuple[dict[str, str], list[str]]:
    """Create a flow run for every open row that has none, or whose run ended before its adaptation did.

    Args:
        client: a synchronous Prefect client.

    Returns:
        The flow run's id by domain, and what could not be done.
    """
    rows = ledger.list_rows(settings, "open")
    batches: dict[str, list[LedgerRow]] = {}
    due: list[Due] = []
    for row in rows:
        if row.batch and not row.flow_run:  # claimed by one that was killed, or is about to create the run
            batches.setdefault(row.batch, []).append(row)
        elif (ended := how_it_ended(settings, client, row)) is not None:
            due.append((row, ended))
    created: dict[str, str] = {}
    try:
        for batch, claimed in batches.items():
            created |= create_run(settings, client, batch, claimed)
        for together in divide_into_batches(due, settings.processes):
            deployment_of(client, len(together))
            batch = uuid4().hex
            created |= create_run(settings, client, batch, ledger.claim(settings, together, batch))
    except LookupError as error:
        waiting = sum(map(len, batches.values())) + len(due) - len(created)
        return created, [f"no deployment {error}: `acclimate up` registers it; {waiting} wait in the ledger"]
    return created, []


def divide_into_batches(due: Sequence[Due], processes: int) -> list[list[Due]]:
    """Divide rows into flow runs: one each where there are few, else one a process."""
    alone, others = [], []
    for row, ended in due:
        (alone if row.crashes + (ended == "crashed") >= ALONE else others).append((row, ended))
    if len(others) < TOGETHER:
        return [[one] for one in due]
    return [[one] for one in alone] + [others[i::processes] for i in range(min(processes, len(others)))]


def deployment_of(client: Any, rows: int) -> Any:
    """Return the deployment that does so many rows.

    Raises:
        LookupError: it is not registered; its name.
    """
    from prefect.exceptions import ObjectNotFound

    name = ADAPT if rows == 1 else ADAPT_MANY
    try:
        return client.read_deployment_by_name(name)
    except ObjectNotFound:
        raise LookupError(name) from None


def create_run(settings: Settings, client: Any, batch: str, rows: Sequence[LedgerRow]) -> dict[str, str]:
    """Create the flow run of rows that were claimed, unless there is one, and record it in the ledger."""
    if not rows:
        return {}
    one = len(rows) == 1
    run = client.create_flow_run_from_deployment(
        deployment_of(client, len(rows)).id,
        parameters=rows[0].parameters if one else {"requests": [row.parameters for row in rows]},
        tags=["acclimate", "watch"],
        idempotency_key=batch,
    )
    ledger.record_run(settings, batch, str(run.id))
    return {row.domain: str(run.id) for row in rows}


def ask_in_own_run(parameters: dict[str, Any], result: AdaptResult) -> str:
    """Create a run of ``adapt`` that asks a person about a challenger that was made in a run of many; return its id.

    Args:
        parameters: of ``adapt``, which made the challenger.

    Raises:
        UserError: ``adapt`` is not deployed.
    """
    from prefect.client.orchestration import get_client
    from prefect.exceptions import ObjectNotFound
    from prefect.runtime import flow_run

    made_from = {"revision": result.revision, "meta_version": result.meta_version, "approval": True}
    with get_client(sync_client=True) as client:
        try:
            deployment = client.read_deployment_by_name(ADAPT)
        except ObjectNotFound:
            raise UserError(
                f"nobody can be asked about {result.domain}: no deployment {ADAPT}, run acclimate up"
            ) from None
        run = client.create_flow_run_from_deployment(
            deployment.id,
            parameters=parameters | made_from,
            tags=["acclimate", "watch"],
            idempotency_key=f"approval {result.domain} {result.model_version} {flow_run.id}",
        )
    return str(run.id)


def how_it_ended(settings: Settings, client: Any, row: LedgerRow) -> Ended | None:
    """Return how the last flow run of a row that needs one now ended; None: it needs none.

    A row is closed where no further run would help.
    """
    if not row.flow_run:
        return ""
    from prefect.exceptions import ObjectNotFound

    try:
        state = client.read_flow_run(UUID(row.flow_run)).state
    except ObjectNotFound:  # the server's database is another one now
        return _again(settings, row, "crashed", "the server knows it no more", datetime.fromisoformat(row.changed))
    if state is None or not state.is_final():
        return None
    if state.is_cancelled():
        ledger.give_up(settings, row.name, "a person cancelled its run; acclimate adapt starts it again")
        return None
    ended: Ended = "crashed" if state.is_crashed() else "failed"
    since = datetime.min.replace(tzinfo=UTC) if state.is_completed() else state.timestamp
    return _again(settings, row, ended, " ".join((state.message or "").split()), since)


def _again(settings: Settings, row: LedgerRow, ended: Ended, reason: str, since: datetime) -> Ended | None:
    count, most = (row.crashes, CRASHES) if ended == "crashed" else (row.failures, ATTEMPTS)
    if count + 1 >= most:
        hint = "; it may need more memory than there is" if ended == "crashed" else ""
        ledger.give_up(settings, row.name, f"{most} runs of it {ended}: {reason}"[:500] + hint)
        return None
    waited = datetime.now(UTC) - since  # negative where the clock was put back
    return None if timedelta(0) <= waited < delay(ended, count) else ended


def delay(ended: Ended, before: int) -> timedelta:
    """Return how long a row waits after its run failed or crashed, which so many had done before.

    The first crash is that of a machine that was restarted, or a process that was killed: it costs no time.
    """
    doublings = before - (ended == "crashed")
    return timedelta(0) if doublings < 0 else min(FIRST_DELAY * 2**doublings, LONGEST_DELAY)
