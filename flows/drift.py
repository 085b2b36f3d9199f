"""Look whether new examples of domains, or the markets, have drifted from what their champions were adapted on."""

from pathlib import Path
from typing import Annotated

from prefect import flow
from prefect.runtime import flow_run
from pydantic import Field

from tasks.base.flow_runs import describe_run
from tasks.base.settings import settings
from tasks.drift.cases import DriftResult
from tasks.drift.steps import act_on, check_all_known, compare_with_old, plan_drift, report
from tasks.versions.watched_commit import check_faults, revision_to_read
from tasks.watch import run_locks


def run_name() -> str:
    """Return the name of the flow run that begins."""
    asked = flow_run.parameters
    where = f" in {Path(asked['file']).name}" if asked.get("file") else ""
    return f"drift of {asked.get('domain') or 'every champion'}{where}"


@flow(name="drift", flow_run_name=run_name, timeout_seconds=settings().run_seconds, on_running=[run_locks.mark])
def drift(
    domain: str | None = None,
    revision: str = "HEAD",
    file: str | None = None,
    alpha: Annotated[float, Field(gt=0, lt=1)] = 0.01,
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
        UserError: a git remote could not be reached; what is known of it was looked at.
    """
    describe_run("", domain or "")
    notes: list[str] = []
    cases = plan_drift(domain, revision_to_read(revision, notes), file, alpha, column)
    findings = [compare_with_old(case) for case in cases]
    answers = [act_on(finding, adapt) for finding in findings]
    results = check_all_known([report(each) for each in answers])
    check_faults(notes)
    return results
