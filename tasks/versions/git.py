"""Git as a command: what it says is returned, and never raised."""

import os
import subprocess
from pathlib import Path

from domains.errors import UserError


def git(
    root: Path, *arguments: str, said: str | None = None, seconds: float | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a git command in ``root``, with ``said`` as its input; messages are English, so that they can be told apart.

    Args:
        seconds: it may take; then it is ended, which is an error of its own words.

    Raises:
        UserError: git is not installed.
    """
    command = ["git", "-C", str(root), *arguments]
    try:
        return subprocess.run(
            command,
            capture_output=True,
            encoding="utf-8",
            errors="surrogateescape",
            input=said,
            stdin=subprocess.DEVNULL if said is None else None,
            env=os.environ | {"LC_ALL": "C.UTF-8", "GIT_TERMINAL_PROMPT": "0"},
            timeout=seconds,
        )
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(command, 1, "", f"no answer within {seconds:g} s")
    except FileNotFoundError:
        raise UserError("git is not installed: install it, data revisions are git commits") from None


def check_user(folder: Path) -> None:
    """Raise UserError where git would not know whose commit it is."""
    if any(git(folder, "var", name).returncode for name in ("GIT_AUTHOR_IDENT", "GIT_COMMITTER_IDENT")):
        raise UserError(
            "git does not know who you are: git config --global user.name NAME; git config --global user.email ADDRESS"
        )
