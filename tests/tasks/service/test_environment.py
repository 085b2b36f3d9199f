"""The environment by which clients and subprocesses find our server."""

import os
from base64 import b64encode
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from domains.errors import UserError
from tasks.base.settings import Settings
from tasks.service import environment
from tasks.service.server import Server, prefect_server, running_ui


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:4200/api"),
        ("0.0.0.0", "http://127.0.0.1:4200/api"),
        ("::", "http://[::1]:4200/api"),
    ],
)
def test_a_server_that_listens_everywhere_is_reached_by_loopback(host: str, url: str) -> None:
    assert environment.api_url(Settings(host=host, port=4200)) == url
    assert Server(url).ui == url.removesuffix("/api")


def test_clients_get_the_password_of_the_server_and_keep_what_the_user_set(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("PREFECT_API_AUTH_STRING", "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PREFECT_SERVER_API_AUTH_STRING", "admin:secret")
    assert environment.client_environment("u")["PREFECT_API_AUTH_STRING"] == "admin:secret"
    monkeypatch.setenv("PREFECT_API_AUTH_STRING", "me:mine")
    monkeypatch.setenv("PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL", "DEBUG")
    assert environment.client_environment("u") == environment.PRIVATE | {"PREFECT_API_URL": "u"}


@pytest.fixture
def guarded() -> Iterator[tuple[str, list[str | None]]]:
    """The address of an API that answers only who sends its key or password, and what it was sent."""
    sent: list[str | None] = []

    class Guard(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            sent.append(self.headers["Authorization"])
            known = sent[-1] in ("Bearer the-key", f"Basic {b64encode(b'team:secret').decode()}")
            self.send_response(200 if known else 401)
            self.end_headers()
            self.wfile.write(b"true")

        def log_message(self, *_: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Guard) as running:
        Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}/api", sent
        running.shutdown()


@pytest.fixture
def profiles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., dict[str, str]]:
    """Write profiles; returns the environment that names the file."""
    for name in [n for n in os.environ if n.startswith("PREFECT_")]:
        monkeypatch.delenv(name)

    def write(active: str, **of: dict[str, str]) -> dict[str, str]:
        path = tmp_path / "profiles.toml"
        lines = [f'active = "{active}"']
        for name, values in of.items():
            lines += [f"[profiles.{name}]", *(f'{key} = "{value}"' for key, value in values.items())]
        path.write_text("\n".join(lines))
        return {"PREFECT_PROFILES_PATH": str(path), "NO_PROXY": "*"}

    return write


def test_the_server_of_the_active_profile_is_used_and_none_started(
    guarded: tuple[str, list[str | None]], profiles: Callable[..., dict[str, str]], tmp_path: Path
) -> None:
    url, sent = guarded
    team = {"PREFECT_API_URL": url, "PREFECT_API_KEY": "the-key"}
    home = Settings(root=tmp_path)
    with environment.set_environment(profiles("team", team=team, alone={})):
        assert running_ui(home) == url.removesuffix("/api")
        assert sent == ["Bearer the-key"]
        with environment.set_environment({"PREFECT_PROFILE": "alone"}):
            assert running_ui(home) is None
        with environment.set_environment({"PREFECT_API_URL": "http://127.0.0.1:9/api"}):
            assert environment.given_url() == "http://127.0.0.1:9/api"
        with environment.set_environment({"PREFECT_API_KEY": "old"}):
            with pytest.raises(UserError, match=r"refuses us: set PREFECT_API_AUTH_STRING .* PREFECT_API_KEY"):
                prefect_server(home).__enter__()
            assert environment.subprocess_environment(home)["PREFECT_PROFILES_PATH"]
    assert not (home.home_path / "prefect/server.json").exists()


def test_the_probe_sends_the_password(
    guarded: tuple[str, list[str | None]], profiles: Callable[..., dict[str, str]], tmp_path: Path
) -> None:
    url, sent = guarded
    with environment.set_environment(profiles("ephemeral", ephemeral={})):
        assert environment.given_url() == ""
        given = {"PREFECT_API_URL": url, "PREFECT_API_AUTH_STRING": "team:secret", "PREFECT_API_KEY": "x"}
        with environment.set_environment(given):
            assert running_ui(Settings(root=tmp_path))
    assert sent == [f"Basic {b64encode(b'team:secret').decode()}"]


def test_the_pages_of_prefect_cloud_are_named() -> None:
    api = "https://api.prefect.cloud/api/accounts/1a/workspaces/2b"
    assert Server(api).ui == "https://app.prefect.cloud/account/1a/workspace/2b"
