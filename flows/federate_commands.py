"""The commands of a federation: serve one, or take part in one."""

from pathlib import Path
from typing import Annotated

import typer

from domains.errors import UserError
from flows.terminal import AsJson, err, flows_running, print_json
from tasks.base.settings import families, settings

app = typer.Typer(no_args_is_help=True, help="Meta-train with other sites; examples stay at home.")


@app.command()
def serve(
    sites: Annotated[str, typer.Option(help="Names of all sites, comma between them.")],
    family: Annotated[str, typer.Option("--family", help="text or vision.")] = "text",
    name: Annotated[str, typer.Option(help="Of the federation.")] = "federation",
    host: Annotated[str, typer.Option(help="The name by which sites find this machine.")] = "localhost",
    port: Annotated[int, typer.Option(min=1, max=65535, help="The port that they find it at.")] = 8102,
    rounds: Annotated[int, typer.Option(min=1, help="Times that the sites' weights are averaged.")] = 50,
    steps: Annotated[int, typer.Option(min=1, help="Meta-updates a learner, site and round.")] = 4,
    learner: Annotated[list[str] | None, typer.Option(help="Only this learner (repeatable).")] = None,
    noise: Annotated[
        float, typer.Option(min=0, help="Differential privacy of sites: noise over the clipping norm; says epsilon.")
    ] = 0.0,
    clip: Annotated[
        float | None, typer.Option(help="The norm that updates are clipped to; what honest steps can reach.")
    ] = None,
    segment: Annotated[int, typer.Option(min=1, help="Rounds after which late sites come in.")] = 10,
    least: Annotated[
        int | None, typer.Option(min=1, help="Sites without which nothing begins; half of all.", show_default=False)
    ] = None,
    patience: Annotated[int, typer.Option(min=1, help="Seconds that a round waits for the others then.")] = 30,
) -> None:
    """Be the server of a federation until every site has the result.

    Startup kits are made first, one a site: certificates that let it in, over mutual TLS. Bring each to its site by a
    safe way. Stopped or killed, the same command goes on from the last round.

    Example: acclimate federate serve --family text --sites north,south,west --host fl.example.org --rounds 50
    """
    from tasks.federate.kits import check_installed
    from tasks.federate.steps import check_family

    check_installed()
    check_family(family)
    (kind,) = families([family])
    if clip is not None and clip <= 0:
        raise UserError(f"--clip {clip}: a norm is above 0")
    names = [word.strip() for word in sites.split(",") if word.strip()]
    with flows_running(settings()):
        from flows.federate_serve import federate_serve

        folder = federate_serve(
            name,
            kind,
            names,
            host,
            port,
            learner or (),
            rounds=rounds,
            steps=steps,
            noise=noise,
            clip=clip,
            segment=segment,
            least=least,
            patience=patience,
        )
    err.print(f"every site has the result; kits, checkpoints and log: {folder}", markup=False, soft_wrap=True)


@app.command()
def join(
    kit: Annotated[Path, typer.Argument(help="The startup kit that the server's side made for this site.")],
    family: Annotated[str, typer.Option("--family", help="text or vision.")] = "text",
    share: Annotated[
        str, typer.Option(help="learners (their weights), prior (sums of what strategies reach), or both.")
    ] = "learners,prior",
    rev: Annotated[str, typer.Option("--rev", help="Git revision whose data.dvc is read.")] = "HEAD",
    as_json: AsJson = False,
) -> None:
    """Take part in a federation with this project's source domains; register what comes of it, and ask the gate.

    What is sent is said line by line, and kept in federation.log of the kit. Stopped or killed, the same command goes
    on.

    Example: acclimate federate join north --family text --share prior
    """
    from tasks.federate.kits import read_kit
    from tasks.federate.steps import check_family

    check_family(family)
    (kind,) = families([family])
    read_kit(kit.resolve())
    parts = [word.strip() for word in share.split(",") if word.strip()]
    with flows_running(settings()):
        from flows.federate_join import federate_join

        version = federate_join(str(kit.resolve()), kind, parts, rev)
    from tasks.models import registry
    from tasks.models.verdicts import decision_on

    verdict = decision_on(registry.get(settings(), registry.meta_name(family), version))
    if as_json:
        known = {"decision": verdict["decision"], "reason": verdict["reason"]}
        return print_json({"family": family, "model_version": version} | known)
    print(", ".join(filter(None, (f"meta-model of family {family}: version {version}", verdict["decision"]))))
    return None
