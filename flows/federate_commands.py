"""The commands of a federation: serve one, or take part in one."""

from pathlib import Path
from typing import Annotated

import typer

from domains.domain import check_name
from domains.errors import UserError
from flows.terminal import AsJson, err, flows_running, print_json
from tasks.base.settings import families, settings

app = typer.Typer(no_args_is_help=True, help="Meta-train with other sites; examples stay at home.")


@app.command()
def serve(
    sites: Annotated[str, typer.Option(help="Names of all sites, comma-separated.")],
    family: Annotated[str, typer.Option("--family", help="text or vision.")] = "text",
    name: Annotated[str, typer.Option(help="Of the federation.")] = "federation",
    host: Annotated[str, typer.Option(help="The host name by which sites reach this machine.")] = "localhost",
    port: Annotated[
        int, typer.Option(min=1, max=65534, help="The port that sites connect to; the next one hands out certificates.")
    ] = 8102,
    rounds: Annotated[int, typer.Option(min=1, help="How many times the sites' weights are averaged.")] = 50,
    steps: Annotated[int, typer.Option(min=1, help="Meta-updates per learner, site and round.")] = 4,
    learner: Annotated[list[str] | None, typer.Option(help="Only this learner (repeatable).")] = None,
    noise: Annotated[
        float, typer.Option(min=0, help="Differential privacy of sites: noise over the clipping norm; says epsilon.")
    ] = 0.0,
    clip: Annotated[
        float | None, typer.Option(help="The norm that updates are clipped to; what honest steps can reach.")
    ] = None,
    segment: Annotated[int, typer.Option(min=1, help="Rounds after which late sites can join.")] = 10,
    least: Annotated[
        int | None,
        typer.Option(min=1, help="Fewest sites that the start and each round need; half of all.", show_default=False),
    ] = None,
    patience: Annotated[int, typer.Option(min=1, help="Seconds that a round then waits for the other sites.")] = 30,
    encrypted: Annotated[
        bool,
        typer.Option("--encrypted", help="Sites encrypt what is added up, with a key that they share (join --key)."),
    ] = False,
) -> None:
    """Be the server of a federation until every site has the result.

    Printed is first, a site, the command that takes part with a token: send it by a safe way, and to this site alone.
    Whoever has it first is the site, for 72 hours. Stopped or killed, the same command goes on from the last round.

    Example: acclimate federate serve --family text --sites north,south,west --host fl.example.org --rounds 50
    """
    from tasks.federate.invitations import invite, to_invite
    from tasks.federate.kits import make_kits
    from tasks.federate.steps import check_family

    check_family(family)
    (kind,) = families([family])
    if clip is not None and clip <= 0:
        raise UserError(f"--clip {clip}: it must be above 0")
    names = [word.strip() for word in sites.split(",") if word.strip()]
    home = settings().home_path / "federations" / check_name(name)
    make_kits(home, host, port, names)
    for line in invite(home, to_invite(home)).values():
        print(line, flush=True)
    if encrypted:
        err.print("one site makes the key of all: acclimate federate key FILE; each adds to its line: --key FILE")
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
            encrypted=encrypted,
        )
    err.print(f"every site has the result; kits, checkpoints and log: {folder}", markup=False, soft_wrap=True)


@app.command()
def invite(
    site: Annotated[str, typer.Argument(help="The site that gets a new token.")],
    name: Annotated[str, typer.Option(help="Of the federation.")] = "federation",
    hours: Annotated[float, typer.Option(min=0.01, help="Hours for which the token is valid.")] = 72,
) -> None:
    """Print the command that lets a site take part, with a new token; an older one is void. The server may run.

    Example: acclimate federate invite north
    """
    from tasks.federate import invitations

    home = settings().home_path / "federations" / check_name(name)
    print(invitations.invite(home, [site], hours)[site])


@app.command()
def key(
    path: Annotated[Path, typer.Argument(metavar="FILE", help="File to write the key to; only its owner can read it.")],
) -> None:
    """Make the key that the sites of an encrypted federation share: at one site, never at the server.

    Carry it to the other sites by a safe way. Who has it, and what sites send, reads all of it.

    Example: acclimate federate key federation.key
    """
    from tasks.federate.keys import write_key

    write_key(path)
    err.print(f"carry {path} to the other sites, not to the server; each joins with --key {path.name}", markup=False)


@app.command()
def join(
    server: Annotated[
        str, typer.Argument(help="Where the server is, as https://fl.example.org:8103; or a startup kit, or its name.")
    ],
    token: Annotated[
        str,
        typer.Option(
            envvar="ACCLIMATE_TOKEN", help="The token that the server printed for this site.", show_default=False
        ),
    ] = "",
    family: Annotated[str, typer.Option("--family", help="text or vision.")] = "text",
    share: Annotated[
        str, typer.Option(help="learners (their weights), prior (sums of what strategies reach), or both.")
    ] = "learners,prior",
    filters: Annotated[
        list[str] | None,
        typer.Option(
            "--filter",
            help="A privacy filter of FLARE for changes of weights, as percentile:percentile=50,gamma=0.01 or svt.",
            show_default=False,
        ),
    ] = None,
    key_file: Annotated[
        Path | None,
        typer.Option(
            "--key", help="File with the key of an encrypted federation, which one site made.", show_default=False
        ),
    ] = None,
    rev: Annotated[str, typer.Option("--rev", help="Git revision whose data.dvc is read.")] = "HEAD",
    as_json: AsJson = False,
) -> None:
    """Take part in a federation with this project's source domains; register what comes of it, and ask the gate.

    The site's private key is made here and stays. What is sent is said line by line, and kept in federation.log of the
    startup kit. Stopped or killed, the same command goes on.

    Example: acclimate federate join https://fl.example.org:8103 --token north.… --share prior
    """
    from tasks.federate.enrolment import find_kit
    from tasks.federate.kits import read_kit
    from tasks.federate.steps import check_family

    check_family(family)
    (kind,) = families([family])
    kit = find_kit(server, token)
    read_kit(kit)
    parts = [word.strip() for word in share.split(",") if word.strip()]
    with flows_running(settings()):
        from flows.federate_join import federate_join

        version = federate_join(str(kit), kind, parts, rev, filters or (), str(key_file or ""))
    from tasks.models import registry
    from tasks.models.verdicts import decision_on

    verdict = decision_on(registry.get(settings(), registry.meta_name(family), version))
    if as_json:
        known = {"decision": verdict["decision"], "reason": verdict["reason"]}
        return print_json({"family": family, "model_version": version} | known)
    print(", ".join(filter(None, (f"meta-model of family {family}: version {version}", verdict["decision"]))))
    return None
