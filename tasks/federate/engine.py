"""NVIDIA FLARE's processes: started, spoken to, and ended."""

import json
import os
import socket
import sys
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, redirect_stdout, suppress
from io import StringIO
from pathlib import Path
from typing import Any

from domains.errors import UserError
from domains.whole_file import write_whole
from tasks.base.settings import settings
from tasks.federate.kits import ADMIN, ORGANISATION, server_of
from tasks.federate.plan import QUESTIONS, ServerPlan
from tasks.service.processes import last_line, live_record, spawn, stop

PARTS = {
    "server": "nvflare.private.fed.app.server.server_train",
    "client": "nvflare.private.fed.app.client.client_train",
}
RECORD, OUTPUT, JOB = "process", "flare.log", "job"
POLL, CONNECT, SETTLE, STALLED = 1.0, 10.0, 20.0, 60.0  # seconds


def start(kit: Path, part: str, name: str = "") -> None:
    """Start the server or the client of a kit, unless it runs already."""
    if live_record(kit / RECORD):
        return
    s, who = settings(), [f"uid={name}"] if name else []
    environment = dict(os.environ) | {"ACCLIMATE_ROOT": str(s.root_path), "ACCLIMATE_HOME": str(s.home_path)}
    environment |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    for left in ("shutdown.fl", "restart.fl"):
        (kit / left).unlink(missing_ok=True)
    command = [sys.executable, "-u", "-m", PARTS[part], "-m", str(kit), "-s", f"fed_{part}.json", "--set"]
    command += ["secure_train=true", *who, f"org={ORGANISATION}", "config_folder=config"]
    spawn(kit / RECORD, command, environment, kit / OUTPUT)


def is_running(kit: Path) -> bool:
    """Whether the process of a kit lives."""
    return live_record(kit / RECORD) is not None


def end(kit: Path) -> None:
    """End the process of a kit; those that it started end with it."""
    stop(kit / RECORD)


def why_ended(kit: Path) -> str:
    """Return the last line that a kit's process said."""
    return last_line(kit / OUTPUT)


def wait_for_jobs(kit: Path, seconds: float = 120) -> None:
    """Wait until the process of a kit runs no job any more, for so long at most."""
    import psutil

    until = time.monotonic() + seconds
    while (found := live_record(kit / RECORD)) and time.monotonic() < until:
        with suppress(psutil.Error):
            if not psutil.Process(found["pid"]).children():
                return
        time.sleep(POLL)


def write_job(folder: Path, sites: Collection[str], least: int) -> Path:
    """Write the job that FLARE hands to server and sites: which of our classes to build, and no code."""
    job = folder / JOB
    server = {"format_version": 2, "workflows": [_component("federation", "Server", {"folder": str(folder)})]}
    site = {
        "format_version": 2,
        "executors": [{"tasks": list(QUESTIONS), "executor": _component("", "SiteExecutor", {})}],
    }
    rest: dict[str, Any] = {"components": [], "task_data_filters": [], "task_result_filters": []}
    for app, name, config in (("server", "config_fed_server.json", server), ("site", "config_fed_client.json", site)):
        path = job / app / "config" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, json.dumps(config | rest, indent=1))
    meta = {"name": JOB, "resource_spec": {}, "min_clients": least, "mandatory_clients": []}
    meta |= {"deploy_map": {"server": ["server"], "site": sorted(sites)}}
    write_whole(job / "meta.json", json.dumps(meta, indent=1))
    return job


@contextmanager
def session(kits: Path) -> Iterator[Any]:
    """Be the administrator of a federation for the length of the block.

    Raises:
        ConnectionError: the server does not answer.
    """
    from nvflare.fuel.flare_api.flare_api import new_secure_session

    found = _command(lambda: new_secure_session(ADMIN, str(kits / ADMIN), timeout=CONNECT))
    try:
        yield found
    finally:
        with suppress(Exception), redirect_stdout(StringIO()):
            found.close()


def run_segment(plan: ServerPlan, kits: Path, missing: Callable[[], set[str]], say: Callable[[str], None]) -> bool:
    """Wait for sites, give them and the server a job, and return whether it ended; not where the server died.

    Args:
        missing: the sites that are wanted now.
    """
    try:
        with session(kits) as admin:
            here = _wait_for_sites(plan, kits, admin, missing)
            say(f"here are {', '.join(sorted(here))}" if here else "no site is here")
            if not here:
                return False
            job = _command(admin.submit_job, str(write_job(plan.folder, here, min(len(here), plan.least))))
            status, before, ended = "", plan.segments(), 0.0
            state, moved = _progress(plan), time.monotonic()
            while not status.startswith("FINISHED"):
                time.sleep(POLL)
                if _progress(plan) != state:
                    state, moved = _progress(plan), time.monotonic()
                elif time.monotonic() - moved > max(STALLED, 2 * plan.patience):
                    moved = time.monotonic()
                    if idle := _idle(admin) & missing():  # what a site that died was asked, nobody answers
                        say(f"{', '.join(sorted(idle))} came back without its work; the round begins again")
                        _abort(admin, job)
                        return False
                if plan.segments() > before:
                    ended = ended or time.monotonic()
                    if time.monotonic() - ended > SETTLE:  # a site that died has not told FLARE that it is done
                        _abort(admin, job)
                        return True
                if not is_running(server_of(kits)):
                    say("the server is gone; it is started again and goes on")
                    return False
                status = str(_command(admin.get_job_status, job))
            if status != "FINISHED:COMPLETED":
                say(f"a job of FLARE ended as {status}; the next one goes on")
            return True
    except ConnectionError as error:
        say(f"the server does not answer yet ({error})")
        return False


def _command(call: Callable[..., Any], *arguments: Any) -> Any:
    """Return what the server says to an administrator's command.

    Raises:
        ConnectionError: it does not answer, whatever FLARE makes of that.
    """
    with redirect_stdout(StringIO()):
        try:
            return call(*arguments)
        except Exception as error:
            raise ConnectionError(str(error)) from error


def _progress(plan: ServerPlan) -> float:
    return plan.checkpoint.stat().st_mtime if plan.checkpoint.exists() else 0.0


def _idle(admin: Any) -> set[str]:
    """Return the sites that are connected and run no job: they came, or came back, after it began."""
    with suppress(ConnectionError):
        rows = _command(admin.get_client_job_status) or []
        return {str(row["client_name"]) for row in rows if row.get("status") == "no_jobs"}
    return set()


def _abort(admin: Any, job: str) -> None:
    with suppress(ConnectionError):
        _command(admin.abort_job, job)


def _wait_for_sites(plan: ServerPlan, kits: Path, admin: Any, missing: Callable[[], set[str]]) -> set[str]:
    """Return the sites that are connected, all that are wanted, or after ``patience`` as many as are needed."""
    started = time.monotonic()
    while is_running(server_of(kits)):
        here = {client.name for client in _command(admin.get_connected_client_list)}
        wanted = missing()
        waited = time.monotonic() - started > plan.patience
        if wanted and (wanted <= here or (waited and len(wanted & here) >= min(plan.least, len(wanted)))):
            return here & set(plan.sites)
        time.sleep(POLL)
    return set()


def _component(name: str, kind: str, arguments: dict[str, Any]) -> dict[str, Any]:
    named = {"id": name} if name else {}
    return named | {"path": f"tasks.federate.flare.{kind}", "args": arguments}


def check_port(host: str, port: int) -> None:
    """Raise UserError where something else listens on a port."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("", port))
        except OSError as error:
            raise UserError(f"port {port} of {host} is taken ({error.strerror}); choose another: --port") from error
