"""Flow runs in containers: their job template, how they get the project, and what they cannot do without."""

import asyncio
import json
import subprocess
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest
from prefect.utilities.templating import apply_values
from pydantic import SecretStr

from domains.errors import UserError
from tasks.base.settings import Settings
from tasks.service.containers import (
    WORKERS,
    check_containers,
    environment_to_hand_on,
    pull_steps,
    set_defaults,
    worker_class,
)

API = "http://prefect.example.org:4200/api"


def needs(pool_type: str) -> None:
    pytest.importorskip(f"prefect_{pool_type}", reason=f"pip install -e '.[{pool_type}]'")


def git(folder: Path, *arguments: str) -> str:
    command = ["git", "-c", "user.name=t", "-c", "user.email=t@example.org", *arguments]
    return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def shared(tmp_path: Path) -> Settings:
    """Settings in which everything is where a container can reach it."""
    (tmp_path / ".dvc").mkdir()
    (tmp_path / ".dvc/config").write_text(
        "[core]\n    remote = team\n['remote \"team\"']\n    url = s3://bucket/data\n"
    )
    return Settings(
        root=tmp_path,
        pool_type="docker",
        image="registry.example.org/acclimate:1",
        git_url="git@example.org:team/project.git",
        mlflow_uri="https://mlflow.example.org",
        ledger="postgresql+psycopg://me:secret@db/ledger",
    )


@pytest.mark.parametrize("pool_type", ["docker", "kubernetes"])
def test_a_container_gets_what_the_worker_knows_and_the_server_keeps_no_secret(
    pool_type: str, shared: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    needs(pool_type)
    given = {
        "AWS_SECRET_ACCESS_KEY": "secret-key",
        "AWS_CONFIG_FILE": "/here/config",
        "PREFECT_API_URL": API,
        "PREFECT_SERVER_API_AUTH_STRING": "of:the-server",
    }
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    worker = worker_class(pool_type)
    more = {
        "pool_type": pool_type,
        "git_url": "https://token@example.org/project.git",
        "webhook": SecretStr("secret@"),
    }
    settings = shared.model_copy(update=more)
    template = set_defaults(worker.get_default_base_job_template(), settings)
    assert not [secret for secret in ("secret@", "token@", "secret-key") if secret in json.dumps(template)]
    assert set_defaults(template, settings) == template

    for name, value in environment_to_hand_on(settings).items():
        monkeypatch.setenv(name, value)  # as `acclimate up` does of the worker

    async def configure() -> Any:
        nobody = SimpleNamespace(_loop=asyncio.get_running_loop())  # no server is asked
        return await worker.job_configuration.from_template_and_values(template, {"env": {"MORE": "1"}}, client=nobody)

    job = asyncio.run(configure())
    run = SimpleNamespace(id=uuid4(), name="adapt hpo", flow_id=uuid4(), deployment_id=None, work_pool_id=None)
    job.prepare_for_flow_run(run)
    env = job.env if isinstance(job.env, dict) else {each["name"]: each["value"] for each in job.env}
    expected = {
        "ACCLIMATE_LEDGER": settings.ledger,
        "ACCLIMATE_GIT_URL": settings.git_url,
        "AWS_SECRET_ACCESS_KEY": "secret-key",
        "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "30",  # what crashes silent runs counts on it
    }
    assert {name: env.get(name) for name in expected} == expected
    assert env["ACCLIMATE_WEBHOOK"] == "secret@"
    assert (env["ACCLIMATE_ROOT"], env["MORE"]) == ("/project/checkout", "1")
    assert not env.keys() & {"ACCLIMATE_HOME", "AWS_CONFIG_FILE", "PREFECT_HOME", "PREFECT_SERVER_API_AUTH_STRING"}
    text = json.dumps(job.model_dump(mode="json", include={"image", "command", "job_manifest"}))
    assert "registry.example.org/acclimate:1" in text
    assert "acclimate-run" in text


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"image": ""}, "ACCLIMATE_IMAGE names no image"),
        ({"mlflow_uri": ""}, "kept by sqlite://: set ACCLIMATE_MLFLOW_URI to an address that begins with http://"),
        ({"mlflow_uri": "mlruns"}, "kept by file://: set ACCLIMATE_MLFLOW_URI"),
        ({"mlflow_uri": "postgresql://me:secret@db/m"}, "kept by postgresql://: set ACCLIMATE_MLFLOW_URI"),
        ({"mlflow_uri": "http://localhost:5000"}, "localhost, which is this machine: set ACCLIMATE_MLFLOW_URI"),
        ({"ledger": ""}, "kept by sqlite://: set ACCLIMATE_LEDGER to an address that begins with postgresql://"),
        ({"ledger": "postgresql://me:secret@127.0.0.1/l"}, "127.0.0.1, which is this machine: set ACCLIMATE_LEDGER"),
        ({"git_url": "/srv/project.git"}, "git repository of this machine: set ACCLIMATE_GIT_URL"),
        ({"git_url": ""}, "git repository of this machine: set ACCLIMATE_GIT_URL"),
        ({}, "127.0.0.1, which is this machine: set PREFECT_API_URL"),
    ],
)
def test_what_is_on_this_machine_alone_is_refused(changed: dict[str, str], said: str, shared: Settings) -> None:
    needs("docker")
    with pytest.raises(UserError) as error:
        check_containers(shared.model_copy(update=changed), API if changed else "http://127.0.0.1:4200/api")
    assert said in str(error.value)
    assert "secret" not in str(error.value)
    assert len(str(error.value).splitlines()) == 1


def test_a_remote_of_this_machine_is_refused_and_what_all_can_reach_is_not(shared: Settings) -> None:
    needs("docker")
    check_containers(shared, API)
    (shared.root / ".dvc/config").write_text("[core]\n    analytics = false\n")
    with pytest.raises(UserError, match="DVC remote of this machine: dvc remote add"):
        check_containers(shared, API)


def test_a_pool_whose_worker_is_not_installed_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(WORKERS, "docker", ("prefect_absent.worker", "DockerWorker"))
    with pytest.raises(UserError, match=r"need prefect-docker: pip install -e '\.\[docker\]'"):
        worker_class("docker")


def test_a_clone_has_all_commits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    theirs, project = tmp_path / "theirs", tmp_path / "project"
    for folder in (theirs, project):
        folder.mkdir()
    git(theirs, "init", "-q")
    for number in range(3):
        git(theirs, "commit", "-q", "--allow-empty", "-m", str(number))
    monkeypatch.setenv("ACCLIMATE_GIT_URL", theirs.as_uri())
    monkeypatch.chdir(project)
    said: dict[str, Any] = {}
    for ((step, inputs),) in map(dict.items, pull_steps()):  # as Prefect runs them, without asking a server for blocks
        module, name = step.rsplit(".", 1)
        function, filled = getattr(import_module(module), name), apply_values(inputs, said)
        done = function(**{key: value for key, value in filled.items() if key != "id"})
        said[inputs.get("id", step)] = asyncio.run(done) if asyncio.iscoroutine(done) else done
    assert said["clone"] == {"directory": "checkout"}
    assert git(project / "checkout", "rev-list", "HEAD") == git(theirs, "rev-list", "HEAD")
