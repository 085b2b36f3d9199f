"""Commands about the data and its versions."""

from dataclasses import asdict
from typing import Annotated

import typer

from domains.errors import UserError
from flows.terminal import AsJson, err, flows_running, print_json
from tasks.base.settings import settings

app = typer.Typer(no_args_is_help=True, help="The data and its versions.")


@app.command("build")
def data_build(
    force: Annotated[bool, typer.Option(help="Build again what is already there.")] = False,
    domain: Annotated[
        list[str] | None, typer.Option(help="Only this domain of the catalogue (repeatable).", show_default=False)
    ] = None,
) -> None:
    """Build the domains of the quick start and prove that they are what data.dvc names.

    With --domain, build any of the catalogue (acclimate domains list) into data/, to be versioned afterwards.

    Example: acclimate data build --domain clinc150
    """
    if domain:
        from tasks.base.progress import terminal
        from tasks.ingest.building import build_named

        with terminal(err):
            built = build_named(settings(), domain, force)
        if there := [name for name in dict.fromkeys(domain) if name not in built]:
            print(f"already in data/: {', '.join(there)}; --force builds again")
        if built:
            print(f"built in data/: {', '.join(built)}")
        return
    with flows_running(settings()):
        from flows.ingest import ingest

        print(f"data/ is what data.dvc names at {ingest(force, whole=True)}")


@app.command("verify")
def data_verify(as_json: AsJson = False) -> None:
    """Prove that data/ is what the committed data.dvc names.

    Example: acclimate data verify
    """
    from tasks.versions.verify import describe_difference, verify

    found = verify(settings().root_path)
    if as_json:
        print_json(asdict(found))
    elif found.ok:
        print(f"data/ is what data.dvc names: {found.actual}")
    if not found.ok:
        raise UserError(describe_difference(found))


Message = Annotated[str, typer.Option("--message", "-m", help="What changed, in a line.")]


@app.command("commit")
def data_commit(
    message: Message,
    push: Annotated[bool, typer.Option("--push/--no-push", help="Also copy it to the DVC remote.")] = True,
    check: Annotated[bool, typer.Option("--check/--no-check", help="Check what is new or has changed.")] = True,
    drop: Annotated[bool, typer.Option("--drop", help="Commit although domains are gone from data/.")] = False,
    as_json: AsJson = False,
) -> None:
    """Version data/ as it is: DVC keeps the bytes, a git commit of data.dvc names them.

    Domains that are new or have changed are checked first, as by
    domains check: errors stop. Nothing else that is staged or changed
    goes into the commit. Without a DVC remote a folder in .acclimate/
    is made one. Where acclimate up runs, changed domains are adapted to
    at once.

    Example: acclimate data commit -m "Add reports of March"
    """
    from flows.after_commit import notice_changes, say
    from tasks.base.progress import terminal
    from tasks.versions.commit import commit
    from tasks.versions.diff_text import commit_json, commit_lines

    s = settings()
    with terminal(err):
        done = commit(s.root_path, s.home_path, message, say, check, drop)
        pushed, failed = None, None
        if push and done.commit:
            from tasks.versions.push import push as copy

            try:
                pushed = copy(s.root_path, s.home_path, done.commit)
            except UserError as error:
                failed = error
    if as_json:
        print_json(commit_json(done, pushed, failed))
    else:
        for line in commit_lines(done, pushed):
            print(line)
    if done.commit:
        notice_changes(s)
    if failed:
        raise UserError(f"{failed}; the commit stands: `acclimate data push` tries again")


@app.command("push")
def data_push(
    rev: Annotated[str, typer.Option("--rev", help="Git revision whose data are copied.")] = "HEAD",
    as_json: AsJson = False,
) -> None:
    """Copy a version of data/ to the DVC remote, as far as it lacks it.

    Example: acclimate data push
    """
    from tasks.base.progress import terminal
    from tasks.versions.diff_text import push_line
    from tasks.versions.push import push

    s = settings()
    with terminal(err):
        done = push(s.root_path, s.home_path, rev)
    if as_json:
        return print_json(asdict(done))
    print(push_line(done))
    return None


@app.command("diff")
def data_diff(
    before: Annotated[str, typer.Argument(metavar="REV", help="A git revision: commit, branch or tag.")],
    after: Annotated[str, typer.Argument(metavar="[REV]", help="The later one.")] = "HEAD",
    as_json: AsJson = False,
) -> None:
    """Show which domains differ between two git revisions, with counts, labels and bytes.

    Example: acclimate data diff HEAD~1
    """
    from tasks.versions.diff import data_diff as compare
    from tasks.versions.diff_text import diff_json, diff_lines

    found = compare(settings().root_path, before, after)
    if as_json:
        return print_json(diff_json(found))
    for line in diff_lines(found):
        print(line)
    return None
