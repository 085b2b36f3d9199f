"""A real Prefect server on this machine: started when there is none, shared, stopped by its last user.

What runs is told by file locks, never by process ids alone. A server holds its own record locked for as long
as it lives, and every user of it holds a shared lock; the kernel frees both however a process ends. So a
recycled id is never trusted, a killed command leaves nothing to clear up, and the last user is the one who
can make the shared lock exclusive.
"""

import errno
import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit

from domains.errors import UserError
from tasks.base import own_first
from tasks.base.settings import Settings
from tasks.service.deployments import POOL
from tasks.service.listening import check_host, is_loopback

START_SECONDS = 120
RESTARTS, SHORT_LIFE = 5, 20  # so many ends in a row, each within so many seconds, are a fault that no restart mends
STOP_SECONDS = 15
BUSY = "503 Service Unavailable"  # said by a server whose database is locked, as by runs that waited for it to start

#: Prefect sends usage figures to nobody.
PRIVATE = {"PREFECT_SERVER_ANALYTICS_ENABLED": "false", "DO_NOT_TRACK": "1"}

#: Flows that a command runs leave the terminal to its progress display; the server still gets every line.
QUIET = {"PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "CRITICAL"}

Say = Callable[[str], None]


@dataclass(frozen=True)
class Server:
    """A Prefect server that answers.

    Attributes:
        api: address of its API.
        ours: whether it runs in our home folder, where its last user stops it.
    """

    api: str
    ours: bool = False

    @property
    def ui(self) -> str:
        """Address of its pages."""
        return self.api.removesuffix("/").removesuffix("/api")


@contextmanager
def prefect_server(settings: Settings, say: Say = lambda _: None, url: str = "") -> Iterator[Server]:
    """Make this process a client of a Prefect server for the length of the block.

    The server is, in this order: ``url``; that of ``PREFECT_API_URL``; the one that already runs in our home
    folder; a new one there. In the last two cases the last command that uses it stops it.

    Args:
        say: told in one line when a server has to be started.
        url: address of the API of a server to join.

    Raises:
        UserError: the given server does not answer or refuses us, the port is in use, ours would listen to other
            machines without a password, or the server that was started does not come up.
    """
    url = url or os.environ.get("PREFECT_API_URL", "")
    with ExitStack() as stack:
        stack.enter_context(_orderly_end())
        if ours := not url:
            stack.enter_context(_environment(_home_environment(settings)))
            url = stack.enter_context(_shared_server(settings, say))
        elif not _answers(url):
            raise UserError(f"no Prefect server answers at {url}: start it, or name no server to have one started")
        stack.enter_context(_environment(_client_environment(url)))
        _check_access(url)
        stack.callback(_send_what_is_left)
        yield Server(url, ours)


def running(settings: Settings) -> str | None:
    """Return the address of the pages of the server that a command would join, or None where it had to start one."""
    record = _alive(settings.home_path / "prefect" / "server.json") or {}
    url = os.environ.get("PREFECT_API_URL") or record.get("url", "")
    return Server(url).ui if url and _answers(url) else None


def up(settings: Settings, say: Say, url: str = "") -> None:
    """Run server, deployments and worker until Ctrl-C or SIGTERM, then stop what was started.

    A worker or a server of ours that dies is started again, and what it was doing is asked for again.

    Raises:
        UserError: as ``prefect_server``; another ``acclimate up`` runs in this home folder; a deployment of
            ``prefect.yaml`` cannot be registered; the worker or the server ends again and again.
    """
    from tasks.service.deployments import ask_to_reconcile, crash_silent_runs, create_work_pool, forget_missed_runs
    from tasks.service.webhook import check_url, ensure_webhook

    webhook = settings.webhook.get_secret_value()
    if webhook:
        check_url(webhook)
    folder = _folder(settings)
    registered, restarts = False, 0
    with _only_one(folder / "up.lock"), prefect_server(settings, say, url) as server:
        create_work_pool(settings.processes)
        crash_silent_runs(not server.ours or not is_loopback(settings.host))
        forget_missed_runs()
        _stop(folder / "warm.json")  # that of an `acclimate up` that was killed
        try:
            while True:
                _keep_warm(settings)
                with _worker(settings) as worker:
                    began = time.monotonic()
                    if not registered:
                        register(settings)
                        if webhook:
                            ensure_webhook(webhook)
                        say(f"Prefect UI: {server.ui}")
                        registered = True
                    ask_to_reconcile()
                    while worker.poll() is None and (not server.ours or _alive(folder / "server.json")):
                        time.sleep(0.5)
                    ended = "server" if worker.poll() is None else "worker"
                last = _last_line(folder / f"{ended}.log")
                restarts = restarts + 1 if time.monotonic() - began < SHORT_LIFE else 0
                if restarts > RESTARTS:
                    raise UserError(f"the Prefect {ended} ends again and again ({last}): see {folder}/{ended}.log")
                say(f"the Prefect {ended} ended ({last}); starting it again")
                if server.ours:
                    with _locked(folder / "start.lock"):  # a command that begins now does not start another
                        if not _alive(folder / "server.json"):
                            _start_server(settings, say)
                        _wait_until_healthy(folder / "server.json", folder / "server.log")
        except KeyboardInterrupt:
            say("stopping the worker and the server")
        finally:
            _stop(folder / "warm.json")


def worker_since(settings: Settings) -> float | None:
    """Return when the worker of this machine started, as a Unix time; None where none runs."""
    import psutil

    found = _alive(settings.home_path / "prefect" / "worker.json")
    with suppress(psutil.NoSuchProcess):
        return float(psutil.Process(found["pid"]).create_time()) if found else None
    return None


def register(settings: Settings) -> None:
    """Create or update the deployments of ``prefect.yaml``.

    Raises:
        UserError: Prefect refuses one of them.
    """
    command = own_first.command("prefect", "--no-prompt", "deploy", "--all")
    for last in (False, False, True):
        done = subprocess.run(
            command,
            cwd=settings.root_path,
            env=_loud(settings),
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
        )
        reason = " ".join((done.stderr or done.stdout).split())[-500:]
        if not done.returncode:
            return
        if last or BUSY not in reason:
            raise UserError(f"{settings.root_path / 'prefect.yaml'} cannot be registered: {reason}")


@contextmanager
def _shared_server(settings: Settings, say: Say) -> Iterator[str]:
    """Use the server of our home folder, starting it first when needed; stop it when nobody else uses it."""
    folder = _folder(settings)
    record, starting = folder / "server.json", folder / "start.lock"
    started = None
    with (folder / "users.lock").open("a") as users:
        try:
            with _locked(starting):
                fcntl.flock(users, fcntl.LOCK_SH)
                if not _alive(record):
                    started = _start_server(settings, say)
                url = _wait_until_healthy(record, folder / "server.log")
            yield url
        finally:
            with _locked(starting):
                if _becomes_exclusive(users):
                    _stop(record)
                fcntl.flock(users, fcntl.LOCK_UN)
            if started:
                started.poll()  # lets the system forget an ended child


def _start_server(settings: Settings, say: Say) -> subprocess.Popen[bytes]:
    folder = _folder(settings)
    check_host(settings.host)
    _check_port(settings.host, settings.port)
    say("starting the Prefect server")
    address = {"PREFECT_SERVER_API_HOST": settings.host, "PREFECT_SERVER_API_PORT": str(settings.port)}
    # as settings rather than options: the pages learn the address of the API from them alone
    environment = os.environ | address | {"PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false"}
    command = own_first.command("prefect", "--no-prompt", "server", "start")
    return _spawn(folder / "server.json", command, environment, folder / "server.log", _url(settings))


def _keep_warm(settings: Settings) -> None:
    """Start the process that flow runs are forked off, unless it runs: what it forked outlives the worker."""
    folder = _folder(settings)
    if hasattr(os, "pidfd_open") and not _alive(folder / "warm.json"):  # Linux
        command = own_first.command("tasks.service.forks")
        _spawn(folder / "warm.json", command, _loud(settings), folder / "worker.log")


@contextmanager
def _worker(settings: Settings) -> Iterator[subprocess.Popen[bytes]]:
    folder = _folder(settings)
    record = folder / "worker.json"
    _stop_worker(record)  # that of an `acclimate up` that was killed
    command = own_first.command("prefect", "--no-prompt", "worker", "start", "--type", "process")
    # one more than may work, so that watch and reconcile never wait for long runs
    command += ["--pool", POOL, "--limit", str(settings.processes + 1)]
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])  # of acclimate-run
    environment = _loud(settings) | {"PREFECT_WORKER_QUERY_SECONDS": "1", "PATH": path}
    worker = _spawn(record, command, environment, folder / "worker.log")
    try:
        yield worker
    finally:
        _stop_worker(record)


