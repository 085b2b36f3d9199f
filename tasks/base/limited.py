"""Work that may hang, as what waits for another machine: in a process of its own, which is ended when time is up."""

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from threading import Thread, Timer
from typing import Any

from domains.errors import UnreachableError
from tasks.base import own_first

Advance = Callable[[int], None]


def run_limited(module: str, job: Any, seconds: float, advance: Advance = lambda n: None) -> Any:
    """Have a module of ours do a job (``do_job``) in a new process; return what it gives.

    The process, and whatever it started, ends with this call: when time is up, when this is interrupted, or when this
    process is killed.

    Args:
        job: what it has to do, and what is returned: values of JSON.
        advance: hears of the steps that it has taken since.

    Raises:
        UnreachableError: it took longer.
        RuntimeError: it failed.
    """
    with tempfile.TemporaryFile("w+") as said:
        process = subprocess.Popen(
            own_first.command(module),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=said,
            text=True,
            start_new_session=True,
        )
        time_is_up: list[bool] = []

        def end() -> None:
            time_is_up.append(True)
            _kill(process)

        timer = Timer(seconds, end)
        timer.daemon = True
        timer.start()
        try:
            assert process.stdin is not None
            assert process.stdout is not None
            with suppress(BrokenPipeError):  # it ended before it read; why is said below
                print(json.dumps(job), file=process.stdin, flush=True)
            for line in process.stdout:
                match json.loads(line):
                    case {"steps": steps}:
                        advance(steps)
                    case {"result": result}:
                        return result
                    case {"fault": fault}:
                        raise RuntimeError(fault)
        finally:
            timer.cancel()
            _kill(process)
            for stream in (process.stdin, process.stdout):
                with suppress(BrokenPipeError):
                    stream.close()  # type: ignore[union-attr]
            process.wait()
        if time_is_up:
            raise UnreachableError(f"no end within {seconds:g} s")
        said.seek(0)
        raise RuntimeError((said.read().strip().splitlines() or [f"{module} ended without a result"])[-1])


def do_job(work: Callable[[Any, Advance], Any]) -> None:
    """Do the job that ``run_limited`` hands over; the main function of such a module."""
    job = json.loads(sys.stdin.readline())
    with os.fdopen(os.dup(1), "w") as answers:
        os.dup2(2, 1)  # what libraries print is no answer

        def end_with_parent() -> None:
            sys.stdin.read()
            os.killpg(0, signal.SIGKILL)

        def tell(**answer: Any) -> None:
            print(json.dumps(answer), file=answers, flush=True)

        Thread(target=end_with_parent, daemon=True).start()
        try:
            tell(result=work(job, lambda steps: tell(steps=steps)))
        except Exception as error:  # whatever it is: who asked hears of it
            tell(fault=f"{type(error).__name__}: {' '.join(str(error).split())}")


def _kill(process: subprocess.Popen[str]) -> None:
    """End a process and its group, which it leads."""
    if process.returncode is None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
