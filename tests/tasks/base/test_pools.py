"""Processes that work for another end with it."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil

TREE = """
import os, time
from tasks.base.pools import process_pool, start_manager

if __name__ == "__main__":
    with start_manager() as manager, process_pool(2) as pool:
        print(os.getpid(), *pool.map(os.getpgid, [0, 0]), flush=True)
        list(pool.map(time.sleep, [600, 600]))
"""


def test_no_process_is_left_of_a_tree_whose_parent_is_killed(tmp_path):
    (tmp_path / "tree.py").write_text(TREE)
    here = os.environ | {"PYTHONPATH": str(Path(__file__).parents[3])}
    command = [sys.executable, str(tmp_path / "tree.py")]
    with subprocess.Popen(command, env=here, stdout=subprocess.PIPE, start_new_session=True) as parent:
        assert parent.stdout.readline()
        tree = psutil.Process(parent.pid).children(recursive=True)
        assert len(tree) >= 3  # two that work, and the manager
        parent.send_signal(signal.SIGKILL)
    _, left = psutil.wait_procs(tree, timeout=20)
    for process in left:
        process.kill()
    assert left == []
