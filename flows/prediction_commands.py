"""The commands that predict: a file, and whatever is asked over HTTP."""

from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

import typer

from domains.errors import UserError
from flows.terminal import AsJson, Encoding, Header, Sheet, err, flows_running, print_json, print_warnings
from tasks.base.settings import settings


def predict(
    domain: Annotated[str, typer.Argument(help="A domain with a champion.")],
    file: Annotated[Path, typer.Argument(help="What `domains add` reads: a table, images, a dataset, or prices.")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write a CSV here; with --flow, the folder of the CSVs.")
    ] = None,
    column: Annotated[
        list[str] | None,
        typer.Option("--column", "--text-column", help="The text column; several are joined; that of the domain."),
    ] = None,
    encoding: Encoding = None,
    header: Header = None,
    sheet: Sheet = None,
    flow: Annotated[
        bool, typer.Option("--flow", help="As a flow run: what is new in the file or folder, kept for drift.")
    ] = False,
    again: Annotated[bool, typer.Option("--again", help="With --flow: what was predicted before, too.")] = False,
    rev: Annotated[
        str, typer.Option("--rev", help="With --flow: as DVC keeps it at a git revision.", show_default=False)
    ] = "",
    as_json: AsJson = False,
) -> None:
    """Predict new examples with the champion of a domain.

    label: the most probable one. probability: of that label, calibrated.

    set: labels that come into question, | between them (a JSON list
    where a label holds |); made to hold the true one for 90 of 100
    examples. Empty: the model knows no sets.

    ask: "ask a person" where the set has more than one label or the
    probability is below 0.5; without sets, where it is below 0.9.

    outside: the example is of none of the classes; a person is asked.
    typical: the share of known examples that are no more typical; outside
    is below 0.05. Older models and those of markets say neither.

    With --flow: a file or folder of the project is predicted as a run that Prefect shows, each table in it once by each
    champion, into .acclimate/predictions. `acclimate drift` then looks at what was predicted last.

    Example: acclimate predict hpo new.csv -o out.csv

    Example: acclimate predict hpo inbox --flow
    """
    if flow:
        options = (list(column or ()), encoding, header, sheet)
        return predict_by_flow(domain, str(file.absolute()), output, rev, again, *options, as_json)
    if again or rev:
        raise UserError("--again and --rev go with --flow")
    if not file.exists():
        raise UserError(f"{file}: no such file")
    from domains.reading.tables import TableOptions
    from domains.whole_file import whole_file
    from tasks.models.prediction import predict_batches
    from tasks.models.prediction_output import write_predictions

    found = predict_batches(settings(), domain, file, tuple(column or ()), TableOptions(encoding, header, sheet))
    with nullcontext() if output is None else whole_file(output) as stream:
        written = write_predictions(found.frames, stream, as_json)
    print_warnings(file, found.warnings)
    if output is not None:
        err.print(f"{written} predictions written to {output}", markup=False, soft_wrap=True)
    return None


def predict_by_flow(
    domain: str,
    source: str,
    output: Path | None,
    revision: str,
    again: bool,
    columns: list[str],
    encoding: str | None,
    header: bool | None,
    sheet: str | None,
    as_json: bool,
) -> None:
    """Run the flow ``predict`` and print a line for each input."""
    from domains.reading.tables import TableOptions
    from tasks.predict.steps import plan_predictions

    folder = "" if output is None else str(output.absolute())
    table = TableOptions(encoding, header, sheet)
    # what is wrong is said before a server is started
    plan_predictions.fn(domain, source, folder, again, revision, columns, table)
    with flows_running(settings()):
        from flows.predict import predict as run_predict

        found = run_predict(domain, source, folder, revision, again, columns, encoding, header, sheet)
    if as_json:
        return print_json([each.model_dump() for each in found])
    for each in found:
        print_warnings(each.source, () if each.reused else each.warnings)
    print("\n".join(each.line() for each in found) or f"{source}: nothing to predict in it")
    return None


def serve(
    domain: Annotated[str, typer.Argument(help="A domain with a champion.")],
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: any that is free.")] = 5001,
    host: Annotated[
        str, typer.Option(help="Address to listen at; by default only this machine can reach it.")
    ] = "127.0.0.1",
) -> None:
    """Serve the champion of a domain over HTTP, by MLflow's model server, until Ctrl-C.

    POST /invocations predicts, GET /health tells that it runs, GET /metrics is for Prometheus. A new champion is loaded
    and tried while the one before it answers, then takes its place.

    Example: acclimate serve hpo --port 5001
    """
    from tasks.serving.server import serve as run_server

    run_server(
        settings(), domain, host, port, lambda line: err.print(line, markup=False, highlight=False, soft_wrap=True)
    )
