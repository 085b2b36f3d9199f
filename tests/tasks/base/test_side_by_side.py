"""Jobs over processes: results in order, progress from all, and one line for a killed process."""

import os
import signal
from pathlib import Path

import pytest

from domains.errors import UserError
from tasks.base.side_by_side import run_side_by_side


@pytest.fixture(autouse=True)
def importable(monkeypatch):
    """Let spawned processes find the functions of this file."""
    monkeypatch.syspath_prepend(Path(__file__).parents[__name__.count(".")])


def squared(job, advance):
    advance(job)
    advance(0)
    return job * job


def killed(job, advance):
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize("processes", [1, 2])
def test_results_come_in_the_order_of_the_jobs_and_all_steps_are_counted(processes):
    steps, ended = [], {}
    found = run_side_by_side(squared, [3, 1, 2], processes, steps.append, ended.__setitem__)
    assert found == [9, 1, 4]
    assert sum(steps) == 6
    assert ended == {3: 9, 1: 1, 2: 4}


def test_a_killed_process_is_one_line_that_says_what_to_do():
    with pytest.raises(UserError, match="ACCLIMATE_PROCESSES=1"):
        run_side_by_side(killed, [1, 2], 2)
