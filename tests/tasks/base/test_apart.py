"""A function in another process: its result, its error, its lines, and one line where it was killed."""

import os
import signal
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from domains.errors import UserError
from tasks.base import progress
from tasks.base.apart import run_apart
from tasks.base.pools import process_pool


@pytest.fixture(autouse=True)
def importable(monkeypatch):
    """Let spawned processes find the functions of this file."""
    monkeypatch.syspath_prepend(Path(__file__).parents[__name__.count(".")])


kept = []  # a pool that stays, as that which encodes does; one that was dropped could be waited for in vain at the end


def work(what):
    """Say something, use processes of its own, and end as asked for."""
    progress.say(f"asked to {what}")
    if what == "fail":
        raise UserError("no such thing; take another")
    if what == "be killed":
        os.kill(os.getpid(), signal.SIGKILL)
    kept.append(process_pool(1))
    return os.getpid(), list(kept[0].map(abs, [-1, -2]))


def test_the_result_an_error_and_lines_come_back_and_a_kill_is_one_line():
    console = Console(file=StringIO())
    with progress.terminal(console):
        ended, failed, killed = (run_apart(work, what) for what in ("end", "fail", "be killed"))
        pid, numbers = ended.result(100)
        with pytest.raises(UserError, match="no such thing"):
            failed.result(100)
        with pytest.raises(UserError, match="ACCLIMATE_PROCESSES=1"):
            killed.result(100)
    assert pid != os.getpid()
    assert numbers == [1, 2]
    assert sorted(console.file.getvalue().splitlines()) == ["asked to be killed", "asked to end", "asked to fail"]
