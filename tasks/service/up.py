"""``acclimate up``: server, deployments of ``prefect.yaml``, worker, and the process that flow runs are forked off."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import yaml

from domains.errors import UserError
from tasks.base import own_first
from tasks.base.settings import Settings
from tasks.service.containers import check_containers, environment_to_hand_on, pull_steps
from tasks.service.deployments import (
    POOL,
    ask_to_reconcile,
    crash_silent_runs,
    create_work_pool,
    forget_missed_runs,
)
from tasks.service.environment import api_url, given_url, subprocess_environment, worker_name
from tasks.service.forks import ONE_THREAD
from tasks.service.listening import is_loopback
from tasks.service.logs import rotate_all
from tasks.service.processes import (
    STOP_SECONDS,
    file_lock,
    last_line,
    live_record,
    spawn,
    state_folder,
    stop,
    try_exclusive,
)
from tasks.service.server import Say, prefect_server, start_server, wait_until_healthy
from tasks.service.webhook import check_url, ensure_webhook, forget_webhook

RESTARTS, SHORT_LIFE = 5, 20  # so many ends in a row, each within so many seconds, are a fault that no restart cures
REGISTER_SECONDS = 300
BUSY = "503 Service Unavailable"  # said by a server whose database is locked, as by runs that waited for it to start


def run_service(settings: Settings, say: Say, url: str = "") -> None:
    """Run server, deployments and worker until Ctrl-C or SIGTERM, then stop what was started.

    A worker or a server of ours that dies is started again, and so are the flow runs that died with it.

    Raises:
        UserError: as ``prefect_server`` and, where flow runs are containers, ``check_containers``; another
            ``acclimate up`` runs in this home folder; a deployment of ``prefect.yaml`` cannot be registered; the worker
            or the server ends again and again.
    """
    webhook = settings.webhook.get_secret_value()
    if webhook:
        check_url(webhook)
    if settings.pool_type != "process":
        check_containers(settings, url or given_url() or api_url(settings))
    folder = state_folder(settings)
    registered, restarts = False, 0
    with _only_one_up(folder / "up.lock"), prefect_server(settings, say, url) as server:
        create_work_pool(settings)
        forget_missed_runs()
        stop(folder / "warm.json")  # that of an `acclimate up` that was killed
        forks = Forks(settings, say)
        try:
            while True:
                forks.keep()
                with _worker(settings) as worker:
                    began = time.monotonic()
                    if not registered:
                        register_deployments(settings)
                        crash_silent_runs(not server.ours or not is_loopback(settings.host))
                        if webhook:
                            ensure_webhook(webhook)
                        else:
                            forget_webhook()
                        say(f"Prefect UI: {server.ui}")
                        registered = True
                    ask_to_reconcile()
                    while worker.poll() is None and (not server.ours or live_record(folder / "server.json")):
                        forks.keep()
                        time.sleep(0.5)
                        rotate_all(folder)
                    ended = "server" if worker.poll() is None else "worker"
                last = last_line(folder / f"{ended}.log")
                restarts = restarts + 1 if time.monotonic() - began < SHORT_LIFE else 0
                if restarts > RESTARTS:
                    raise UserError(f"the Prefect {ended} ends again and again ({last}): see {folder}/{ended}.log")
                say(f"the Prefect {ended} ended ({last}); starting it again")
                if server.ours:
                    with file_lock(folder / "start.lock"):  # a command that begins now does not start another
                        if not live_record(folder / "server.json"):
                            start_server(settings, say)
                        wait_until_healthy(folder / "server.json", folder / "server.log")
        except KeyboardInterrupt:
            say("stopping the worker and the server")
        finally:
            stop(folder / "warm.json")


@contextmanager
def _only_one_up(path: Path) -> Iterator[None]:
    """Hold the lock of ``acclimate up`` in a home folder.

    Raises:
        UserError: another one holds it.
    """
    with path.open("a") as lock:
        if not try_exclusive(lock):
            raise UserError(f"acclimate up already runs for {path.parent}: use it, or stop it first")
        yield


class Forks:
    """The process that flow runs are forked off, started again where it died; without it they start by themselves."""

    def __init__(self, settings: Settings, say: Say) -> None:
        self._settings, self._say = settings, say
        self._folder = state_folder(settings)
        self._wanted = settings.warm and settings.pool_type == "process" and hasattr(os, "pidfd_open")  # Linux
        self._began, self._short = -float("inf"), 0

    def keep(self) -> None:
        """Start it unless it lives: what it forked outlives the worker. One that ends again and again is given up."""
        if not self._wanted or live_record(self._folder / "warm.json"):
            return
        self._short = self._short + 1 if time.monotonic() - self._began < SHORT_LIFE else 0
        if self._short > RESTARTS:
            self._wanted = False
            last = last_line(self._folder / "warm.log")
            self._say(f"flow runs start without the process they are forked off, which ends each time ({last})")
            return
        self._began = time.monotonic()
        command, log = own_first.command("tasks.service.forks"), self._folder / "warm.log"
        spawn(self._folder / "warm.json", command, subprocess_environment(self._settings) | ONE_THREAD, log)


@contextmanager
def _worker(settings: Settings) -> Iterator[subprocess.Popen[bytes]]:
    """Run a worker for the length of the block."""
    folder = state_folder(settings)
    record = folder / "worker.json"
    _stop_worker(record)  # that of an `acclimate up` that was killed
    command = own_first.command("prefect", "--no-prompt", "worker", "start", "--type", settings.pool_type)
    # one more than may work, so that watch and reconcile never wait for long runs
    command += ["--pool", POOL, "--limit", str(settings.processes + 1), "--name", worker_name(settings)]
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])  # of acclimate-run
    environment = subprocess_environment(settings) | {"PREFECT_WORKER_QUERY_SECONDS": "1", "PATH": path}
    if settings.pool_type != "process":
        environment |= environment_to_hand_on(settings)
    worker = spawn(record, command, environment, folder / "worker.log")
    try:
        yield worker
    finally:
        _stop_worker(record)


def _stop_worker(record: Path) -> None:
    """Stop a worker after its flow runs: left to itself it kills them, and they stay "running" at the server."""
    import psutil

    if found := live_record(record):
        with suppress(psutil.NoSuchProcess):
            runs = psutil.Process(found["pid"]).children()
            for run in runs:
                run.terminate()
            psutil.wait_procs(runs, timeout=STOP_SECONDS)
    stop(record)


def worker_since(settings: Settings) -> float | None:
    """Return when the worker of this machine started, as a Unix time; None where none runs."""
    import psutil

    found = live_record(settings.home_path / "prefect" / "worker.json")
    with suppress(psutil.NoSuchProcess):
        return float(psutil.Process(found["pid"]).create_time()) if found else None
    return None


def register_deployments(settings: Settings) -> None:
    """Create or update the deployments of ``prefect.yaml``; containers clone the project in place of its pull steps.

    Raises:
        UserError: the file cannot be read; Prefect refuses one of them, or does not answer.
    """
    given = settings.root_path / "prefect.yaml"
    command = own_first.command("prefect", "--no-prompt", "deploy", "--all")
    if settings.pool_type != "process":
        try:
            described = yaml.safe_load(given.read_text("utf-8")) | {"pull": pull_steps()}
        except (OSError, ValueError, TypeError, yaml.YAMLError) as error:
            raise UserError(f"{given} cannot be read: {' '.join(str(error).split())}") from error
        changed = state_folder(settings) / "prefect.yaml"
        changed.write_text(yaml.safe_dump(described, sort_keys=False), "utf-8")
        command += ["--prefect-file", str(changed)]
    for last in (False, False, True):
        try:
            done = subprocess.run(
                command,
                cwd=settings.root_path,
                env=subprocess_environment(settings),
                capture_output=True,
                text=True,
                stdin=subprocess.DEVNULL,
                timeout=REGISTER_SECONDS,
            )
        except subprocess.TimeoutExpired:
            raise UserError(f"{given} cannot be registered: no end within {REGISTER_SECONDS} s") from None
        reason = " ".join((done.stderr or done.stdout).split())[-500:]
        if not done.returncode:
            return
        if last or BUSY not in reason:
            raise UserError(f"{given} cannot be registered: {reason}")
