"""Processes that hold a record locked while they live."""

import os
import signal
import sys
from pathlib import Path

import pytest

from tasks.service import processes


def test_a_process_that_ignores_sigterm_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "STOP_SECONDS", 0.2)
    record, log = tmp_path / "record.json", tmp_path / "output.log"
    deaf = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(60)"
    )
    process = processes.spawn(record, [sys.executable, "-c", deaf], os.environ, log)
    while not log.read_text():  # ends at the test's time limit
        assert process.poll() is None
    processes.stop(record)
    assert process.wait() == -signal.SIGKILL
    assert processes.live_record(record) is None
