"""Commands about adapted models."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from domains.errors import UserError
from flows.terminal import AsJson, err, print_json
from tasks.settings import settings

app = typer.Typer(no_args_is_help=True, help="The adapted models: their versions, and export.")


@app.command("show")
def models_show(
    name: Annotated[str, typer.Argument(help="A domain, or meta-FAMILY.")], as_json: AsJson = False
) -> None:
    """Show the versions of a model, newest first.

    Example: acclimate models show hpo
    """
    from tasks.artifacts import table_of
    from tasks.listing import model_versions

    rows = model_versions(settings(), name)
    if as_json:
        return print_json(rows)
    Console().print(table_of(rows))
    return None


@app.command("export")
def models_export(
    name: Annotated[str, typer.Argument(help="A domain with a champion.")],
    folder: Annotated[Path, typer.Argument(help="A new folder.")],
    version: Annotated[str, typer.Option(help="A version of the model; the champion unless said.")] = "",
    onnx: Annotated[bool, typer.Option("--onnx", help="Write model.onnx too (pip install onnx onnxscript).")] = False,
    mlflow: Annotated[bool, typer.Option("--mlflow", help="Write what `mlflow models serve -m` serves.")] = False,
) -> None:
    """Write a model of texts as a folder that sentence-transformers loads; its README says how.

    With --mlflow: a model of any family as a folder that MLflow serves, its encoder with it.

    Example: acclimate models export hpo hpo-model
    """
    if mlflow:
        if onnx:
            raise UserError("--onnx and --mlflow are two formats; choose one and run again for the other")
        from tasks.export_mlflow import export_mlflow

        found = export_mlflow(settings(), name, folder, version)
    else:
        from tasks.export import export

        found = export(settings(), name, folder, version, onnx)
    err.print(f"{name} version {found.version} written to {folder}", markup=False, highlight=False, soft_wrap=True)
