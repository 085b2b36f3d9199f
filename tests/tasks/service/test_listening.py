"""Where the server may listen without a password."""

import os
import subprocess
import sys

import pytest

from domains.errors import UserError
from tasks.base.settings import Settings
from tasks.service.listening import PASSWORD, check_host, is_loopback
from tasks.service.server import prefect_server
from tasks.service.up import run_service


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.0.1.1", "127.255.255.254", "::1", "0:0:0:0:0:0:0:1", "localhost", "LOCALHOST"]
)
def test_this_machine_alone_needs_no_password(host, monkeypatch):
    monkeypatch.delenv(PASSWORD, raising=False)
    assert is_loopback(host)
    check_host(host)


@pytest.mark.parametrize(
    "host",
    ["0.0.0.0", "::", "", "192.168.1.2", "10.0.0.1", "fe80::1", "128.0.0.1", "server", "localhost.evil", "127.1"],
)
def test_a_host_that_others_reach_needs_a_password(host, monkeypatch):
    for nothing in ("", "  "):
        monkeypatch.setenv(PASSWORD, nothing)
        with pytest.raises(UserError, match=f"ACCLIMATE_HOST={host} .*set {PASSWORD}=user:password"):
            check_host(host)
    monkeypatch.setenv(PASSWORD, "team:secret")
    check_host(host)


def test_nothing_is_started_where_others_would_reach_it(tmp_path, monkeypatch):
    for name in [n for n in os.environ if n.startswith("PREFECT_") and n != "PREFECT_PROFILES_PATH"]:
        monkeypatch.delenv(name)
    settings = Settings(root=tmp_path, host="0.0.0.0")
    with pytest.raises(UserError, match=PASSWORD), prefect_server(settings):
        pass
    with pytest.raises(UserError, match=PASSWORD):
        run_service(settings, print)
    assert not (settings.home_path / "prefect/server.json").exists()


def test_up_says_so_in_one_line(tmp_path):
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    environment |= {"ACCLIMATE_HOST": "0.0.0.0", "ACCLIMATE_ROOT": str(tmp_path)}
    done = subprocess.run([sys.executable, "-m", "flows.cli", "up"], env=environment, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stdout == ""
    assert [PASSWORD in line for line in done.stderr.splitlines()] == [True]
