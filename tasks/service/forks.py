"""Flow runs need not import everything anew: each is forked off a process that has done so once.

A worker starts a flow run as the command ``acclimate-run``. It asks the process that `acclimate up` keeps beside the
worker for a fork, hands the fork its environment, folder and output, passes signals on, and ends as the fork ends.
Where there is no such process (another machine's worker, sources that were just edited) it runs Prefect's engine
itself. Quick commands ask for a fork in the same way.

This module imports only what it needs: `acclimate-run` has a few hundredths of a second.
"""

import json
import os
import select
import signal
import socket
import struct
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from tasks.base import own_first

ENGINE = "prefect.engine"
NAME = "warm.socket"
#: What a fork finds imported; names only, as nothing here depends on them.
LOADED = (
    *("prefect.flow_engine", "tasks.adapt.steps", "tasks.watch.steps", "tasks.adapt.batch", "tasks.watch.reconciling"),
    *("tasks.drift.steps", "mlflow", "mlflow.store.tracking.sqlalchemy_store", "matplotlib.figure"),
    "transformers.models.bert.modeling_bert",  # else the first text imports it
)
LENGTH = struct.Struct("!I")
PATIENCE = 10.0  # seconds for the other side to answer
BEAT = 30  # seconds between two signs of life of a flow run: Prefect's least, and a sixth of its default
#: Of every flow run; the automation that crashes silent ones counts on it (tasks/service/deployments.py).
BEATS = {"PREFECT_FLOWS_HEARTBEAT_FREQUENCY": str(BEAT)}
#: A process in which no library starts a thread of its own as it is imported: BLAS, OpenMP, and Arrow's allocator.
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1") | {
    "JE_ARROW_MALLOC_CONF": "background_thread:false"
}
KILLED = 128 + signal.SIGKILL

is_fork = False  # whether this process is one


def main() -> None:
    """Run the flow run that the environment names; entry point of ``acclimate-run``."""
    os.environ.update(BEATS)
    home = os.environ.get("ACCLIMATE_HOME")
    code = run_in_fork(Path(home) / "prefect", ENGINE, sys.argv) if home else None
    if code is None:
        os.execv(sys.executable, own_first.command(ENGINE, *sys.argv[1:]))
    sys.exit(code)


def run_in_fork(folder: Path, module: str, arguments: Sequence[str]) -> int | None:
    """Have a fork of the process that is kept in a folder run a module, as ``python -m`` would, with our output.

    Returns:
        Its exit status, or None where there is no such process.
    """
    here = os.getcwd()
    job = {"module": module, "arguments": list(arguments), "folder": here, "environment": dict(os.environ)}
    request = json.dumps(job | {"sources": __file__}).encode()
    with socket.socket(socket.AF_UNIX) as server:
        server.settimeout(PATIENCE)
        try:
            os.chdir(folder)  # a socket's path may have 108 characters, a folder's name more
            server.connect(NAME)
            socket.send_fds(server, [LENGTH.pack(len(request))], [0, 1, 2])
            server.sendall(request)
            answer = server.recv(LENGTH.size)
            server.settimeout(None)
        except OSError:
            answer = b""
        finally:
            os.chdir(here)
        if not answer:
            return None
        (pid,) = LENGTH.unpack(answer)
        ours = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
        before = [signal.signal(number, lambda number, _: pass_on(pid, number)) for number in ours]
        try:
            answer = server.recv(LENGTH.size)
        except OSError:
            answer = b""
        finally:
            for number, handler in zip(ours, before, strict=True):
                signal.signal(number, handler)
        if not answer:  # the kept process was killed; nobody would learn how this run ends
            pass_on(pid, signal.SIGKILL)
            return KILLED
        return int(LENGTH.unpack(answer)[0])


def pass_on(pid: int, number: int) -> None:
    """Send a signal to a process, if there still is one."""
    with suppress(ProcessLookupError):
        os.kill(pid, number)


