"""The local Prefect server: shared, stopped by its last user. One real server serves all tests that need one.

So what ``acclimate up`` does with a real server is tested here too.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest
from prefect.client.orchestration import SyncPrefectClient
from prefect.exceptions import ObjectNotFound

from domains.errors import UserError
from tasks.base import assets, own_first
from tasks.base.apart import run_apart
from tasks.base.flow_runs import describe_run, link_to_model, run_tags
from tasks.base.settings import Settings
from tasks.service import environment, processes, server, up
from tasks.service.server import Server, prefect_server

FLOWS = {
    "ingest": "def ingest(): ...",
    "meta_train": "def meta_train(family: str): ...",
    "watch": "def watch(domains: list = None): ...",
    "reconcile": "def reconcile(): ...",
    "clean": "def clean(keep: str = ''): ...",
    "adapt_many": "def adapt_many(requests: list): ...",
    "drift": "def drift(): ...",
    "predict": "def predict(domain: str, source: str): ...",
    "adapt": """def adapt(domain: str, k: int = 10):
    import os, time
    from pathlib import Path
    Path("started").write_text(f"{domain} {k} {os.getcwd()}")
    time.sleep(600)""",
}


def wait_for(holds: Callable[[], object], seconds: float = 240) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def start_stand_in(settings: Settings, say: server.Say) -> subprocess.Popen[bytes]:
    """Start a web server that answers the health check, in a tenth of a second."""
    folder = processes.state_folder(settings)
    (folder / "api").mkdir(exist_ok=True)
    (folder / "api/health").write_text("true")
    command = [sys.executable, "-m", "http.server", str(settings.port), "--bind", "127.0.0.1"]
    return processes.spawn(
        folder / "server.json", command, os.environ, folder / "server.log", environment.api_url(settings)
    )


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """An own home and port, outside of any server that the tests run in."""
    for name in [n for n in os.environ if n.startswith("PREFECT_") and n != "PREFECT_PROFILES_PATH"]:
        monkeypatch.delenv(name)
    return Settings(root=tmp_path, port=free_port())


@pytest.fixture
def stand_in(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setattr(server, "start_server", start_stand_in)
    return settings


def test_the_last_user_stops_the_server_and_no_other(stand_in: Settings) -> None:
    first, second = ExitStack(), ExitStack()
    assert server.running_ui(stand_in) is None
    url = first.enter_context(server._shared_server(stand_in, print))
    assert server.running_ui(stand_in) == f"http://127.0.0.1:{stand_in.port}"
    assert second.enter_context(server._shared_server(stand_in, print)) == url
    first.close()
    assert listens(stand_in.port)
    second.close()
    assert not listens(stand_in.port)
    assert server.running_ui(stand_in) is None


def test_the_server_of_a_killed_command_is_joined_and_then_stopped(stand_in: Settings) -> None:
    code = f"""if True:
        import sys, time
        sys.path.insert(0, {str(Path(__file__).parent)!r})
        from pathlib import Path
        from tasks.base import own_first
        from tasks.service import server
        from tasks.base.settings import Settings
        from test_server import start_stand_in
        server.start_server = start_stand_in
        with server._shared_server(Settings(root=Path({str(stand_in.root)!r}), port={stand_in.port}), print):
            print("in", flush=True)
            time.sleep(600)
    """
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as command:
        assert command.stdout
        assert command.stdout.readline() == b"in\n"
        command.kill()
    recorded = json.loads((stand_in.home_path / "prefect/server.json").read_text())
    with server._shared_server(stand_in, print):
        assert json.loads((stand_in.home_path / "prefect/server.json").read_text()) == recorded
    assert not listens(stand_in.port)


def test_a_recycled_process_id_in_a_stale_record_is_neither_trusted_nor_stopped(stand_in: Settings) -> None:
    record = processes.state_folder(stand_in) / "server.json"
    with subprocess.Popen(["sleep", "600"]) as stranger:
        record.write_text(json.dumps({"pid": stranger.pid, "url": environment.api_url(stand_in)}))
        with server._shared_server(stand_in, print):
            assert json.loads(record.read_text())["pid"] != stranger.pid
        assert stranger.poll() is None
        stranger.kill()


def test_a_server_that_ends_while_it_starts_says_its_last_word(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def start(settings: Settings, say: server.Say) -> subprocess.Popen[bytes]:
        folder = processes.state_folder(settings)
        command = [sys.executable, "-c", "print('no such table')"]
        return processes.spawn(folder / "server.json", command, os.environ, folder / "server.log", "http://x/api")

    monkeypatch.setattr(server, "start_server", start)
    with pytest.raises(UserError, match="no such table"), prefect_server(settings):
        pass


def test_a_port_in_use_is_found_before_anything_is_started(settings: Settings) -> None:
    with (
        socket.create_server(("127.0.0.1", settings.port)),
        pytest.raises(UserError, match=f"port {settings.port} is in use by another program.*ACCLIMATE_PORT"),
        prefect_server(settings),
    ):
        pass
    assert not (settings.home_path / "prefect/server.json").exists()


def test_a_host_that_is_not_ours_is_named(settings: Settings) -> None:
    with pytest.raises(UserError, match=r"cannot listen on 192\.0\.2\.1"):
        server._check_port("192.0.2.1", settings.port)


def test_a_given_server_that_does_not_answer_is_named(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    url = f"http://127.0.0.1:{settings.port}/api"
    with pytest.raises(UserError, match=url), prefect_server(settings, url=url):
        pass
    monkeypatch.setenv("PREFECT_API_URL", url)
    with pytest.raises(UserError, match=url), prefect_server(settings):
        pass


def test_a_second_up_in_the_same_home_is_refused(settings: Settings) -> None:
    lock = processes.state_folder(settings) / "up.lock"
    with up._only_one_up(lock), pytest.raises(UserError, match="already runs"):
        up.run_service(settings, print)


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Settings, Server]]:
    """A real server in a project of our prefect.yaml, tiny flows, and files of a user that are called like ours."""
    root = tmp_path_factory.mktemp("project")
    text = (Path(__file__).parents[3] / "prefect.yaml").read_text()
    (root / "prefect.yaml").write_text(text.replace("entrypoint: flows.", "entrypoint: tiny."))
    for name in own_first.OURS:
        (root / f"{name}.py").write_text("raise RuntimeError('a file of the user was imported for ours')\n")
    (root / "tiny").mkdir()
    (root / "tiny/__init__.py").write_text("import domains.errors, flows, tasks.base.settings\n")
    for name, body in FLOWS.items():
        decorated = f'from prefect import flow\n\n\n@flow(name="{name.replace("_", "-")}")\n{body}\n'
        (root / "tiny" / f"{name}.py").write_text(decorated)
    settings = Settings(root=root, port=free_port())
    with pytest.MonkeyPatch.context() as patch:
        for name in [n for n in os.environ if n.startswith("PREFECT_") and n != "PREFECT_PROFILES_PATH"]:
            patch.delenv(name)
        with prefect_server(settings) as started:
            yield settings, started
        assert "PREFECT_API_URL" not in os.environ
    assert not listens(settings.port)


def outside() -> dict[str, str]:
    """The environment of a command started beside this one."""
    return {n: v for n, v in os.environ.items() if not n.startswith("PREFECT_") or n == "PREFECT_PROFILES_PATH"}


def test_a_command_beside_joins_and_its_flows_log_to_the_server_but_not_the_terminal(
    real: tuple[Settings, Server],
) -> None:
    settings, started = real
    code = f"""if True:
        import prefect  # before the server is known, as a module of flows may
        from prefect.client.orchestration import get_client
        from pathlib import Path
        from tasks.service.server import prefect_server
        from tasks.base.settings import Settings

        @prefect.flow
        def quiet():
            logger = prefect.get_run_logger()
            logger.info("for the server")
            logger.critical("for both")

        with prefect_server(Settings(root=Path({str(settings.root)!r}), port={settings.port})) as server:
            quiet()
            from tasks.service.server import _send_pending
            _send_pending()
            with get_client(sync_client=True) as client:
                lines = client.read_logs(limit=100, offset=0)
            print(server.api, sorted(line.message for line in lines if line.message.startswith("for ")))
    """
    done = subprocess.run([sys.executable, "-c", code], env=outside(), capture_output=True, text=True, check=True)
    assert done.stdout == f"{started.api} ['for both', 'for the server']\n"
    assert "for both" in done.stderr
    assert "for the server" not in done.stderr
    assert listens(settings.port)


def test_of_runs_that_were_missed_the_newest_of_each_schedule_is_left(real: tuple[Settings, Server]) -> None:
    from prefect import flow
    from prefect.client.orchestration import get_client
    from prefect.states import Scheduled

    from tasks.service.deployments import forget_missed_runs

    @flow
    def due(family: str = "") -> None: ...

    def missed(minutes: int, family: str) -> UUID:
        at = Scheduled(scheduled_time=datetime.now(UTC) - timedelta(minutes=minutes))
        tags = ["acclimate", "auto-scheduled"]
        return client.create_flow_run(due, parameters={"family": family}, state=at, tags=tags).id

    with get_client(sync_client=True) as client:
        made = [missed(minutes, family) for minutes, family in ((30, "a"), (20, "a"), (25, "b"), (-5, "a"))]
        forget_missed_runs()
        left = {run.id for run in client.read_flow_runs()} & set(made)
        assert left == {made[1], made[2], made[3]}
        for run in left:
            client.delete_flow_run(run)


def test_a_run_has_a_name_tags_links_and_assets_that_say_what_it_did(real: tuple[Settings, Server]) -> None:
    from prefect import flow, task
    from prefect.client.orchestration import get_client

    tags: dict[str, str] = {}

    @flow(flow_run_name="watch")
    def telling() -> None:
        task(lambda: describe_run("", "of a task"))()
        describe_run("watch: nothing new", "hpo", "text")
        made = assets.features_asset("hpo"), "features of hpo", assets.data_asset("hpo")
        assets.made(*made, revision="1a2b3c4")
        link_to_model("http://mlflow:5000/", "hpo", "3")
        link_to_model("sqlite:///mlflow.db", "hpo", "3")
        tags.update(run_tags())

    telling()
    server._send_pending()
    with get_client(sync_client=True) as client:
        (run,) = (run for run in client.read_flow_runs() if run.name == "watch: nothing new")
        assert set(run.tags) == {"hpo", "text"}
        assert tags == {"flow_run": str(run.id), "flow_run_url": f"{real[1].ui}/flow-runs/flow-run/{run.id}"}
        (link,) = (found for found in client.read_artifacts() if found.key == "model-hpo")
        client.delete_artifact(link.id)
        assert link.data == "[hpo version 3 in MLflow](http://mlflow:5000/#/models/hpo/versions/3)"
        wanted = {"filter": {"event": {"prefix": ["prefect.asset."]}}, "limit": 10}
        found: dict[str, dict] = {}
        wait_for(lambda: found.update({e["event"]: e for e in events(client, wanted)}) or len(found) == 2, 60)
    event = found["prefect.asset.materialization.succeeded"]
    assert event["resource"]["prefect.resource.id"] == "acclimate://features/hpo"
    assert event["payload"] == {"revision": "1a2b3c4"}
    related = {(each["prefect.resource.id"], each["prefect.resource.role"]) for each in event["related"]}
    assert related >= {("acclimate://data/hpo", "asset"), (f"prefect.flow-run.{run.id}", "flow-run")}


def test_a_flow_in_a_process_of_its_own_is_part_of_the_run(
    real: tuple[Settings, Server], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from prefect import flow
    from prefect.client.orchestration import get_client

    (tmp_path / "beside.py").write_text(
        "import os\nfrom prefect import flow\n\n"
        "@flow(flow_run_name='beside')\ndef beside(n): return n + 1, os.getpid()\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    from beside import beside

    @flow(flow_run_name="whole")
    def whole() -> tuple[int, int]:
        return run_apart(beside, 1).result(200)

    number, pid = whole()
    assert number == 2
    assert pid != os.getpid()
    with get_client(sync_client=True) as client:
        runs = {run.name: run for run in client.read_flow_runs()}
        task = client.read_task_run(runs["beside"].parent_task_run_id)
    assert task.flow_run_id == runs["whole"].id


def events(client: SyncPrefectClient, wanted: dict) -> list[dict]:
    return client._client.post("/events/filter", json=wanted).json()["events"]


def test_nothing_is_told_outside_of_a_run() -> None:
    describe_run("watch: nothing new", "hpo")
    assets.made(assets.champion_asset("hpo"), "champion of hpo")
    link_to_model("http://mlflow:5000", "hpo", "3")
    assert run_tags() == {}


def test_up_registers_and_runs_the_deployments_and_ends_cleanly(real: tuple[Settings, Server]) -> None:
    from prefect.client.orchestration import get_client

    settings, started = real
    code = f"""if True:
        from pathlib import Path
        from tasks.service import up
        from tasks.base.settings import Settings
        # warm would import what no tiny flow needs
        settings = Settings(root=Path({str(settings.root)!r}), port={settings.port}, warm=False)
        up.run_service(settings, lambda line: print(line, flush=True))
    """
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, env=outside(), stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout
        assert running.stdout.readline() == f"Prefect UI: {started.ui}\n"
        with get_client(sync_client=True) as client:
            for name in ("ingest", "meta-train"):
                assert client.read_deployment_by_name(f"{name}/acclimate").schedules
            adapt = client.read_deployment_by_name("adapt/acclimate")
            run = client.create_flow_run_from_deployment(adapt.id, parameters={"domain": "hpo"})
            wait_for((settings.root / "started").exists)
            running.terminate()
            assert running.wait(240) == 128 + signal.SIGTERM
            assert client.read_flow_run(run.id).state_name == "Crashed"
    assert (settings.root / "started").read_text() == f"hpo 10 {settings.root_path}"
    assert processes.live_record(settings.home_path / "prefect/worker.json") is None
    assert listens(settings.port)


def test_a_webhook_that_is_unset_leaves_no_automation_and_another_takes_its_place(
    real: tuple[Settings, Server],
) -> None:
    from prefect.blocks.webhook import Webhook
    from prefect.client.orchestration import get_client

    from tasks.service import webhook

    def there() -> list[int]:
        return [len(client.read_automations_by_name(name)) for name in webhook.AUTOMATIONS]

    with get_client(sync_client=True) as client:
        webhook.forget_webhook()
        for url in ("http://127.0.0.1:9/one", "http://127.0.0.1:9/two"):
            webhook.ensure_webhook(url)
            assert there() == [1, 1, 1]
            assert Webhook.load(webhook.BLOCK).url.get_secret_value() == url
        webhook.forget_webhook()
        assert there() == [0, 0, 0]
        with pytest.raises(ValueError, match="Unable to find block document"):
            Webhook.load(webhook.BLOCK)


def test_old_runs_go_with_their_pages_but_for_the_newest_page_of_a_kind(real: tuple[Settings, Server]) -> None:
    from prefect import flow
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.actions import ArtifactCreate
    from prefect.client.schemas.objects import State
    from prefect.states import Completed, Failed, Pending, Running

    from tasks.clean.freed import Freed
    from tasks.clean.server_runs import prune_runs

    def ended(name: str, state: State, pages: Sequence[str] = ()) -> UUID:
        run = client.create_flow_run(flow(lambda: None, name=name), state=Pending()).id
        for each in (Running(), state):
            client.set_flow_run_state(run, each, force=True)
        for key in pages:
            client.create_artifact(ArtifactCreate(key=key, type="markdown", data="x" * 100, flow_run_id=run))
        return run

    def left() -> set[UUID]:
        return {run.id for run in client.read_flow_runs()} & made

    with get_client(sync_client=True) as client:
        for run in client.read_flow_runs():  # of other tests
            client.delete_flow_run(run.id)
        old = ended("adapt", Completed(), ["adapt-hpo"])
        newest, asked_for = ended("adapt", Completed(), ["adapt-hpo"]), ended("adapt", Failed())
        theirs = ended("another", Completed())
        before = datetime.now(UTC)
        young, failed, quiet = ended("drift", Completed()), ended("watch", Failed()), ended("reconcile", Completed())
        yesterday = datetime.now(UTC)
        just_now = ended("reconcile", Completed())
        made = {old, newest, asked_for, young, failed, quiet, just_now, theirs}
        about = before, yesterday, {str(asked_for)}
        assert prune_runs(client, False, *about, dry_run=False)[0].items == 0  # without our tag
        found = [Freed("flow runs", 2), Freed("pages of flow runs", 1, 100)]
        assert prune_runs(client, True, *about, dry_run=True) == found
        assert left() == made
        assert prune_runs(client, True, *about, dry_run=False) == found
        assert left() == made - {old, quiet}
        (page,) = client.read_latest_artifacts()
        assert (page.key, page.flow_run_id) == ("adapt-hpo", newest)
        for run in left():
            client.delete_flow_run(run)


def test_the_server_deletes_old_runs_by_itself_unless_the_user_says_otherwise(
    real: tuple[Settings, Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[dict[str, str]] = []
    monkeypatch.setattr(server, "spawn", lambda record, command, environment, *rest: started.append(environment))
    monkeypatch.setattr(server, "_check_port", lambda host, port: None)
    monkeypatch.setenv("PREFECT_SERVER_SERVICES_DB_VACUUM_RETENTION_PERIOD", "9999")
    server.start_server(real[0], print)
    assert started[0]["PREFECT_SERVER_SERVICES_DB_VACUUM_ENABLED"] == "events,flow_runs"
    assert started[0]["PREFECT_SERVER_SERVICES_DB_VACUUM_RETENTION_PERIOD"] == "9999"


def test_a_work_pool_of_containers_is_made_and_keeps_its_type_and_what_a_person_set(
    real: tuple[Settings, Server],
) -> None:
    pytest.importorskip("prefect_docker", reason="pip install -e '.[docker]'")
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.actions import WorkPoolUpdate

    from tasks.service.deployments import POOL, create_work_pool

    settings = real[0].model_copy(update={"pool_type": "docker", "image": "acclimate:1"})
    with get_client(sync_client=True) as client:
        with suppress(ObjectNotFound):
            client.delete_work_pool(POOL)
        create_work_pool(settings)
        template = client.read_work_pool(POOL).base_job_template
        template["variables"]["properties"]["mem_limit"]["default"] = "4g"
        client.update_work_pool(POOL, WorkPoolUpdate(base_job_template=template))
        create_work_pool(settings.model_copy(update={"image": "acclimate:2"}))
        kept = client.read_work_pool(POOL).base_job_template["variables"]["properties"]
        assert (kept["image"]["default"], kept["mem_limit"]["default"]) == ("acclimate:2", "4g")
        with pytest.raises(UserError, match="is of type docker: use --pool-type docker, or delete it"):
            create_work_pool(real[0])
        client.delete_work_pool(POOL)
