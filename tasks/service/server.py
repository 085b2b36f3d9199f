"""A real Prefect server on this machine: started when there is none, shared, stopped by its last user.

The server holds its own record locked while it lives (``tasks/service/processes.py``), and every user of it holds a
shared lock. The last user is the one who can make the shared lock exclusive.
"""

import errno
import fcntl
import os
import signal
import socket
import subprocess
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from urllib.error import HTTPError

from domains.errors import UserError
from tasks.base import own_first
from tasks.base.settings import Settings
from tasks.service.environment import (
    api_url,
    authorization,
    client_environment,
    given_url,
    home_environment,
    set_environment,
)
from tasks.service.listening import check_host
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

START_SECONDS = 120
REFUSED = (401, 403)  # answers to a client without the right password or key

#: What the server itself deletes, unless the user says otherwise: events after a week; a year after its end every flow
#: run, with what it left. `acclimate clean` keeps the newest page of each kind, which this service does not.
VACUUM = {
    "PREFECT_SERVER_SERVICES_DB_VACUUM_ENABLED": "events,flow_runs",
    "PREFECT_SERVER_SERVICES_DB_VACUUM_RETENTION_PERIOD": str(365 * 86400),
}

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
        """Address of its pages; those of Prefect Cloud have another host."""
        from prefect.settings import Settings as PrefectSettings

        api = self.api.rstrip("/")
        return PrefectSettings(api={"url": api}).ui_url or api


@contextmanager
def prefect_server(settings: Settings, say: Say = lambda _: None, url: str = "") -> Iterator[Server]:
    """Make this process a client of a Prefect server for the length of the block.

    The server is, in this order: ``url``; that of ``PREFECT_API_URL``; that of the active Prefect profile; the one that
    already runs in our home folder; a new one there. In the last two cases the last command that uses it stops it.

    Args:
        say: hears in one line that a server has to be started.
        url: address of the API of a server to join.

    Raises:
        UserError: the given server does not answer or refuses us, the port is in use, ours would listen to other
            machines without a password, or the server that was started does not come up.
    """
    url = url or given_url()
    with ExitStack() as stack:
        stack.enter_context(_unwind_on_signals())
        if ours := not url:
            stack.enter_context(set_environment(home_environment(settings)))
            url = stack.enter_context(_shared_server(settings, say))
        stack.enter_context(set_environment(client_environment(url)))
        if not ours and not _answers(url):
            raise UserError(
                f"no Prefect server answers at {url}: start it, or name none (PREFECT_API_URL, prefect profile ls) "
                "to have one started"
            )
        _check_access(url)
        stack.callback(_send_pending)
        yield Server(url, ours)


def running_ui(settings: Settings) -> str | None:
    """Return the address of the pages of the server that a command would join; None if it would have to start one."""
    record = live_record(settings.home_path / "prefect" / "server.json") or {}
    url = given_url() or record.get("url", "")
    return Server(url).ui if url and _answers(url) else None


@contextmanager
def _shared_server(settings: Settings, say: Say) -> Iterator[str]:
    """Use the server of our home folder, starting it first when needed; stop it when nobody else uses it."""
    folder = state_folder(settings)
    record, starting = folder / "server.json", folder / "start.lock"
    started = None
    with (folder / "users.lock").open("a") as users:
        try:
            with file_lock(starting):
                fcntl.flock(users, fcntl.LOCK_SH)
                if not live_record(record):
                    started = start_server(settings, say)
                url = wait_until_healthy(record, folder / "server.log")
            yield url
        finally:
            with file_lock(starting):
                if try_exclusive(users):
                    stop(record)
                fcntl.flock(users, fcntl.LOCK_UN)
            if started:
                started.poll()  # lets the system forget an ended child


def start_server(settings: Settings, say: Say) -> subprocess.Popen[bytes]:
    """Start a server in our home folder; it does not answer yet.

    Raises:
        UserError: we cannot listen on its port, or would do so for other machines without a password.
    """
    folder = state_folder(settings)
    check_host(settings.host)
    _check_port(settings.host, settings.port)
    say("starting the Prefect server")
    address = {"PREFECT_SERVER_API_HOST": settings.host, "PREFECT_SERVER_API_PORT": str(settings.port)}
    # as settings rather than options: the pages learn the address of the API from them alone
    environment = VACUUM | os.environ | address | {"PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false"}
    command = own_first.command("prefect", "--no-prompt", "server", "start")
    return spawn(folder / "server.json", command, environment, folder / "server.log", api_url(settings))


def wait_until_healthy(record: Path, log: Path) -> str:
    """Wait until the recorded server answers; return the address of its API.

    Raises:
        UserError: it ended, or did not answer in time.
    """
    deadline = time.monotonic() + START_SECONDS
    while server := live_record(record):
        if _answers(server["url"]):
            return str(server["url"])
        if time.monotonic() > deadline:
            raise UserError(f"the Prefect server is not ready after {START_SECONDS} s: see {log}")
        time.sleep(0.1)
    raise UserError(f"the Prefect server ended while it started ({last_line(log)}): see {log}")


def _answers(url: str) -> bool:
    """Whether a server answers, were it by refusing us."""
    return _health(url) in (200, *REFUSED)


def _health(url: str) -> int:
    """Return the status by which a server answers the question whether it is well; 0: it does not answer."""
    try:
        request = urllib.request.Request(f"{url.rstrip('/')}/health")
        for name, value in authorization().items():
            request.add_unredirected_header(name, value)  # a redirection would carry it to another host
        with urllib.request.urlopen(request, timeout=10) as answer:
            return int(answer.status)
    except HTTPError as error:
        return error.code
    except (OSError, ValueError, HTTPException):
        return 0


def _check_access(url: str) -> None:
    """Ask the server something that needs its password or key, and a version we can talk to."""
    import httpx
    from prefect.client.orchestration import get_client

    refused = UserError(
        f"the Prefect server at {url} refuses us: set PREFECT_API_AUTH_STRING to its password; of Prefect Cloud, "
        "PREFECT_API_KEY, or run `prefect cloud login`"
    )
    if _health(url) in REFUSED:
        raise refused
    try:
        with get_client(sync_client=True) as client:
            client.raise_for_api_version_mismatch()
    except httpx.HTTPStatusError as error:
        raise refused from error
    except RuntimeError as error:
        raise UserError(f"cannot use the Prefect server at {url}: {error}") from error


def _send_pending() -> None:
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


@contextmanager
def _unwind_on_signals() -> Iterator[None]:
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
