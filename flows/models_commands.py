"""Commands about adapted models."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from domains.errors import UserError
from flows.terminal import AsJson, err, print_json
from tasks.base.settings import settings

if TYPE_CHECKING:
    from tasks.models.promotion import Change

app = typer.Typer(no_args_is_help=True, help="The models: what is in service, versions, promotion, export.")


Name = Annotated[str, typer.Argument(help="A domain, or meta-FAMILY.")]

Waiting = Annotated[str, typer.Argument(help="The version; the newest that waits unless said.")]


@app.command("list")
def models_list(as_json: AsJson = False) -> None:
    """List every model: the version in service, its age and accuracy.

    Example: acclimate models list
    """
    from tasks.base.artifacts import table_of
    from tasks.models.model_list import list_models, table_cells

    rows = list_models(settings())
    if as_json:
        return print_json(rows)
    nothing = "No models yet: run `acclimate demo`, or `acclimate adapt DOMAIN`."
    Console().print(table_of([table_cells(row) for row in rows]) if rows else nothing)
    return None


@app.command("promote")
def models_promote(
    name: Name,
    version: Annotated[str, typer.Argument(help="A version of it: acclimate models show NAME.")],
    as_json: AsJson = False,
) -> None:
    """Put a version into service whatever the gate said; it has to pass the smoke test.

    Example: acclimate models promote hpo 3
    """
    from tasks.models.promotion import promote_by_hand

    _print_change(promote_by_hand(settings(), name, version), as_json)


@app.command("rollback")
def models_rollback(name: Name, as_json: AsJson = False) -> None:
    """Put the previous champion back into service; no flow puts the one it replaces back.

    Example: acclimate models rollback hpo
    """
    from tasks.models.promotion import rollback

    _print_change(rollback(settings(), name), as_json)


@app.command("release")
def models_release(name: Name, as_json: AsJson = False) -> None:
    """Leave a model that a person promoted or rolled back to the gate again.

    Example: acclimate models release hpo
    """
    from tasks.watch.level import release

    released = release(settings(), name)
    if as_json:
        return print_json({"model": name, "released": released})
    line = f"{name} is left to the gate again, version {', '.join(sorted(released, key=int))}"
    Console().print(line, markup=False, highlight=False, soft_wrap=True)
    return None


@app.command("approve")
def models_approve(name: Name, version: Waiting = "", as_json: AsJson = False) -> None:
    """Approve of the version that waits for it; its run then puts it into service.

    Example: acclimate models approve hpo
    """
    _answer_request(name, version, True, "", as_json)


@app.command("refuse")
def models_refuse(
    name: Name,
    version: Waiting = "",
    reason: Annotated[str, typer.Option(help="Why, for the record.")] = "",
    as_json: AsJson = False,
) -> None:
    """Refuse the version that waits for approval; what is in service stays there.

    Example: acclimate models refuse hpo --reason "labels look wrong"
    """
    _answer_request(name, version, False, reason, as_json)


def _answer_request(name: str, version: str, approve: bool, reason: str, as_json: bool) -> None:
    from tasks.adapt.approval import answer_request
    from tasks.models.verdicts import decision_on

    verdict = decision_on(answer_request(settings(), name, version, approve, reason))
    if as_json:
        return print_json({"model": name} | verdict)
    line = f"{name} version {verdict['version']}: {verdict['decision']}, {verdict['reason']}"
    Console().print(line, markup=False, highlight=False, soft_wrap=True)
    return None


def _print_change(change: "Change", as_json: bool) -> None:
    if as_json:
        return print_json(
            {"model": change.model.name, "version": change.model.version, "before": change.before, "gate": change.gate}
        )
    Console().print(change.line, markup=False, highlight=False, soft_wrap=True)
    if change.changed and change.gate.startswith("refused"):
        err.print(f"the gate had {change.gate}", style="yellow", markup=False, highlight=False, soft_wrap=True)
    return None


@app.command("show")
def models_show(
    name: Name,
    version: Annotated[str, typer.Option(help="The version whose lineage is shown; the champion unless said.")] = "",
    as_json: AsJson = False,
) -> None:
    """Show the versions of a model, newest first, and how the champion is made again to the same weights.

    Example: acclimate models show hpo
    """
    from tasks.base.artifacts import table_of
    from tasks.models.lineage import lineage
    from tasks.models.model_list import list_versions
    from tasks.models.registry import champion, get

    rows = list_versions(settings(), name)
    model = get(settings(), name, version) if version else champion(settings(), name)
    found = None if model is None else lineage(settings(), model)
    if as_json:
        return print_json({"versions": rows, "lineage": found})
    console = Console()
    console.print(table_of(rows))
    if found is None:
        return err.print(f"{name} has no champion; --version N shows the lineage of a version")
    commands, different = found.pop("commands"), found.pop("packages_now_different")
    for what, value in found.items():
        shown = ", ".join(f"{n} {v}" for n, v in value.items()) if isinstance(value, dict) else value
        console.print(f"{what:13} {shown}", markup=False, highlight=False, soft_wrap=True)
    console.print("\nTo make it again:\n", *commands, sep="\n", markup=False, highlight=False, soft_wrap=True)
    for package, (then, now) in different.items():
        err.print(f"{package} was {then}, now it is {now}: weights may differ in the last digits", style="yellow")
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
        from tasks.export.mlflow_folder import export_mlflow

        found = export_mlflow(settings(), name, folder, version)
    else:
        from tasks.export.sentence_transformers import export_sentence_transformers

        found = export_sentence_transformers(settings(), name, folder, version, onnx)
    err.print(f"{name} version {found.version} written to {folder}", markup=False, highlight=False, soft_wrap=True)
