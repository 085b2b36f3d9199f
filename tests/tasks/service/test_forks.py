"""Runs forked off a process that has imported everything: as good as new processes, and gone with whoever asked."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tasks.service import forks

KEEP = """
import threading
from pathlib import Path
from tasks.service import forks
forks.LOADED, forks.PATIENCE = ("prefect",), 240

def fingerprint():
    if Path("thread").exists():
        threading.Thread(target=threading.Event().wait, daemon=True).start()
    return Path("sources").read_text()

forks.fingerprint = fingerprint
forks.keep()
"""
ASK = """
import sys
from pathlib import Path
from tasks.service import forks
forks.PATIENCE = 240
sys.exit({None: 99}.get(code := forks.run_in_fork(Path(sys.argv[1]), "job", sys.argv[1:]), code))
"""
JOB = """
import os, signal, sys, time
from pathlib import Path
if sys.argv[1] == "say":
    print(os.environ["SAID"], Path.cwd().name, "prefect" in sys.modules, os.listdir("/proc/self/fd")[3:4])
    sys.exit(7)
signal.signal(signal.SIGTERM, lambda *_: sys.exit(3))
Path("pid").write_text(str(os.getpid()))
time.sleep(600)
"""

pytestmark = pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="flow runs are forked on Linux only")


def wait_for(holds: Callable[[], object], seconds: float = 240) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, text in (("sources", "1"), ("job.py", JOB)):
        (tmp_path / name).write_text(text)
    (tmp_path / "here").mkdir()
    return tmp_path


@pytest.fixture
def kept_process(folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    environment = os.environ | {"PYTHONPATH": str(folder)}
    with subprocess.Popen([sys.executable, "-c", KEEP], cwd=folder, env=environment, start_new_session=True) as process:
        wait_for((folder / "warm.socket").exists)
        yield process
        process.kill()


def start(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", ASK, str(folder), *arguments]
    environment = os.environ | {"SAID": "told"}
    return subprocess.Popen(command, cwd=folder / "here", env=environment, stdout=subprocess.PIPE, text=True)


def job(folder: Path) -> int:
    """Wait for a job that sleeps and return its process."""
    wait_for(lambda: (folder / "here/pid").exists() and (folder / "here/pid").read_text())
    return int((folder / "here/pid").read_text())


def gone(pid: int) -> bool:
    try:
        return "State:\tZ" in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return True


def test_a_fork_has_the_environment_folder_output_and_end_of_its_client(
    folder: Path, kept_process: subprocess.Popen[bytes]
) -> None:
    for _ in range(2):
        client = start(folder, "say")
        assert client.communicate()[0] == "told here True ['3']\n"  # its own listing; nothing of the kept process
        assert client.returncode == 7


def test_signals_reach_the_fork_and_a_killed_client_takes_it_along(
    folder: Path, kept_process: subprocess.Popen[bytes]
) -> None:
    client = start(folder, "wait")
    job(folder)
    client.terminate()
    assert client.wait(240) == 3
    (folder / "here/pid").unlink()
    client = start(folder, "wait")
    pid = job(folder)
    client.kill()
    client.wait()
    wait_for(lambda: gone(pid))


def test_where_the_kept_process_is_killed_its_forks_end_and_the_next_run_starts_cold(
    folder: Path, kept_process: subprocess.Popen[bytes]
) -> None:
    client = start(folder, "wait")
    pid = job(folder)
    kept_process.kill()
    assert client.wait(240) == 128 + signal.SIGKILL
    wait_for(lambda: gone(pid))
    assert start(folder, "say").wait(240) == 99


def test_edited_sources_are_never_run_stale_and_what_runs_goes_on(
    folder: Path, kept_process: subprocess.Popen[bytes]
) -> None:
    running = start(folder, "wait")
    job(folder)
    (folder / "sources").write_text("2")
    assert start(folder, "say").wait(240) == 99
    assert running.poll() is None
    running.terminate()
    assert running.wait(240) == 3


def test_nothing_is_forked_off_a_process_with_another_thread(
    folder: Path, kept_process: subprocess.Popen[bytes]
) -> None:
    (folder / "thread").touch()  # as a library may start one when it is first used
    assert start(folder, "say").wait(240) == 99


def test_a_process_whose_libraries_start_threads_says_so_and_ends(folder: Path) -> None:
    (folder / "noisy.py").write_text("import threading\nthreading.Thread(target=threading.Event().wait).start()\n")
    keep = KEEP.replace('("prefect",)', '("noisy",)')
    environment = os.environ | forks.ONE_THREAD | {"PYTHONPATH": str(folder)}
    with subprocess.Popen(
        [sys.executable, "-c", keep], cwd=folder, env=environment, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr.readline() == "no runs are forked: libraries started 1 threads as they were imported\n"
        process.kill()
    assert not (folder / "warm.socket").exists()
