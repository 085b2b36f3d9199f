"""Git as a command: what it says is returned, and never raised."""

import os
import signal
import subprocess
from pathlib import Path

from domains.errors import UserError

LOCAL = 600.0  # seconds that what needs no other machine may take, hooks of the user's included


def git(
    root: Path, *arguments: str, said: str | None = None, seconds: float | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a git command in ``root``, with ``said`` as its input; messages are English, so that they can be told apart.

    Args:
        seconds: it may take, with all that it starts; for what asks another machine. Then it is ended, which is an
            error of its own words. If not said, ``LOCAL``, and what it starts may use the terminal.

    Raises:
        UserError: git is not installed.
    """
    limit = LOCAL if seconds is None else seconds
    command = ["git", "-C", str(root), *arguments]
    try:
        running = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL if said is None else subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            errors="surrogateescape",
            env=os.environ | {"LC_ALL": "C.UTF-8", "GIT_TERMINAL_PROMPT": "0"},
            start_new_session=seconds is not None,
        )
    except FileNotFoundError:
        raise UserError("git is not installed: install it, as data revisions are git commits") from None
    with running:
        try:
            out, error = running.communicate(said, limit)
        except BaseException as stop:  # an interrupt too
            if seconds is None:
                running.kill()
            else:
                os.killpg(running.pid, signal.SIGKILL)  # and what it started, as ssh, which holds our pipes open
            if isinstance(stop, subprocess.TimeoutExpired):
                return subprocess.CompletedProcess(command, 1, "", f"no answer within {limit:g} s")
            raise
    return subprocess.CompletedProcess(command, running.returncode, out, error)


def check_user(folder: Path) -> None:
    """Raise UserError where git would not know whose commit it is."""
    if any(git(folder, "var", name).returncode for name in ("GIT_AUTHOR_IDENT", "GIT_COMMITTER_IDENT")):
        raise UserError(
            "git does not know who you are: git config --global user.name NAME; git config --global user.email ADDRESS"
        )