def keep() -> None:
    """Import what flow runs need, and fork a copy for each that asks, until a signal ends it."""
    own_first.find_ours_first()
    sources = fingerprint()
    try:
        for name in LOADED:
            __import__(name)
    except Exception as error:  # a user's source that cannot be imported: the runs will say so
        print(f"flow runs start cold: {error!r}", file=sys.stderr, flush=True)
    if (threads := count_threads()) != 1:  # a fork has one of them, and waits for ever for a lock that another held
        sys.exit(f"no runs are forked: libraries started {threads - 1} threads as they were imported")
    import gc

    gc.freeze()
    Path(NAME).unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX)
    mask = os.umask(0o077)  # nobody else may run anything here
    listener.bind(NAME)
    os.umask(mask)
    listener.listen()
    if request := serve(listener, sources):
        run_request(request)
    else:  # sources were edited, or something started a thread
        os.execv(sys.executable, own_first.command("tasks.service.forks"))


def serve(listener: socket.socket, sources: int) -> dict[str, Any]:
    """Fork for each client. Returns in each fork, with what it has to do, and in the kept process when sources change.

    The kept process has one thread, which is looked at before each fork, so a fork is as good as a new process.
    """
    children: dict[int, tuple[socket.socket, int]] = {}  # process -> its client, its process descriptor
    listening = True
    while listening or children:
        ends = {file: pid for pid, (client, pidfd) in children.items() for file in (client.fileno(), pidfd)}
        ready = select.select([*ends, *([listener] if listening else [])], [], [])[0]
        for pid in {ends[file] for file in ready if file != listener}:
            client, pidfd = children.pop(pid)
            if pidfd not in ready:  # the client is gone, and with it whoever wanted the run
                os.kill(pid, signal.SIGKILL)
            report_end(pid, client, pidfd)
        if listener not in ready:
            continue
        client, _ = listener.accept()
        client.settimeout(PATIENCE)
        if not (listening := fingerprint() == sources and count_threads() == 1):
            listener.close()  # runs that were forked go on; this one starts cold
            client.close()
            continue
        request, files = receive(client)
        if request and not (pid := os.fork()):
            for number, file in enumerate(files):
                os.dup2(file, number)
            for held in (listener, client, *(client for client, _ in children.values())):
                held.detach()
            os.closerange(3, 1 << 10)  # those, and the lock by which the kept process is known to live
            return request
        for file in files:
            os.close(file)
        if request:
            with suppress(OSError):
                client.sendall(LENGTH.pack(pid))
            children[pid] = client, os.pidfd_open(pid)
        else:
            client.close()
    return {}


def receive(client: socket.socket) -> tuple[dict[str, Any], list[int]]:
    """Return a request and its standard streams; an empty one where the client died or has other sources than we."""
    files: list[int] = []
    try:
        head, files, _, _ = socket.recv_fds(client, LENGTH.size, 3)
        size, body = LENGTH.unpack(head)[0], b""
        while len(body) < size and (part := client.recv(size - len(body))):
            body += part
        request = json.loads(body)
    except (OSError, ValueError, struct.error):
        request = {}
    return (request if request.get("sources") == __file__ and len(files) == 3 else {}), files


def report_end(pid: int, client: socket.socket, pidfd: int) -> None:
    """Tell a client how its process ended."""
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    with suppress(OSError):
        client.sendall(LENGTH.pack(code if code >= 0 else 128 - code))
    client.close()
    os.close(pidfd)


def run_request(request: dict[str, Any]) -> None:
    """Be the process that ``python -m`` would have started."""
    import runpy

    from tasks.service import forks

    forks.is_fork = True  # this module is __main__ here, and that one is what others import
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["environment"])
    module, sys.argv = request["module"], request["arguments"]
    sys.stdout.reconfigure(line_buffering=os.isatty(1))  # type: ignore[union-attr]
    from prefect.context import refresh_global_settings_context
    from prefect.logging.configuration import setup_logging

    refresh_global_settings_context()
    setup_logging()
    sys.modules.pop(module, None)
    runpy.run_module(module, run_name="__main__")


def count_threads() -> int:
    """Return how many threads this process has; Python knows only of those that it started itself."""
    return len(os.listdir("/proc/self/task"))


def fingerprint() -> int:
    """Return a number that changes when a source file of this project does."""
    root = Path(__file__).parents[2]
    found = (path.stat() for part in ("domains", "flows", "learners", "tasks") for path in (root / part).rglob("*.py"))
    return hash(tuple((each.st_ino, each.st_mtime_ns, each.st_size) for each in found))


if __name__ == "__main__":
    keep()
