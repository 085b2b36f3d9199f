"""Adapt to changed domains at once after a commit of data, where a server runs."""

import sys

from flows.terminal import err, one_line_errors
from tasks.base.settings import Settings, settings


def notice_changes(s: Settings) -> None:
    """Run a tick of ``watch`` now, where a server runs; else the next tick finds what changed.

    The commit stands whatever becomes of the tick, so the exit status of a fork is ignored.
    """
    from tasks.service.forks import run_in_fork
    from tasks.service.server import running_ui

    if not running_ui(s):
        return
    sys.stdout.flush()
    if run_in_fork(s.home_path / "prefect", "flows.after_commit", sys.argv) is None:
        run_tick(s)


def run_tick(s: Settings) -> None:
    """Run a tick of ``watch`` and say what it asked for; an error is a line, too."""
    from tasks.service.server import prefect_server
    from tasks.watch import noticing

    try:
        with prefect_server(s):
            done = noticing.tick(s)
    except Exception as error:  # whatever it is, the commit stands
        say(f"not adapted to yet: {error}; watch tries again")
        return
    if done.submitted:
        say(f"adapting to {', '.join(done.submitted)}: acclimate status shows what comes of it")
    for note in done.notes:
        say(note)


def say(line: str) -> None:
    """Print a line beside the command's own output."""
    err.print(line, style="dim", markup=False, soft_wrap=True)


if __name__ == "__main__":
    with one_line_errors():
        run_tick(settings())