def _stop_worker(record: Path) -> None:
    """Stop a worker after its flow runs: left to itself it kills them, and they stay "running" at the server."""
    import psutil

    if found := _alive(record):
        with suppress(psutil.NoSuchProcess):
            runs = psutil.Process(found["pid"]).children()
            for run in runs:
                run.terminate()
            psutil.wait_procs(runs, timeout=STOP_SECONDS)
    _stop(record)


def _spawn(
    record: Path, command: list[str], environment: Mapping[str, str], log: Path, url: str = ""
) -> subprocess.Popen[bytes]:
    """Start a process that holds its record locked while it lives, out of reach of the terminal's Ctrl-C."""
    record.unlink(missing_ok=True)
    with record.open("x") as lock, log.open("ab") as output:
        fcntl.flock(lock, fcntl.LOCK_EX)
        process = subprocess.Popen(
            command,
            cwd=record.parent,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            pass_fds=[lock.fileno()],
        )
        json.dump({"pid": process.pid, "url": url}, lock)
    return process


def _alive(record: Path) -> dict[str, Any] | None:
    """Return what is recorded of a process that still holds its record locked, else None."""
    try:
        with record.open() as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return json.load(lock)
    except (FileNotFoundError, json.JSONDecodeError):
        pass
    return None


def _stop(record: Path) -> None:
    """End a recorded process, if it lives, by SIGTERM, or by SIGKILL where that does not help."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        if not (found := _alive(record)):
            break
        with suppress(ProcessLookupError):
            os.kill(found["pid"], number)
        deadline = time.monotonic() + STOP_SECONDS
        while _alive(record) and time.monotonic() < deadline:
            time.sleep(0.02)
    record.unlink(missing_ok=True)


def _wait_until_healthy(record: Path, log: Path) -> str:
    deadline = time.monotonic() + START_SECONDS
    while server := _alive(record):
        if _answers(server["url"]):
            return str(server["url"])
        if time.monotonic() > deadline:
            raise UserError(f"the Prefect server is not ready after {START_SECONDS} s: see {log}")
        time.sleep(0.1)
    raise UserError(f"the Prefect server ended while it started ({_last_line(log)}): see {log}")


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url.rstrip('/')}/health", timeout=10) as answer:
            return bool(answer.status == 200)
    except (OSError, ValueError, HTTPException):
        return False


def _check_access(url: str) -> None:
    """Ask the server something that needs its password and a version we can talk to."""
    import httpx
    from prefect.client.orchestration import get_client

    try:
        with get_client(sync_client=True) as client:
            client.raise_for_api_version_mismatch()
    except httpx.HTTPStatusError as error:
        raise UserError(
            f"the Prefect server at {url} refuses us: set PREFECT_API_AUTH_STRING to its password"
        ) from error
    except RuntimeError as error:
        raise UserError(f"cannot use the Prefect server at {url}: {error}") from error


def _send_what_is_left() -> None:
    """Send the log lines and events that Prefect holds back, while there still is a server to take them."""
    from prefect.events.worker import EventsWorker
    from prefect.logging.handlers import APILogWorker

    APILogWorker.drain_all(timeout=STOP_SECONDS)
    EventsWorker.drain_all(timeout=STOP_SECONDS)


def _check_port(host: str, port: int) -> None:
    try:
        (family, kind, protocol, _, address), *_ = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise UserError(
                f"port {port} is in use by another program: stop it, or set ACCLIMATE_PORT to a free one"
            ) from None
        raise UserError(
            f"cannot listen on {host} port {port} ({error.strerror}): set ACCLIMATE_HOST or ACCLIMATE_PORT"
        ) from None


def _url(settings: Settings) -> str:
    """Return the address of the API of our own server; one that listens everywhere is reached by loopback."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.host, settings.host)
    return f"http://[{host}]:{settings.port}/api" if ":" in host else f"http://{host}:{settings.port}/api"


