"""Commands about the data and its versions."""

from typing import Annotated

import typer

from domains.errors import UserError
from flows.terminal import AsJson, flows_running, print_json
from tasks.settings import settings

app = typer.Typer(no_args_is_help=True, help="The data and its versions.")


@app.command("build")
def data_build(force: Annotated[bool, typer.Option(help="Build again what is there.")] = False) -> None:
    """Build the built-in domains and prove that they are what data.dvc names.

    Example: acclimate data build
    """
    with flows_running(settings()):
        from flows.ingest import ingest

        print(f"data/ is what data.dvc names at {ingest(force)}")


@app.command("verify")
def data_verify(as_json: AsJson = False) -> None:
    """Prove that data/ is what the committed data.dvc names.

    Example: acclimate data verify
    """
    from dataclasses import asdict

    from tasks.data import verify

    found = verify(settings().root_path)
    if as_json:
        print_json(asdict(found))
    elif found.ok:
        print(f"data/ is what data.dvc names: {found.actual}")
    if not found.ok:
        what = ", ".join(found.changed or ("unknown which domain",))
        raise UserError(
            f"data/ is not what data.dvc names (differs: {what}); `acclimate data build --force` rebuilds it"
        )
