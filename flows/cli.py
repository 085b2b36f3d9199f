"""The command line. Everything heavy is imported inside a command, so that ``--help`` is quick."""

import atexit
import gc
import os
import sys

if __name__ == "__main__" and not sys.flags.safe_path and not __file__.startswith(os.path.join(sys.path[0], "flows")):
    del sys.path[0]  # of `python -m`: the folder that it was typed in, where a tasks.py may be a user's own

from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from domains.errors import UserError
from flows import (
    bench_commands,
    data_commands,
    decision_commands,
    domains_commands,
    drift_commands,
    federate_commands,
    models_commands,
    prediction_commands,
)
from flows.terminal import (
    INTERRUPTED,
    AsJson,
    err,
    flows_running,
    one_line_errors,
    print_json,
    print_warnings,
    warn_of_uncommitted,
)
from tasks.base.settings import PoolType, settings
from tasks.service import forks

if TYPE_CHECKING:
    from collections.abc import Sequence

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False, rich_markup_mode="rich", add_completion=False)
app.add_typer(domains_commands.app, name="domains")
app.add_typer(data_commands.app, name="data")
app.add_typer(models_commands.app, name="models")
app.add_typer(federate_commands.app, name="federate")
app.command()(drift_commands.drift)

K = Annotated[int, typer.Option("--k", min=1, help="Labels a class.")]
OnlyK = Annotated[
    int | None,
    typer.Option("--k", min=1, help="Use only this many labels per class: an experiment.", show_default="all"),
]
Draws = Annotated[int, typer.Option(min=1, help="Support draws of --k labels a class behind each interval.")]
Revision = Annotated[str, typer.Option("--rev", help="Git revision whose data.dvc is read.")]
Steps = Annotated[int | None, typer.Option(min=1, help="Meta-updates per learner, in place of the recipe's.")]

#: Commands that are forked off where `acclimate up` runs.
QUICK = {"adapt", "clean", "data", "domains", "drift", "models", "predict", "reconcile", "status", "watch"}


def show_version(asked: bool) -> None:
    """Print the version and end, if that was asked for."""
    if asked:
        print(f"acclimate {metadata.version('acclimate')}")
        raise typer.Exit


@app.callback()
def acclimate(
    version: Annotated[
        bool, typer.Option("--version", help="Show the version.", is_eager=True, callback=show_version)
    ] = False,
) -> None:
    """Meta-train on many old domains, adapt to a new one from few labels; watched in Prefect."""


@app.command()
def init(folder: Annotated[Path, typer.Argument(help="The folder; made where it is absent.")] = Path()) -> None:
    """Make a folder a project: a git repository with data.dvc and prefect.yaml, where every command works.

    Example: acclimate init my-project
    """
    from tasks.versions.new_project import init as make_project

    names = make_project(folder)
    print(f"{folder.resolve()} is a project; committed: {', '.join(names)}")
    there = folder.resolve() == Path.cwd()
    err.print(f"next: {'' if there else f'cd {folder} && '}acclimate demo", markup=False, soft_wrap=True)


@app.command()
def demo(
    family: Annotated[list[str] | None, typer.Option("--family", help="Only this family (repeatable).")] = None,
    k: K = 10,
    draws: Draws = 10,
    steps: Steps = None,
    as_json: AsJson = False,
) -> None:
    """Run the main job: ingest, meta-train, adapt every quick-start target, report.

    Example: acclimate demo --family text
    """
    from domains import catalogue
    from tasks.base.settings import families
    from tasks.ingest.building import build_named

    names = families(family)
    with flows_running(settings(), lambda: build_named(settings(), list(catalogue.quick_start()))):
        from flows.demo import demo as run_demo

        results = run_demo(names, k, draws, steps)
    if as_json:
        return print_json([result.model_dump() for result in results])
    from tasks.adapt.tables import result_table

    Console().print(result_table(results))
    for result in results:
        print_warnings(result.domain, result.warnings)
    if reused := sum(result.reused for result in results):
        err.print(f"{reused} of {len(results)} were done before, on the same data and settings, and are shown again.")
    err.print("See the runs: [bold]acclimate up[/bold]   Predict: [bold]acclimate predict hpo new.csv[/bold]")
    return None


@app.command()
def up(
    server: Annotated[str, typer.Option(help="Join this Prefect server instead of starting one.")] = "",
    pool_type: Annotated[
        PoolType | None,
        typer.Option(help="What a flow run is: a process here, or a container.", show_default="process"),
    ] = None,
) -> None:
    """Run Prefect server, deployments and a worker until Ctrl-C.

    Example: acclimate up
    """
    from tasks.service.up import run_service

    asked = {} if pool_type is None else {"pool_type": pool_type}
    run_service(settings().model_copy(update=asked), err.print, server)