def _folder(settings: Settings) -> Path:
    folder = settings.home_path / "prefect"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot write {folder}: {error.strerror}; change the rights or set ACCLIMATE_HOME") from error
    return folder


def _home_environment(settings: Settings) -> dict[str, str]:
    """Return what our own server and its clients need: our folder, silence, and no proxy in between."""
    host = urlsplit(_url(settings)).hostname or ""
    direct = ",".join(filter(None, (os.environ.get("no_proxy") or os.environ.get("NO_PROXY"), host)))
    return PRIVATE | {"PREFECT_HOME": str(_folder(settings)), "NO_PROXY": direct, "no_proxy": direct}


def _client_environment(url: str) -> dict[str, str]:
    environment = PRIVATE | QUIET | {"PREFECT_API_URL": url}
    if password := os.environ.get("PREFECT_SERVER_API_AUTH_STRING"):
        environment["PREFECT_API_AUTH_STRING"] = password
    given = {name for name in (*QUIET, "PREFECT_API_AUTH_STRING") if name in os.environ}
    return {name: value for name, value in environment.items() if name not in given}


def _loud(settings: Settings) -> dict[str, str]:
    """Return the environment of our subprocesses, whose output goes to a file and should be complete."""
    ours = {"ACCLIMATE_ROOT": str(settings.root_path), "ACCLIMATE_HOME": str(settings.home_path)}
    return {name: value for name, value in os.environ.items() if name not in QUIET} | ours


@contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    """Set environment variables for the block, and have Prefect notice where it is imported already."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    _refresh_prefect()
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        _refresh_prefect()


def _refresh_prefect() -> None:
    if "prefect" in sys.modules:  # it reads its settings once, when it is imported
        from prefect.context import refresh_global_settings_context
        from prefect.logging.configuration import setup_logging

        refresh_global_settings_context()
        setup_logging()


@contextmanager
def _orderly_end() -> Iterator[None]:
    """Have SIGTERM and SIGHUP unwind the stack, so that what was started is stopped."""

    def leave(number: int, _: object) -> None:
        raise SystemExit(128 + number)

    ours = []
    if threading.current_thread() is threading.main_thread():
        ours = [s for s in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(s) == signal.SIG_DFL]
    for number in ours:
        signal.signal(number, leave)
    try:
        yield
    finally:
        for number in ours:
            signal.signal(number, signal.SIG_DFL)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextmanager
def _only_one(path: Path) -> Iterator[None]:
    with path.open("a") as lock:
        if not _becomes_exclusive(lock):
            raise UserError(f"acclimate up already runs for {path.parent}: use it, or stop it first")
        yield


def _becomes_exclusive(lock: IO[str]) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _last_line(log: Path) -> str:
    lines = log.read_text("utf-8", "replace").split("\n") if log.exists() else []
    return next((line.strip() for line in reversed(lines) if line.strip()), "it said nothing")
