"""The Prefect tasks of the flow ``drift``."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from prefect import task
from prefect.cache_policies import NO_CACHE

from domains.errors import UserError, first_line
from domains.words import some
from tasks.base.retries import RETRIES, is_tried_again
from tasks.base.settings import Settings, settings
from tasks.drift.cases import DriftCase, DriftResult, drift_result, find_cases, has_same_data
from tasks.drift.examples import compare_examples
from tasks.drift.market import compare_market
from tasks.drift.page import drift_page, publish
from tasks.versions.snapshots import domains_at
from tasks.versions.watched_commit import check_faults, commit_to_watch


@dataclass(frozen=True)
class DriftFinding:
    """A case, its outcome, and the page that shows why."""

    case: DriftCase
    result: DriftResult
    page: str


class DriftUnknownError(UserError):
    """Some domains could not be compared, or adapted to where they drifted; the others are in ``results``."""

    def __init__(self, message: str, results: Sequence[DriftResult] = ()) -> None:
        super().__init__(message)
        self.results = list(results)


@task(cache_policy=NO_CACHE, **RETRIES)
def plan_drift(
    domain: str | None, revision: str, file: str | None, alpha: float, column: str | None = None
) -> list[DriftCase]:
    """Return what to look at: the domain named, or all with a champion."""
    return find_cases(settings(), domain, revision, None if file is None else Path(file), alpha, column)


@task(cache_policy=NO_CACHE, task_run_name="compare {case.domain}", **RETRIES)
def compare_with_old(case: DriftCase) -> DriftFinding:
    """Compare what is new of a domain with what its champion was adapted on."""
    s = settings()
    try:
        if case.champion.tags["family"] == "market":
            market = compare_market(s, case)
            return DriftFinding(case, market.result, drift_page(market.result, regime=market.regime))
        compared = compare_examples(s, case)
        return DriftFinding(case, compared.result, drift_page(compared.result, compared.farthest))
    except Exception as error:  # of one domain, its files or its model: the others go on
        if not case.patient or is_tried_again(error):
            raise
        unknown = drift_result(case, "unknown", f"unknown: {error}", fault=first_line(error))
        return DriftFinding(case, unknown, drift_page(unknown))


@task(cache_policy=NO_CACHE)
def act_on(finding: DriftFinding, adapt: bool) -> DriftFinding:
    """Have the domain adapted to where drift was found, if that is wanted and there is new data to adapt on."""
    try:
        return adapt_where_drifted(finding, adapt)
    except Exception as error:  # as above
        if not finding.case.patient:
            raise
        wrong = first_line(error)
        failed = {"action": f"not adapted to: {wrong}", "fault": wrong}
        return DriftFinding(finding.case, finding.result.model_copy(update=failed), finding.page)


def adapt_where_drifted(finding: DriftFinding, adapt: bool) -> DriftFinding:
    """Do what ``act_on`` does."""
    case, result = finding.case, finding.result
    if result.state != "drift":
        return finding
    if has_same_data(case) or not case.content_hash:
        action = (
            f"add the examples to the pool in data/{case.domain}, then `acclimate data commit` and `acclimate adapt`"
        )
    elif adapt:
        action = open_adaptation(settings(), case.domain, case.revision, result.why)
    else:
        action = f"to adapt: acclimate adapt {case.domain}"
    return DriftFinding(case, result.model_copy(update={"action": action}), finding.page)


@task(cache_policy=NO_CACHE)
def report(finding: DriftFinding) -> DriftResult:
    """Leave the artifact ``drift-<domain>``."""
    publish(finding.result, finding.page)
    return finding.result


def check_all_known(results: list[DriftResult]) -> list[DriftResult]:
    """Return the results, or raise DriftUnknownError where something went wrong with some of them."""
    if faults := [f"{result.domain}: {result.fault}" for result in results if result.fault]:
        raise DriftUnknownError(f"{len(faults)} of {len(results)} domains failed: {some(faults)}", results)
    return results


def open_adaptation(settings: Settings, domain: str, revision: str, why: str) -> str:
    """Open the ledger's row of a domain at a commit and create the flow runs that are due; say what came of it.

    The same domain, data and meta-model have one row, however often this is called, and whether ``watch`` or this is
    first. Data that the watched revision no longer has are not adapted to.
    """
    from prefect.client.orchestration import get_client

    from tasks.watch import ledger
    from tasks.watch.noticing import notice
    from tasks.watch.submitting import submit_due

    notes: list[str] = []
    number = ledger.begin_look(settings)
    commit = commit_to_watch(settings, notes)
    asked, looked_at = (domains_at(settings.root_path, at).get(domain) for at in (commit, revision))
    if asked != looked_at:
        return f"the watched revision has other data of it; to adapt all the same: acclimate adapt {domain} --rev REV"
    opened, more = notice(settings, commit, [domain], f"drift: {why}", number)
    check_faults(more)
    with get_client(sync_client=True) as client:
        submitted, late = submit_due(settings, client)
    if domain in submitted:
        return f"adapt asked for as run {submitted[domain][:8]}"
    if opened or notes or more or late:
        return "; ".join([*notes, *more, *late]) or f"adapted to before; acclimate models show {domain}"
    return "its new data are in the ledger already; see acclimate status"
