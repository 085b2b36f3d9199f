"""The process that flow runs are forked off: kept, started again, given up, or not wanted."""

import os
import signal
import time
from collections.abc import Iterator

import pytest

from tasks.base.settings import Settings
from tasks.service import up
from tasks.service.processes import live_record, state_folder, stop

pytestmark = pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="flow runs are forked on Linux only")


@pytest.fixture
def said(settings: Settings) -> Iterator[list[str]]:
    yield []
    stop(state_folder(settings) / "warm.json")


def process(settings: Settings) -> int:
    """Return the process that is kept, or 0."""
    return (live_record(state_folder(settings) / "warm.json") or {}).get("pid", 0)


def test_it_is_started_again_where_it_died(
    settings: Settings, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(up.own_first, "command", lambda *_: ["sleep", "600"])
    forks = up.Forks(settings, said.append)
    forks.keep()
    first = process(settings)
    forks.keep()
    assert process(settings) == first
    os.kill(first, signal.SIGKILL)
    os.waitpid(first, 0)
    forks.keep()
    assert process(settings) not in (0, first)


def test_one_that_ends_again_and_again_is_given_up_and_runs_start_by_themselves(
    settings: Settings, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(up.own_first, "command", lambda *_: ["sh", "-c", "echo no runs are forked"])
    forks = up.Forks(settings, said.append)
    deadline = time.monotonic() + 60
    while not said and time.monotonic() < deadline:
        forks.keep()
    assert said == [
        "flow runs start without the process they are forked off, which ends each time (no runs are forked)"
    ]
    forks.keep()
    assert process(settings) == 0


def test_it_can_be_turned_off(settings: Settings, said: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACCLIMATE_WARM", "false")
    up.Forks(Settings(root=settings.root), said.append).keep()
    assert process(settings) == 0
