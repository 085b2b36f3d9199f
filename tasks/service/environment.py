"""The environment variables by which Prefect, here and in the processes that we start, finds our server and folder."""

import hashlib
import os
import socket
import sys
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from tasks.base.settings import Settings
from tasks.service.forks import BEATS
from tasks.service.processes import state_folder

#: Prefect sends usage figures to nobody.
PRIVATE = {"PREFECT_SERVER_ANALYTICS_ENABLED": "false", "DO_NOT_TRACK": "1"}

#: Flows that a command runs leave the terminal to its progress display; the server still gets every line.
QUIET = {"PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "CRITICAL"}


def api_url(settings: Settings) -> str:
    """Return the address of the API of our own server; one that listens everywhere is reached by loopback."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.host, settings.host)
    return f"http://[{host}]:{settings.port}/api" if ":" in host else f"http://{host}:{settings.port}/api"


def home_environment(settings: Settings) -> dict[str, str]:
    """Return what our own server and its clients need: our folder, silence, and no proxy in between."""
    host = urlsplit(api_url(settings)).hostname or ""
    direct = ",".join(filter(None, (os.environ.get("no_proxy") or os.environ.get("NO_PROXY"), host)))
    return PRIVATE | {"PREFECT_HOME": str(state_folder(settings)), "NO_PROXY": direct, "no_proxy": direct}


def given_url() -> str:
    """Return the address of the API that the environment or the active Prefect profile names; empty where none does."""
    if url := os.environ.get("PREFECT_API_URL"):
        return url
    home = Path(os.environ.get("PREFECT_HOME") or "~/.prefect").expanduser()
    if not Path(os.environ.get("PREFECT_PROFILES_PATH") or home / "profiles.toml").expanduser().exists():
        return ""  # importing Prefect would take two seconds
    from prefect.settings import get_current_settings

    return get_current_settings().api.url or ""


def authorization() -> dict[str, str]:
    """Return the header by which Prefect's clients say who they are: by a server's password or a key of the Cloud."""
    from prefect.settings import get_current_settings

    api = get_current_settings().api
    if api.auth_string:
        return {"Authorization": f"Basic {b64encode(api.auth_string.get_secret_value().encode()).decode()}"}
    return {"Authorization": f"Bearer {api.key.get_secret_value()}"} if api.key else {}


def client_environment(url: str) -> dict[str, str]:
    """Return what a client of the server at ``url`` needs and the user did not set, with its password if known."""
    environment = PRIVATE | QUIET | {"PREFECT_API_URL": url}
    if password := os.environ.get("PREFECT_SERVER_API_AUTH_STRING"):
        environment["PREFECT_API_AUTH_STRING"] = password
    given = {name for name in (*QUIET, "PREFECT_API_AUTH_STRING") if name in os.environ}
    return {name: value for name, value in environment.items() if name not in given}


def worker_name(settings: Settings) -> str:
    """Return the name of the worker of this machine and home, which Prefect writes on each run that it takes."""
    return f"acclimate {socket.gethostname()} {hashlib.sha256(str(settings.home_path).encode()).hexdigest()[:8]}"


@contextmanager
def set_environment(values: dict[str, str]) -> Iterator[None]:
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


def subprocess_environment(settings: Settings) -> dict[str, str]:
    """Return the environment of our subprocesses, whose output goes to a file and should be complete."""
    ours = {"ACCLIMATE_ROOT": str(settings.root_path), "ACCLIMATE_HOME": str(settings.home_path)}
    return {name: value for name, value in os.environ.items() if name not in QUIET} | ours | BEATS
