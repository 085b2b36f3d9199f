"""What compose.yaml and Dockerfile say, by their linters; and its MLflow as a process, with S3 played by moto."""

import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError

import pytest
import yaml

from tasks.base.settings import Settings
from tasks.models import registry

pytestmark = pytest.mark.timeout(300)

ROOT = Path(__file__).parents[2]
COMPOSE = ROOT / "compose.yaml"
SECRETS = {"POSTGRES_PASSWORD": "one", "MINIO_PASSWORD": "two-two-two", "PREFECT_AUTH": "me:three"}
GIVEN = SECRETS | {"ACCLIMATE_GIT_URL": "https://example.org/project.git"}
EXTRA = "pip install -e '.[containers-dev]'"


def tool(name: str) -> str:
    """Return the path of a program, or skip the test."""
    found = shutil.which(name, path=os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
    if not found:
        pytest.skip(f"no {name}: {EXTRA}")
    return found


def services() -> dict[str, Any]:
    """Return the services with the values of an ``.env`` filled in."""

    def fill(found: re.Match[str]) -> str:
        return GIVEN[found[1]] if found[1] in GIVEN else found[2].removeprefix(":-")

    return yaml.safe_load(re.sub(r"\$\{(\w+)(:[-?][^}]*)?\}", fill, COMPOSE.read_text()))["services"]


def test_the_dockerfile_has_no_lint() -> None:
    done = subprocess.run([tool("hadolint"), ROOT / "Dockerfile"], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")


def test_the_compose_file_is_one_by_the_specification() -> None:
    command = [tool("check-jsonschema"), "--builtin-schema", "vendor.compose-spec", COMPOSE]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_docker_reads_the_compose_file_and_wants_every_secret() -> None:
    docker = tool("docker")
    if subprocess.run([docker, "compose", "version"], capture_output=True).returncode:
        pytest.skip("docker has no compose")
    command = [docker, "compose", "--file", COMPOSE, "--env-file", os.devnull, "config", "--quiet"]
    assert subprocess.run(command, env=os.environ | GIVEN, capture_output=True).returncode == 0
    for name in GIVEN:
        less = {key: value for key, value in (os.environ | GIVEN).items() if key != name}
        assert subprocess.run(command, env=less, capture_output=True).returncode


def test_every_port_is_of_this_machine_alone_and_no_secret_has_a_default() -> None:
    ports = [port for service in services().values() for port in service.get("ports", ())]
    assert len(ports) == 4
    assert all(port.startswith("127.0.0.1:") for port in ports)
    assert not re.search(r"\$\{(?:POSTGRES_PASSWORD|MINIO_PASSWORD|PREFECT_AUTH)(?!:\?)", COMPOSE.read_text())
    example = dict(line.split("=") for line in (ROOT / ".env.example").read_text().splitlines() if line[0] != "#")
    assert {name: example[name] for name in SECRETS} == dict.fromkeys(SECRETS, "")
    assert "/.env" in (ROOT / ".gitignore").read_text().splitlines()


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    """The address of an object store with the buckets of the compose file; its credentials are in the environment."""
    pytest.importorskip("moto", reason=EXTRA)
    boto3 = pytest.importorskip("boto3", reason=EXTRA)
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    url = f"http://{host}:{port}"
    with pytest.MonkeyPatch.context() as patch:
        worker = services()["worker-1"]["environment"]
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_DEFAULT_REGION"):
            patch.setenv(name, worker[name])
        patch.setenv("AWS_ENDPOINT_URL", url)
        (made,) = services()["buckets"]["command"]
        for bucket in re.findall(r"here/(\w+)", made):
            boto3.client("s3").create_bucket(Bucket=bucket)
        yield url
    server.stop()


def answer(url: str, host: str) -> int:
    """Return the status by which a server answers who calls it by that name; 0: not at all."""
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers={"Host": host}), timeout=10) as said:
            return int(said.status)
    except HTTPError as error:
        return error.code
    except (URLError, OSError):
        return 0


@pytest.fixture
def mlflow(s3: str, tmp_path: Path) -> Iterator[str]:
    """The MLflow server of the compose file: its command and environment, but for places."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    service = services()["mlflow"]
    options = dict(option.split("=", 1) for option in service["command"][2:])
    changed = {"--host": "127.0.0.1", "--port": port, "--workers": 1}
    changed["--allowed-hosts"] = options["--allowed-hosts"] + f",127.0.0.1:{port}"
    command = [str(Path(sys.executable).with_name("mlflow")), "server"]
    command += [f"{name}={value}" for name, value in (options | changed).items()]
    environment = {name: value for name, value in os.environ.items() if name != "AWS_ENDPOINT_URL"}
    environment |= service["environment"] | {"MLFLOW_S3_ENDPOINT_URL": s3}
    environment |= {"MLFLOW_BACKEND_STORE_URI": f"sqlite:///{tmp_path}/mlflow.db"}
    with (tmp_path / "log").open("w") as log:
        running = subprocess.Popen(
            command, cwd=tmp_path, env=environment, stdout=log, stderr=log, start_new_session=True
        )
    try:
        url = f"http://127.0.0.1:{port}"
        while not answer(f"{url}/health", "mlflow:5000"):
            assert running.poll() is None, (tmp_path / "log").read_text()
            time.sleep(0.1)
        yield url
    finally:
        os.killpg(running.pid, 15)
        running.wait()


def test_models_are_kept_in_the_bucket_by_the_mlflow_server_of_the_compose_file(mlflow: str, tmp_path: Path) -> None:
    import boto3

    search = f"{mlflow}/api/2.0/mlflow/experiments/search?max_results=1"
    assert answer(search, "mlflow:5000") == 200
    assert answer(search, "elsewhere.example.org") == 403
    (tmp_path / "model").mkdir()
    (tmp_path / "model/weights").write_text("1 2 3")
    settings = Settings(root=tmp_path, mlflow_uri=mlflow)
    version = registry.log_meta_model(settings, "text", tmp_path / "model", {}, {}, {"key": "m"})
    kept = boto3.client("s3").list_objects_v2(Bucket="models")["Contents"]
    assert [each["Key"].rsplit("/", 1)[1] for each in kept] == ["weights"]
    assert not list((tmp_path / ".acclimate").rglob("weights"))
    assert (registry.get(settings, "meta-text", version).folder / "weights").read_text() == "1 2 3"


def test_data_is_pushed_to_a_bucket_and_read_from_it_elsewhere(s3: str, tmp_path: Path) -> None:
    pytest.importorskip("dvc_s3", reason=EXTRA)
    from dvc.repo import Repo

    from tasks.versions.push import push

    root, there = tmp_path / "root", tmp_path / "there"
    (root / "data/news").mkdir(parents=True)
    (root / "data/news/domain.yaml").write_text("name: news\n")
    git = ["git", "-c", "user.name=t", "-c", "user.email=t@example.org"]
    subprocess.run([*git, "init", "-q"], cwd=root, check=True)
    with Repo.init(str(root)) as repo:
        repo.add(str(root / "data"))
        with repo.config.edit("repo") as config:
            config["core"]["remote"] = "team"
            config["remote"]["team"] = {"url": "s3://data"}
    subprocess.run([*git, "add", "--all"], cwd=root, check=True)
    subprocess.run([*git, "commit", "-qm", "data"], cwd=root, check=True)
    assert push(root, tmp_path / "home").objects == 2
    subprocess.run(["git", "clone", "-q", root, there], check=True)
    with Repo(str(there)) as repo:
        repo.pull()
    assert (there / "data/news/domain.yaml").read_text() == "name: news\n"