@app.command(name="meta-train")
def meta_train(
    family: Annotated[str, typer.Option("--family", help="text, vision, market or decisions.")],
    rev: Revision = "HEAD",
    steps: Steps = None,
    learner: Annotated[list[str] | None, typer.Option(help="Only this learner (repeatable).")] = None,
    sources: Annotated[str, typer.Option(help="all, or nearest:K with --for.")] = "all",
    target: Annotated[str, typer.Option("--for", help="The domain to which the nearest:K sources are nearest.")] = "",
    problem: Annotated[
        list[str] | None, typer.Option(help="Decisions: only this problem, such as bandit-k5-n10 (repeatable).")
    ] = None,
    memory: Annotated[str, typer.Option(help="Decisions: gru, attention, slots or none.")] = "",
    teacher: Annotated[
        str,
        typer.Option(help="Decisions: which policy is imitated first, such as gittins or planner; none: no policy."),
    ] = "",
    promote: Annotated[
        bool, typer.Option("--promote", help="Promote it with other steps, learners or sources too, if it passes.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Meta-train the learners of a family on its source domains, or a policy of decisions in sequence (RL2).

    The meta-model comes into service unless it is significantly worse than the one that is. One made with other steps,
    learners or sources than the family's recipe stays out of service without --promote.

    Example: acclimate meta-train --family text --learner ridge --learner protonet

    Example: acclimate meta-train --family decisions --problem bandit-k5-n10 --problem mdp-n10
    """
    from domains.decisions import DECISIONS
    from tasks.base.settings import families

    if family == DECISIONS:
        if learner or target or sources != "all":
            raise UserError("decisions have no source domains and one learner: choose by --problem alone")
        if promote:
            raise UserError("decisions have no gate: a policy is always promoted; leave --promote out")
        return decision_commands.meta_train(problem or (), steps, memory, teacher, as_json)
    for option, said in (("problem", problem), ("memory", memory), ("teacher", teacher)):
        if said:
            raise UserError(f"--{option} is for --family {DECISIONS}, not {family}")
    (kind,) = families([family])
    from tasks.meta_train.steps import Nearest, plan_meta_training

    near, plan = Nearest.parse(sources, target), plan_meta_training.fn(family, rev, steps, learner or ())
    if near is not None:
        near.domain(plan)
    warn_of_uncommitted(rev, plan.revision, [domain.name for domain in plan.domains])
    with flows_running(settings()):
        from flows.meta_train import meta_train as run_meta_train

        version = run_meta_train(kind, plan.revision, steps, learner or (), near, promote)
    from tasks.models import registry
    from tasks.models.verdicts import decision_on

    verdict = decision_on(registry.get(settings(), registry.meta_name(family), version))
    if as_json:
        verdict = {"decision": verdict["decision"], "reason": verdict["reason"]}
        return print_json({"family": family, "model_version": version} | verdict)
    print(", ".join(filter(None, (f"meta-model of family {family}: version {version}", verdict["decision"]))))
    return None


@app.command()
def adapt(
    domain: Annotated[str, typer.Argument(help="A target domain.")],
    k: OnlyK = None,
    rev: Revision = "HEAD",
    draws: Draws = 10,
    method: Annotated[str, typer.Option(help="A strategy by name; auto: chosen inside the support set.")] = "auto",
    meta_version: Annotated[
        str, typer.Option(help="Version or key of the meta-model, or none; the one in service unless said.")
    ] = "",
    objective: Annotated[
        str, typer.Option(help="accuracy, balanced_accuracy or macro_f1; unless said, what the domain says.")
    ] = "",
    budget: Annotated[
        str, typer.Option(help="How long an encoder may be tuned to the labels: 90s, 10m, 1h.", show_default=False)
    ] = "",
    suggest: Annotated[
        int | None, typer.Option(min=1, help="Also write this many pool examples to label next.", show_default=False)
    ] = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="File that --suggest writes.")] = Path("to_label.csv"),
    as_json: AsJson = False,
) -> None:
    """Adapt to a domain from all its labels and its unlabelled pool; promote what passes the gate.

    With --suggest, also write the pool examples whose labels would help most, and forecast the accuracy at twice the
    labels.

    Example: acclimate adapt hpo --suggest 20 -o to_label.csv
    """
    from tasks.adapt.plan import plan_adaptation

    # What is wrong is said before a server is started; and what is run, and asked about, is this plan: the commit and
    # the meta-model are resolved here alone.
    plan = plan_adaptation(domain, rev, k, draws, method, meta_version, objective, budget)
    warn_of_uncommitted(rev, plan.domain.revision, [domain])
    if suggest is not None:
        from tasks.adapt.suggestion import check_suggestions

        check_suggestions(plan.domain, output)
    with flows_running(settings()):
        from flows.adapt import adapt as run_adapt

        given = domain, k, plan.domain.revision, draws, method, plan.meta_version
        result = run_adapt(*given, objective=plan.how.objective, budget=f"{plan.how.budget}s")
    if as_json:
        print_json(result.model_dump())
    else:
        from tasks.adapt.tables import result_table, score_table

        Console().print(result_table([result]), score_table(result), result.reason)
        if result.in_service not in (None, result.model_version):
            Console().print(f"in service: version {result.in_service}", highlight=False)
    print_warnings(result.domain, result.warnings)
    if suggest is not None:
        from tasks.adapt.suggestion import advise, write_to_label

        advice = advise(settings(), plan, result, suggest)
        folder = write_to_label(plan.domain, advice.rows, output)
        images = "" if folder is None else f", their images to {folder}"
        err.print(f"{len(advice.rows)} examples to label written to {output}{images}", markup=False, soft_wrap=True)
        err.print(
            f"fill in its column label, then: acclimate domains label {domain} {output}", markup=False, soft_wrap=True
        )
        err.print(advice.line, markup=False, highlight=False, soft_wrap=True)


app.command()(prediction_commands.predict)
app.command()(prediction_commands.serve)
app.command()(bench_commands.bench)
app.command()(bench_commands.results)


@app.command()
def watch(
    domain: Annotated[list[str] | None, typer.Argument(help="Only these domains; all if none is named.")] = None,
) -> None:
    """Ask for an adaptation to every domain that changed; what the schedule of acclimate up does.

    Example: acclimate watch
    """
    with flows_running(settings()):
        from flows.watch import watch as run_watch

        print(run_watch(domain or []))


@app.command()
def reconcile() -> None:
    """Set right what dead processes left behind, and ask again for what they were doing.

    Example: acclimate reconcile
    """
    with flows_running(settings()):
        from flows.reconcile import reconcile as run_reconcile

        print(run_reconcile())


@app.command()
def clean(
    keep: Annotated[str, typer.Option(help="Keep what was made or used within this time; at least 1d.")] = "30d",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be deleted.")] = False,
    as_json: AsJson = False,
) -> None:
    """Delete what nothing needs: old runs, versions, snapshots, features, logs; never what is in service or asked for.

    Example: acclimate clean --keep 30d --dry-run
    """
    from tasks.clean.steps import read_keep

    read_keep(keep)  # what is wrong is said before a server is started
    with flows_running(settings()):
        from flows.clean import clean as run_clean

        freed = run_clean(keep, dry_run)
    if as_json:
        return print_json([vars(each) for each in freed])
    from tasks.base.artifacts import table_of

    nothing = f"nothing to delete: all is in use, or younger than {keep}"
    Console().print(table_of([each.row for each in freed]) if freed else nothing)
    return None


@app.command()
def status(as_json: AsJson = False) -> None:
    """Show the server, the data, the meta-models and the champions.

    Example: acclimate status --json
    """
    from tasks.watch.status import status as read_status
    from tasks.watch.status import status_tables

    found = read_status(settings())
    if as_json:
        return print_json(found)
    Console().print(*status_tables(found))
    return None


def main(arguments: "Sequence[str] | None" = None) -> None:
    """Run a command: 0 when done, 2 with one line for bad input, 130 when interrupted, 1 for a bug (kept in a file)."""
    for threads in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(threads, "1")  # small tensors are faster so; more cores are used by more processes
    atexit.register(gc.freeze)  # else the interpreter's last search for garbage takes seconds, and all ends anyway
    with one_line_errors():
        if arguments is None and not forks.is_fork and sys.argv[1:2] and sys.argv[1] in QUICK:
            code = forks.run_in_fork(settings().home_path / "prefect", "flows.cli", sys.argv)
            if code is not None:
                sys.exit(code)
        code = app(arguments, standalone_mode=False)  # an exit code where the command was left early, else None
        if code == INTERRUPTED:
            raise KeyboardInterrupt
        if code:
            sys.exit(code)


if __name__ == "__main__":
    main()
