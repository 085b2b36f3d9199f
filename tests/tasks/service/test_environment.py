"""The environment by which clients and subprocesses find our server."""

import pytest

from tasks.base.settings import Settings
from tasks.service import environment
from tasks.service.server import Server


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
