"""Look whether new examples of domains, or the markets, have drifted from what their champions were adapted on."""

from prefect import flow

from tasks.base.settings import settings
from tasks.drift.cases import DriftResult
from tasks.drift.steps import act_on, check_all_known, compare_with_old, plan_drift, report
from tasks.versions.watched_commit import revision_to_read
from tasks.watch import run_locks


@flow(name="drift", flow_run_name="drift {domain}", timeout_seconds=settings().run_seconds, on_running=[run_locks.mark])
def drift(
    domain: str | None = None,
    revision: str = "HEAD",
    file: str | None = None,
    alpha: float = 0.01,
    adapt: bool = True,
    column: str | None = None,
) -> list[DriftResult]:
    """Compare what is new with what champions were adapted on; where it drifted, open one run of ``adapt``.

    Args:
        domain: a domain with a champion; all of them if none is named.
        revision: git revision whose ``data.dvc`` names the new unlabelled examples; empty: the one that
            ``ACCLIMATE_WATCH`` names.
        file: new examples of the domain, instead.
        alpha: how often unchanged texts or images may raise an alarm; markets have a rate of their own.
        adapt: whether to open a run of ``adapt``.
        column: the text column of the file.

    Raises:
        DriftUnknownError: a domain of several could not be looked at; the others were.
    """
    cases = plan_drift(domain, revision_to_read(revision), file, alpha, column)
    findings = [compare_with_old(case) for case in cases]
    answers = [act_on(finding, adapt) for finding in findings]
    return check_all_known([report(each) for each in answers])
