"""Processes that work for this one, and end with it however it ends."""

import atexit
import gc
import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor
from multiprocessing.managers import SyncManager
from threading import Thread
from weakref import WeakSet

KILLED = "a process was killed, probably for lack of memory: free some, or set ACCLIMATE_PROCESSES=1"
SPAWN = multiprocessing.get_context("spawn")
_pools = WeakSet[ProcessPoolExecutor]()


def process_pool(processes: int) -> ProcessPoolExecutor:
    """Return a pool of new processes."""
    _pools.add(pool := ProcessPoolExecutor(processes, SPAWN, end_with_parent))
    return pool


def close_pools() -> None:
    """End the pools of this process, which would wait for theirs at its end if it is itself one that was started so."""
    for pool in list(_pools):
        pool.shutdown()


def start_manager() -> SyncManager:
    """Start and return a manager of what processes share; it ends with the block that it is used in."""
    manager = SyncManager(ctx=SPAWN)
    manager.start(end_with_parent)
    return manager


def end_with_parent() -> None:
    """Have this process end when the one that started it does, be it by kill -9; left alone it would wait for ever.

    What tells is a pipe whose other end the parent alone holds, so it also holds where the kernel sends no signal.
    """
    atexit.register(gc.freeze)  # as in flows/cli.py
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def watch() -> None:
        parent.join()
        os._exit(1)

    Thread(target=watch, name="end with parent", daemon=True).start()
