"""One long piece of a flow in a process of its own, whose lines the terminal shows as if it ran here."""

import os
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from io import TextIOBase
from multiprocessing.connection import Connection
from threading import Thread
from typing import Any

from domains.errors import UserError
from tasks.base import progress
from tasks.base.pools import KILLED, SPAWN, close_pools, end_with_parent

PATIENCE = 30  # seconds for it to end once its result is here
BEHIND = 5  # that the process is nicer than this one, which it is not to hold up
_outcomes: list[tuple[Any, Exception | None]] = []  # of this process: result and error


def run_apart(function: Callable[..., Any], *arguments: Any) -> Future[Any]:
    """Start a function of a module with picklable arguments in another process, within the Prefect run of this one.

    The future raises what the function raised, or UserError where the process was killed.
    """
    from prefect.context import serialize_context
    from prefect.utilities.callables import cloudpickle_wrapped_call

    context = serialize_context() if progress.in_run() else {}
    job = cloudpickle_wrapped_call(_within, context, function, arguments)  # the context holds the flow
    ours, theirs = SPAWN.Pipe(duplex=False)
    process = SPAWN.Process(target=_run, args=(job, theirs))
    process.start()
    theirs.close()
    found: Future[Any] = Future()
    Thread(target=_listen, args=(ours, process, found), daemon=True).start()
    return found


def _listen(ours: Connection, process: Any, found: Future[Any]) -> None:
    """Show lines until there is the result, or the process is gone."""
    try:
        while isinstance(told := ours.recv(), str):
            progress.show(told)
        result, error = told
    except EOFError:
        result, error = None, UserError(KILLED)
    process.join(PATIENCE)  # it tells Prefect's server its last lines, which is to be there till then
    process.kill()
    found.set_exception(error) if error else found.set_result(result)


class _Lines(TextIOBase):
    """What is written goes to the process that started this one."""

    def __init__(self, to: Connection) -> None:
        self.to = to

    def write(self, text: str) -> int:
        self.to.send(text)
        return len(text)


def _run(job: Callable[[], object], to: Connection) -> None:
    from rich.console import Console

    end_with_parent()
    os.nice(BEHIND)
    with suppress(KeyboardInterrupt), progress.terminal(Console(file=_Lines(to), force_terminal=False, width=1000)):
        job()
        to.send(_outcomes.pop())
    close_pools()


def _within(context: dict[str, Any], function: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    """Keep what a function returns in a Prefect context, or the exception that it raised."""
    from prefect.context import hydrated_context

    try:
        with hydrated_context(context):
            _outcomes.append((function(*arguments), None))
    except Exception as error:
        _outcomes.append((None, error))
