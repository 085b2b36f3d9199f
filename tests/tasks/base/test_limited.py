"""Work in a process that is ended with all that it started: what it says, gives, and how it ends."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from prefect.utilities.timeout import timeout

from domains.errors import UnreachableError
from tasks.base import limited

WORK = """
import subprocess, sys, time
from pathlib import Path
from tasks.base.limited import do_job

def work(job, advance):
    print("a library says something")
    advance(2)
    if job == "fail":
        raise ValueError("no such bucket")
    if job == "hang":
        child = subprocess.Popen(["sleep", "600"])
        Path("child").write_text(str(child.pid))
        print("hangs", file=sys.stderr, flush=True)
        time.sleep(600)
    return {"got": job}

do_job(work)
"""
CALL = """
from tasks.base import limited
limited.own_first.command = lambda module: COMMAND
limited.run_limited("work", "hang", 600)
"""


@pytest.fixture(autouse=True)
def command(tmp_path, monkeypatch):
    """Have the module ``work`` be that of this file."""
    (tmp_path / "work.py").write_text(WORK)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[3]))
    command = [sys.executable, "work.py"]
    monkeypatch.setattr(limited.own_first, "command", lambda module: command)
    return command


def gone(folder: Path) -> bool:
    """Wait until what the work had started ends; a test that waits in vain ends at its time limit."""
    with suppress(psutil.NoSuchProcess):
        child = psutil.Process(int((folder / "child").read_text()))
        while child.status() != psutil.STATUS_ZOMBIE:
            time.sleep(0.02)
    return True


def test_its_result_and_its_steps_come_back_and_its_fault_is_a_line():
    steps = []
    assert limited.run_limited("work", {"a": [1]}, 60, steps.append) == {"got": {"a": [1]}}
    assert steps == [2]
    with pytest.raises(RuntimeError, match=r"^ValueError: no such bucket$"):
        limited.run_limited("work", "fail", 60)


def wait_for_child(folder: Path) -> None:
    """Wait until the work has started something."""
    while not (folder / "child").exists() or not (folder / "child").read_text():
        time.sleep(0.02)


def test_when_time_is_up_it_and_what_it_started_end(tmp_path, monkeypatch):
    class Timer(threading.Timer):
        """Begins to count when the work hangs, however long it takes to start."""

        def run(self):
            wait_for_child(tmp_path)
            super().run()

    monkeypatch.setattr(limited, "Timer", Timer)
    with pytest.raises(UnreachableError, match=r"^no end within 0\.1 s$"):
        limited.run_limited("work", "hang", 0.1)
    assert gone(tmp_path)


@pytest.mark.timeout(method="thread")  # whose own alarm would be in the way
def test_the_limit_of_a_flow_which_prefect_keeps_by_an_alarm_ends_it_too(tmp_path):
    def ring():
        wait_for_child(tmp_path)
        os.kill(os.getpid(), signal.SIGALRM)

    threading.Thread(target=ring, daemon=True).start()
    with pytest.raises(TimeoutError), timeout(600):
        limited.run_limited("work", "hang", 600)
    assert gone(tmp_path)


def test_it_ends_with_a_caller_that_is_killed(tmp_path, command):
    code = CALL.replace("COMMAND", json.dumps(command))
    with subprocess.Popen([sys.executable, "-c", code], env=os.environ) as caller:
        wait_for_child(tmp_path)
        caller.send_signal(signal.SIGKILL)
    assert gone(tmp_path)
