"""Independent pieces of long work, one process a core and one thread each, with progress from all of them."""

import queue
from collections.abc import Callable, Sequence
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from typing import Any, TypeVar

import torch
from threadpoolctl import threadpool_limits

from domains.errors import UserError
from tasks.base.pools import KILLED, process_pool, start_manager

Job = TypeVar("Job")
Result = TypeVar("Result")
Advance = Callable[[int], None]


def run_side_by_side(
    function: Callable[[Job, Advance], Result],
    jobs: Sequence[Job],
    processes: int,
    advance: Advance = lambda n: None,
    done: Callable[[Job, Result], None] = lambda job, result: None,
) -> list[Result]:
    """Return what a function of a module gives for every job, in their order; with one process, in this one.

    Args:
        advance: called with the steps that jobs have taken since; done: called when a job has ended.

    Raises:
        UserError: a process was killed.
    """
    results: dict[int, Result] = {}
    if min(processes, len(jobs)) < 2:
        for i, job in enumerate(jobs):
            torch.set_num_threads(1)
            results[i] = function(job, advance)
            done(job, results[i])
        return list(results.values())
    with start_manager() as manager:
        steps = manager.Queue()
        try:
            with process_pool(min(processes, len(jobs))) as pool:
                running = {pool.submit(_in_process, function, job, steps): i for i, job in enumerate(jobs)}
                waiting = set(running)
                while waiting:
                    with suppress(queue.Empty):
                        advance(steps.get(timeout=0.5))
                    for future in [f for f in waiting if f.done()]:
                        waiting.remove(future)
                        i = running[future]
                        results[i] = future.result()
                        done(jobs[i], results[i])
                while not steps.empty():
                    advance(steps.get())
        except BrokenProcessPool as error:
            raise UserError(KILLED) from error
    return [results[i] for i in range(len(jobs))]


def _in_process(function: Callable[[Any, Advance], Any], job: Any, steps: Any) -> Any:
    torch.set_num_threads(1)
    threadpool_limits(1)  # NumPy's and SciPy's BLAS, which every process would give all cores
    return function(job, lambda n: steps.put(n) if n else None)
