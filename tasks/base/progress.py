"""How far long work has come: a progress artifact in the Prefect UI and a bar in the terminal."""

import contextvars
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from threading import Event, Lock, Thread
from time import monotonic
from typing import Any

#: Seconds between two updates of the artifact; work that takes less gets none.
EVERY = 2.0

#: Seconds that the end of the work waits for the last update.
PATIENCE = 5.0

_bars: Any = None  # the rich.progress.Progress of the terminal, while there is one
_inside: contextvars.ContextVar[bool] = contextvars.ContextVar("inside", default=False)  # of other work that is shown


@contextmanager
def terminal(console: Any) -> Iterator[None]:
    """Show a bar on a rich console for every :func:`progress` inside, and a line when it took a while."""
    global _bars
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        SpinnerColumn,
        TextColumn,
        TimeElapsedColumn,
    )

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    quiet = not console.is_interactive  # elsewhere an empty line would be left
    with Progress(SpinnerColumn(), *columns, console=console, transient=True, disable=quiet) as bars:
        _bars = bars
        try:
            yield
        finally:
            _bars = None


@contextmanager
def progress(title: str, total: int) -> Iterator[Callable[..., None]]:
    """Show how far work of ``total`` steps has come; yields ``advance(n=1)``, callable from any thread.

    Work inside other work has no artifact of its own, as it is part of a step there.

    Example:
        >>> with progress("Encoding hpo", len(batches)) as advance:
        ...     for batch in batches:
        ...         encode(batch)
        ...         advance()
    """
    work = Progress(title, total)
    before = _inside.set(True)
    try:
        yield work.advance
    except BaseException:
        work.stop(finished=False)
        raise
    finally:
        _inside.reset(before)
    work.stop(finished=True)


class Progress:
    """Long work of a known number of steps; use it through :func:`progress`.

    In a Prefect run a thread of its own sends an artifact every two seconds: the work never waits for the server and
    goes on when the server is away.
    """

    def __init__(self, title: str, total: int) -> None:
        self.title, self.total, self.done = title, total, 0
        self._started = monotonic()
        self._lock = Lock()
        self._ended = Event()
        self._bars = _bars
        self._bar = _bars.add_task(title, total=total) if _bars else None
        self._publisher: Thread | None = None
        if in_run() and not _inside.get():
            # A new thread has no run context of its own, and the artifact must belong to this run.
            publish = contextvars.copy_context().run
            self._publisher = Thread(target=publish, args=(self._publish,), daemon=True)
            self._publisher.start()

    def advance(self, n: int = 1) -> None:
        """Note that ``n`` more steps are done."""
        with self._lock:
            self.done += n
        if self._bars:
            self._bars.advance(self._bar, n)

    def stop(self, finished: bool) -> None:
        """End the display; ``finished`` work is shown as complete, whatever was counted."""
        if finished:
            self.done = self.total
        self._ended.set()
        if self._publisher:
            self._publisher.join(PATIENCE)
        if self._bars:
            from rich.text import Text

            self._bars.remove_task(self._bar)
            if self.seconds >= EVERY:
                sign = Text("✓", "green") if finished else Text("✗", "red")
                self._bars.console.print(sign, Text(f"{self.title}, {self.seconds:.0f} s"))

    @property
    def seconds(self) -> float:
        """Seconds since the start."""
        return monotonic() - self._started

    @property
    def percent(self) -> float:
        """Share of the steps that are done, 0 to 100."""
        return 100.0 * min(self.done / self.total, 1.0) if self.total else 100.0

    def _publish(self) -> None:
        from prefect.artifacts import create_progress_artifact, update_progress_artifact

        artifact, key, shown = None, slug("progress", self.title), -1
        ended = self._ended.wait(EVERY)
        while not ended or artifact:
            # Whatever goes wrong between here and the server, the work itself is not to suffer from it.
            with suppress(Exception):
                if artifact is None:
                    artifact = create_progress_artifact(self.percent, key, str(self), _sync=True)
                elif ended or self.done != shown:
                    update_progress_artifact(artifact, self.percent, str(self), _sync=True)
                shown = self.done
            if ended:
                return
            ended = self._ended.wait(EVERY)

    def __str__(self) -> str:
        return f"{self.title}: {self.done:,} of {self.total:,} after {self.seconds:.0f} s"


def say(text: str) -> None:
    """Print a line in the terminal, where there is one, and write it to the log of the run."""
    if _bars:
        _bars.console.print(text, markup=False, highlight=False, soft_wrap=True)
    if in_run():
        from prefect import get_run_logger

        get_run_logger().info(text)


def show(text: str) -> None:
    """Write lines of another process to the terminal, where there is one."""
    if _bars:
        _bars.console.out(text, end="", highlight=False)


def in_run() -> bool:
    """Whether this is inside a Prefect flow or task run; without importing Prefect when nobody else has."""
    context = sys.modules.get("prefect.context")
    return context is not None and bool(context.FlowRunContext.get() or context.TaskRunContext.get())


def slug(*parts: str) -> str:
    """Return an artifact key of lower-case letters and dashes: ``slug("adapt", "HPO")`` is ``adapt-hpo``.

    Words that are names, of letters, digits, ``-`` and ``_``, give another key each: one with ``_``, ``--`` or a last
    ``-`` gets ``--`` and the places of each ``_``. ``a-b`` stays, ``a_b`` is ``a-b--1``.
    """
    return "-".join(filter(None, map(_word_key, " ".join(parts).lower().split()))) or "untitled"


def _word_key(word: str) -> str:
    if not re.fullmatch(r"[a-z0-9][a-z0-9_-]*", word):
        return re.sub(r"[^a-z0-9]+", "-", word).strip("-")
    places = [str(i) for i, character in enumerate(word) if character == "_"]
    plain = word.replace("_", "-")
    return f"{plain}--{'-'.join(places) or 'x'}" if places or "--" in word or word.endswith("-") else plain
