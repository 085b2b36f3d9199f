"""The command that looks for drift."""

from pathlib import Path
from typing import Annotated

import typer

from domains.errors import UserError
from flows.terminal import AsJson, flows_running, print_json
from tasks.base.settings import settings


def drift(
    domain: Annotated[str | None, typer.Argument(help="A domain with a champion; all if none is named.")] = None,
    file: Annotated[
        Path | None, typer.Option("--file", help="New examples, as `acclimate predict` reads them.")
    ] = None,
    rev: Annotated[str, typer.Option("--rev", help="Git revision with the new unlabelled examples.")] = "HEAD",
    alpha: Annotated[float, typer.Option(help="False-alarm rate: how often unchanged data may raise an alarm.")] = 0.01,
    adapt: Annotated[bool, typer.Option(help="Start a run of adapt where drift is found.")] = True,
    column: Annotated[str | None, typer.Option(help="The text column of the file.")] = None,
    as_json: AsJson = False,
) -> None:
    """Test whether new examples are unlike those that champions were adapted on.

    A line a domain. New are unlabelled examples that were not there when the champion was adapted, or those of a file;
    of markets, days. Where drift is found, a run of adapt is opened.

    Example: acclimate drift hpo --file new.csv
    """
    if file is not None and not file.exists():
        raise UserError(f"{file}: no such file")
    from tasks.drift.steps import DriftUnknownError, plan_drift

    name = None if file is None else str(file.resolve())
    cases = plan_drift.fn(domain, rev, name, alpha, column)  # what is wrong is said before a server is started
    found, failed = [], None
    if cases:
        with flows_running(settings()):
            from flows.drift import drift as run_drift

            try:
                found = run_drift(domain, rev, name, alpha, adapt, column)
            except DriftUnknownError as error:
                found, failed = error.results, error
    if as_json:
        print_json([result.model_dump() for result in found])
    else:
        lines = "\n".join(result.line() for result in found)
        print(lines or "no domain has a champion yet; run `acclimate adapt DOMAIN`")
    if failed:
        raise failed
