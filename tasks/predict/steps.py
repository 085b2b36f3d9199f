"""The Prefect tasks of the flow ``predict``."""

from collections.abc import Sequence
from dataclasses import dataclass

from prefect import task
from prefect.cache_policies import NO_CACHE

from domains.errors import UserError
from domains.reading.tables import TableOptions
from tasks.base.progress import say
from tasks.base.retries import RETRIES, is_tried_again
from tasks.base.settings import settings
from tasks.predict import scoring
from tasks.predict.page import publish
from tasks.predict.records import Scored
from tasks.predict.scoring import Job
from tasks.predict.sources import Input
from tasks.watch.run_locks import one_at_a_time


@dataclass(frozen=True)
class Fault:
    """An input that could not be predicted, and why."""

    name: str
    why: str


@task(cache_policy=NO_CACHE, **RETRIES)
def plan_predictions(
    domain: str,
    source: str,
    output: str = "",
    again: bool = False,
    revision: str = "",
    columns: Sequence[str] = (),
    table: TableOptions | None = None,
) -> Job:
    """Return what is to be predicted."""
    return scoring.plan(settings(), domain, source, output, again, revision, tuple(columns), table)


@task(cache_policy=NO_CACHE, task_run_name="predict {given.name}", **RETRIES)
def predict_input(job: Job, given: Input) -> Scored | Fault:
    """Predict one input; what is wrong with it stops no other."""
    try:
        with one_at_a_time(f"predict-{job.domain}"):
            found = scoring.score(settings(), job, given)
    except UserError as error:
        if is_tried_again(error):
            raise
        say(str(error))
        return Fault(given.name, str(error))
    say(found.line())
    return found


@task(cache_policy=NO_CACHE)
def report(job: Job, found: Sequence[Scored | Fault]) -> list[Scored]:
    """Leave the artifact ``predict-<domain>`` and return what was predicted.

    Raises:
        UserError: some inputs could not be predicted.
    """
    scored = [each for each in found if isinstance(each, Scored)]
    faults = [each.why for each in found if isinstance(each, Fault)]
    publish(job.domain, job.champion.version, scored, faults)
    if faults:
        raise UserError(f"{len(faults)} of {len(found)} inputs were not predicted: {faults[0]}")
    return scored
