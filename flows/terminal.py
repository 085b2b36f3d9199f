"""What every command shares: the console, common options, and a Prefect server while flows run."""

import errno
import json
import os
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Thread
from typing import Annotated, Any

import typer
from rich.console import Console

from domains.errors import UserError
from tasks.base.settings import Settings, settings

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for a program to read.")]
Encoding = Annotated[str | None, typer.Option(help="Of a text file; UTF-8.", show_default=False)]
Header = Annotated[
    bool | None,
    typer.Option("--header/--no-header", help="Whether the first row holds the column names.", show_default=False),
]
Sheet = Annotated[str | None, typer.Option(help="Of an Excel file.", show_default=False)]

INTERRUPTED = 130  # what typer makes of Ctrl-C, and shells expect
NO_SPACE = os.strerror(errno.ENOSPC)

err = Console(stderr=True)


@contextmanager
def one_line_errors() -> Iterator[None]:
    """End the process with 2 and one line for bad input, 130 when interrupted, 1 for a bug (kept in a file)."""
    try:
        yield
    except UserError as error:
        fail(str(error), 2)
    except KeyboardInterrupt:
        fail("interrupted; the same command goes on where it stopped", INTERRUPTED)
    except Exception as error:
        if hasattr(error, "format_message"):  # a usage error; empty where help was printed instead
            fail(error.format_message(), 2)
        if NO_SPACE in str(error):
            fail(f"{error}: free some space; the same command goes on where it stopped", 2)
        if type(error).__name__ == "FlowRunTimeoutError":  # Prefect's, which is slow to import
            limit = settings().run_limit
            fail(f"no end within {limit}; set ACCLIMATE_RUN_LIMIT, then the same command goes on where it stopped", 2)
        if type(error).__name__ == "ConnectError":  # httpx's, which is slow to import
            fail(f"the Prefect server is gone ({error}); the same command goes on where it stopped", 2)
        log = settings().home_path / "error.log"
        with suppress(OSError):
            log.parent.mkdir(parents=True, exist_ok=True)
            log.write_text(traceback.format_exc(), "utf-8")
        first = str(error).splitlines()[0] if str(error) else ""
        fail(f"{type(error).__name__}: {first} (a bug; details: {log})", 1)


def fail(message: str, code: int) -> None:
    if message:
        line = " ".join(message.splitlines())
        err.print(f"error: {line}", style="red", markup=False, highlight=False, soft_wrap=True)
    sys.exit(code)


def _try(work: Callable[[], object]) -> None:
    with suppress(Exception):
        work()


@contextmanager
def flows_running(s: Settings, meanwhile: Callable[[], object] | None = None) -> Iterator[None]:
    """Run flows in this process against a Prefect server, with progress bars in the terminal.

    Args:
        meanwhile: what a thread begins with while the server starts; what it raises is for the flows to meet again.
    """
    from tasks.service.server import prefect_server
    from tasks.versions.revisions import data_revision

    data_revision(s.root_path)  # a folder that is no checkout is told so before a server is started
    if meanwhile is not None:
        Thread(target=_try, args=(meanwhile,), daemon=True).start()
    with prefect_server(s, lambda line: err.print(f"[dim]{line}[/dim]")) as server:
        from prefect.settings import PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings

        from tasks.base.progress import terminal

        # each flow run would wait up to a second for its signs of life to end, which only count of deployments' runs
        silent = {PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None} if server.ours else {}
        with terminal(err), temporary_settings(silent):
            yield


def warn_of_uncommitted(revision: str, commit: str, domains: list[str]) -> None:
    """Say in a line which of the domains have changes in ``data/`` that HEAD, which is read, does not have.

    Args:
        revision: as the person named it; commit: what it was resolved to.
    """
    from tasks.versions.uncommitted import uncommitted_domains

    if revision == "HEAD" and (changed := uncommitted_domains(settings().root_path, domains, commit)):
        err.print(
            f"not used: changes of {', '.join(changed)} in data/ that are not committed (acclimate data commit -m ...)",
            style="yellow",
            markup=False,
            soft_wrap=True,
        )


def print_warnings(name: object, warnings: Iterable[str]) -> None:
    """Print the warnings about the examples of a domain or a file, a line each, with its name."""
    for warning in warnings:
        err.print(f"warning: {name}: {warning}", style="yellow", markup=False, highlight=False, soft_wrap=True)


def check_output_folder(path: Path | None) -> None:
    """Raise UserError where a file to be written would lie in no folder."""
    if path is not None and not path.resolve().parent.is_dir():
        raise UserError(f"cannot write {path}: no such folder; choose another path")


def print_json(value: Any) -> None:
    print(json.dumps(value, indent=1, ensure_ascii=False, default=str))
