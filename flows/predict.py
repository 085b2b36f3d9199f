"""Predict the files of the project that are new, with the champion of their domain."""

from prefect import flow

from domains.reading.tables import TableOptions
from tasks.base.flow_runs import describe_run
from tasks.base.settings import settings
from tasks.predict.records import Scored
from tasks.predict.steps import plan_predictions, predict_input, report
from tasks.watch import run_locks


@flow(
    name="predict",
    flow_run_name="predict {domain}, {source}",
    timeout_seconds=settings().run_seconds,
    on_running=[run_locks.mark],
)
def predict(
    domain: str,
    source: str,
    output: str = "",
    revision: str = "",
    again: bool = False,
    columns: list[str] | None = None,
    encoding: str | None = None,
    header: bool | None = None,
    sheet: str | None = None,
) -> list[Scored]:
    """Predict a file, or each table of a folder; what the champion predicted of the same bytes is not done again.

    Args:
        domain: a domain with a champion.
        source: a file or folder of the project.
        output: the folder of the project that gets a CSV of each input; if not said, ``.acclimate/predictions``.
        revision: git revision at which DVC keeps the source; if not said, the source is read as it lies there.
        again: also predict what was predicted before.
        columns: of the text; if not said, those of the domain.
        encoding: of text files.
        header: whether names of columns come first.
        sheet: of Excel files.
    """
    describe_run("", domain)
    table = TableOptions(encoding, header, sheet)
    job = plan_predictions(domain, source, output, again, revision, columns or (), table)
    found = [predict_input(job, each) for each in job.inputs]
    return report(job, found)
