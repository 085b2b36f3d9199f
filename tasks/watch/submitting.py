"""From rows of the ledger to flow runs: one for each row, and another where a run ended without doing its rows."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from domains.errors import UserError
from tasks.base.settings import Settings
from tasks.models.adapt_result import AdaptResult
from tasks.watch import ledger
from tasks.watch.ledger import LedgerRow

ADAPT, ADAPT_MANY = "adapt/acclimate", "adapt-many/acclimate"
TOGETHER = 4  # from so many rows on, one flow run does several: a process takes seconds to start
ATTEMPTS = 5
FIRST_DELAY = timedelta(minutes=2)  # after a failure, doubled each time; after the death of a process there is none


def submit_due(settings: Settings, client: Any) -> tuple[dict[str, str], list[str]]:
    """Create a flow run for every open row that has none, or whose run ended before its adaptation did.

    Args:
        client: a synchronous Prefect client.

    Returns:
        The flow run's id by domain, and what could not be done.
    """
    due = [row for row in ledger.list_rows(settings, "open") if is_due(settings, client, row)]
    if not due:
        return {}, []
    created: dict[str, str] = {}
    try:
        for batch in divide_into_batches(due, settings.processes):
            created |= create_run(settings, client, batch)
    except LookupError as error:
        return created, [
            f"no deployment {error}: `acclimate up` registers it; {len(due) - len(created)} wait in the ledger"
        ]
    return created, []


def divide_into_batches(due: Sequence[LedgerRow], processes: int) -> list[list[LedgerRow]]:
    """Divide rows into flow runs: one each where there are few, else one a process."""
    if len(due) < TOGETHER:
        return [[row] for row in due]
    return [list(due[i::processes]) for i in range(processes)]


def create_run(settings: Settings, client: Any, batch: Sequence[LedgerRow]) -> dict[str, str]:
    """Create the flow run of these rows, unless there is one, and record it in the ledger."""
    from prefect.exceptions import ObjectNotFound

    name = ADAPT if len(batch) == 1 else ADAPT_MANY
    try:
        deployment = client.read_deployment_by_name(name)
    except ObjectNotFound:
        raise LookupError(name) from None
    attempts = {row.name: row.attempts + 1 for row in batch}
    parameters = batch[0].parameters if name == ADAPT else {"requests": [row.parameters for row in batch]}
    run = client.create_flow_run_from_deployment(
        deployment.id,
        parameters=parameters,
        tags=["acclimate", "watch"],
        idempotency_key=ledger.row_name(*(f"{row} {attempts[row]}" for row in sorted(attempts))),
    )
    ledger.record_run(settings, attempts, str(run.id))
    return {row.domain: str(run.id) for row in batch}


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


def is_due(settings: Settings, client: Any, row: LedgerRow) -> bool:
    """Whether a row needs a flow run now; closes it where no further run would help."""
    if not row.flow_run:
        return True
    from prefect.exceptions import ObjectNotFound

    try:
        state = client.read_flow_run(UUID(row.flow_run)).state
    except ObjectNotFound:  # the server's database is another one now
        return True
    if state is None or not state.is_final():
        return False
    if state.is_cancelled():
        ledger.give_up(settings, row.name, "a person cancelled its run; acclimate adapt starts it again")
        return False
    reason = " ".join((state.message or "").split())
    if row.attempts >= ATTEMPTS:
        ledger.give_up(settings, row.name, f"{row.attempts} runs of it failed: {reason}"[:500])
        return False
    if state.is_crashed() or state.is_completed():
        return True
    waited = datetime.now(UTC) - state.timestamp  # negative where the clock was put back
    return not timedelta(0) <= waited < FIRST_DELAY * 2 ** (row.attempts - 1)
