"""Prefect, MLflow and the ledger in Postgres, by configuration alone. Skips where its binaries are absent."""

import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tasks.base.settings import Settings
from tasks.base.shared_lock import shared_lock
from tasks.models import registry
from tasks.service.server import prefect_server
from tasks.watch import ledger, ledger_database
from tests.tasks.watch.test_ledger import OLD

pytestmark = [
    pytest.mark.timeout(300),
    pytest.mark.skipif(not shutil.which("initdb") or not shutil.which("postgres"), reason="no Postgres binaries"),
]


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def postgres() -> Iterator[str]:
    """The address of a server of our own, with the databases prefect and acclimate."""
    with tempfile.TemporaryDirectory(prefix="postgres-") as name:  # pytest's own folders are closed to other users
        yield from serve(Path(name))


def serve(folder: Path) -> Iterator[str]:
    user = {}
    if os.geteuid() == 0:  # it refuses to run as root
        try:
            account = pwd.getpwnam("postgres")
        except KeyError:
            pytest.skip("Postgres does not run as root, and there is no user postgres")
        os.chown(folder, account.pw_uid, account.pw_gid)
        user = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
    port, data = free_port(), folder / "data"
    made = ["initdb", "-D", str(data), "-U", "acclimate", "--auth", "trust", "--no-sync"]
    subprocess.run(made, check=True, capture_output=True, cwd=folder, **user)
    command = ["postgres", "-D", str(data), "-p", str(port), "-h", "127.0.0.1", "-k", str(folder), "-F"]
    with subprocess.Popen(command, cwd=folder, stderr=subprocess.DEVNULL, **user) as running:
        try:
            url = f"acclimate@127.0.0.1:{port}"
            for name in ("prefect", "acclimate"):
                subprocess.run([sys.executable, "-c", CREATE, url, name], check=True, capture_output=True)
            yield url
        finally:
            running.send_signal(signal.SIGINT)  # at once: SIGTERM would wait for its clients


CREATE = """if True:
    import sys, time, psycopg
    for _ in range(1000):
        try:
            connection = psycopg.connect(f"postgresql://{sys.argv[1]}/postgres")
            break
        except psycopg.OperationalError:
            time.sleep(0.2)
    connection.autocommit = True
    connection.cursor().execute(f"create database {sys.argv[2]}")
"""


HOLD = """if True:
    import sys, time
    from pathlib import Path
    from tasks.base.settings import Settings
    from tasks.base.shared_lock import shared_lock
    with shared_lock(Settings(root=Path(sys.argv[1]), ledger=sys.argv[2]), "hpo"):
        print("held", flush=True)
        time.sleep(600)
"""


def test_a_lock_holds_between_machines_until_its_holder_is_killed(postgres: str, tmp_path: Path) -> None:
    ours, other = f"postgresql://{postgres}/acclimate", tmp_path / "other"
    here = Settings(root=tmp_path / "here", ledger=ours)
    command = [sys.executable, "-c", HOLD, str(other), ours]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2]) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        said: list[str] = []
        with pytest.raises(TimeoutError), shared_lock(here, "hpo", lambda: said.append("waits"), seconds=0.5):
            pass
        assert said == ["waits"]
        with shared_lock(here, "trec", seconds=0.5):
            pass
        holder.kill()
    with shared_lock(here, "hpo", seconds=30):
        pass


def test_a_ledger_of_0_10_0_in_postgres_is_brought_up_to_date_by_many_at_once(postgres: str, tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", CREATE, postgres, "old"], check=True, capture_output=True)
    old = Settings(root=tmp_path, ledger=f"postgresql://{postgres}/old")
    import psycopg

    with psycopg.connect(old.ledger) as connection:
        connection.execute(OLD)
    connect = ledger_database._connect.__wrapped__
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: connect(old.ledger_uri, "here"), range(4)))
    assert [(row.name, row.serves, row.asked) for row in ledger.list_rows(old)] == [("a", "4", 1), ("b", "", 2)]
    assert ledger.begin_look(old) == 1


def test_flow_runs_models_and_ledger_are_kept_in_postgres(
    postgres: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [n for n in os.environ if n.startswith("PREFECT_") and n != "PREFECT_PROFILES_PATH"]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PREFECT_API_DATABASE_CONNECTION_URL", f"postgresql+asyncpg://{postgres}/prefect")
    ours = f"postgresql://{postgres}/acclimate"
    settings = Settings(root=tmp_path, port=free_port(), mlflow_uri=ours, ledger=ours)
    ledger.add_rows(settings, [ledger.LedgerRow("a", "hpo", "h", "key", {"k": 5}, "new")])
    assert ledger.close_rows(settings, "key", "1", "promoted", "better") == 1
    assert [row.parameters for row in ledger.list_rows(settings, "done")] == [{"k": 5}]
    (tmp_path / "model").mkdir()
    version = registry.log_meta_model(settings, "text", tmp_path / "model", {}, {}, {"key": "m"})
    registry.promote(settings, "meta-text", version, lambda folder: None)
    assert registry.champion(settings, "meta-text").version == "1"
    with prefect_server(settings):
        run_flow()
    assert not list(settings.home_path.rglob("*.db"))  # no SQLite anywhere


def run_flow() -> None:
    from prefect import flow
    from prefect.client.orchestration import get_client

    @flow(name="kept")
    def kept() -> None: ...

    kept()
    with get_client(sync_client=True) as client:
        (run,) = client.read_flow_runs()
        assert run.state.is_completed()
