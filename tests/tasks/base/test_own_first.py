"""A user's own tasks.py, domains.py, flows.py or learners.py in the working folder is never imported for ours."""

import os
import subprocess
import sys
import sysconfig
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from tasks.base import own_first

TRAP = "raise RuntimeError('a file of the user was imported for ours')\n"
ACCLIMATE = str(Path(sys.executable).with_name("acclimate"))

#: What the engine of a worker does with the entrypoint of a deployment, after it went to the project's folder.
LOAD = """
import sys
from prefect.flows import load_flow_from_entrypoint
print(*(load_flow_from_entrypoint(entrypoint).name for entrypoint in sys.argv[1:]))
"""
KEEP = """
from tasks.service import forks
forks.LOADED, forks.PATIENCE = ("prefect",), 240
forks.keep()
"""
ASK = """
import sys
from pathlib import Path
from tasks.service import forks
forks.PATIENCE = 240
sys.exit(forks.run_in_fork(Path(sys.argv[1]), sys.argv[2], sys.argv[2:]))
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder in which every name of our packages is a file that cannot be imported."""
    made = tmp_path / "notebooks"
    made.mkdir()
    for name in own_first.OURS:
        (made / f"{name}.py").write_text(TRAP)
    return made


def printed(command: Sequence[str], folder: Path, **environment: str) -> str:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "ACCLIMATE_"))}
    done = subprocess.run(command, cwd=folder, env=kept | environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_files_of_the_user_would_be_imported_by_python_itself(folder):
    done = subprocess.run([sys.executable, "-c", "import tasks"], cwd=folder, capture_output=True, text=True)
    assert "a file of the user was imported" in done.stderr


def test_the_command_runs_beside_them(folder):
    assert "drugreviews" in printed([ACCLIMATE, "domains", "list"], folder)


def test_python_m_flows_cli_runs_beside_them(folder):
    (folder / "flows.py").unlink()  # which Python would run before any line of ours
    assert "meta-train" in printed([sys.executable, "-m", "flows.cli", "--help"], folder)


def test_python_m_flows_cli_runs_in_a_checkout_that_is_not_installed():
    packages = sysconfig.get_path("purelib")  # of others: without -S, an editable installation would find ours too
    command = [sys.executable, "-S", "-m", "flows.cli", "--help"]
    assert "meta-train" in printed(command, Path(own_first.ROOT), PYTHONPATH=packages)


def test_a_worker_loads_our_flows_and_other_modules_of_their_folder(folder, tmp_path):
    (tmp_path / "load.py").write_text(LOAD)
    (folder / "mine.py").write_text("import prefect, tasks.base.settings\n\n@prefect.flow\ndef work(): ...\n")
    command = own_first.command("load", "mine.work", "flows.watch.watch")
    assert printed(command, folder, PYTHONPATH=str(tmp_path)) == "work watch\n"


def test_a_module_is_run_as_python_m_does(tmp_path):
    (tmp_path / "say.py").write_text("import sys\nprint(__name__, sys.argv, __spec__.name, sys.flags.safe_path)\n")
    said = printed(own_first.command("say", "a", "--b"), tmp_path, PYTHONPATH=str(tmp_path))
    assert said == f"__main__ {[str(tmp_path / 'say.py'), 'a', '--b']!r} say True\n"


@pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="commands are forked on Linux only")
def test_a_forked_command_and_a_forked_flow_run_beside_them(folder, tmp_path):
    (tmp_path / "load.py").write_text(LOAD)
    kept = tmp_path / "kept"
    kept.mkdir()
    keep, environment = [sys.executable, "-P", "-c", KEEP], os.environ | {"PYTHONPATH": str(tmp_path)}
    with subprocess.Popen(keep, cwd=kept, env=environment) as process:
        while not (kept / "warm.socket").exists():
            assert process.poll() is None
            time.sleep(0.02)
        ask = [sys.executable, "-P", "-c", ASK, str(kept)]
        try:
            assert "drugreviews" in printed([*ask, "flows.cli", "domains", "list"], folder)
            assert printed([*ask, "load", "flows.watch.watch"], folder) == "watch\n"
        finally:
            process.kill()
