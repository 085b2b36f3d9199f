"""The main job, whole: real data through a real Prefect server and worker, as a user runs it in a fresh clone."""

import json
import math
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pandas as pd
import pyarrow.parquet as pq
import pytest
import yaml
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterId,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import StateType

from tasks.base.settings import Settings
from tasks.models import registry
from tasks.service.server import running_ui
from tasks.versions.commit import commit as commit_data
from tasks.watch import ledger

pytestmark = pytest.mark.timeout(900)  # on a fresh machine it downloads 190 MB and encodes for a minute

ROOT = Path(__file__).parents[2]
ACCLIMATE = str(Path(sys.executable).with_name("acclimate"))

#: What a test run in the background of a shell inherits is deaf to Ctrl-C.
HEAR = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)

STEPS = 12  # meta-updates
DEMO = ("demo", "--family", "market", "--steps", str(STEPS))
#: What `adapt --json` promises to programs.
KEYS = {"domain", "revision", "content_hash", "strategy", "k", "pool", "test", "scores", "seconds"}
KEYS |= {"decision", "reason", "model_version"}
REVIEWS = [
    "I could not sleep for weeks, with this I do.",
    "The panic attacks stopped,\nbut I gained weight.",
    "My skin cleared up within a month.",
]


@dataclass(frozen=True)
class Clone:
    """A fresh clone of the project, and the environment of the commands that run in it."""

    path: Path
    port: int
    environment: dict[str, str]

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [ACCLIMATE, *arguments],
            cwd=self.path,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=HEAR,
        )

    def run(self, *arguments: str) -> str:
        """Return what a command prints to stdout; it must succeed."""
        command = self.start(*arguments)
        out, error = command.communicate()
        assert command.returncode == 0, error
        return out

    def json(self, *arguments: str) -> Any:
        return json.loads(self.run(*arguments, "--json"))

    def process(self, name: str) -> int:
        """Return the id of the recorded server or worker."""
        return int(json.loads((self.path / f".acclimate/prefect/{name}.json").read_text())["pid"])

    def client(self) -> SyncPrefectClient:
        return SyncPrefectClient(f"http://127.0.0.1:{self.port}/api", httpx_settings={"trust_env": False})


def wait_for(found: Callable[[], Any]) -> Any:
    """Return the first true value; a test that waits in vain ends at its time limit."""
    while not (value := found()):
        time.sleep(0.1)
    return value


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Clone:
    """The working tree, committed to a repository of its own; only downloads and features are shared."""
    path = tmp_path_factory.mktemp("clone")
    files = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    for name in subprocess.run(files, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\0")[:-1]:
        if (ROOT / name).exists():
            (path / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, path / name)
    for command in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "all"]):
        subprocess.run(["git", "-c", "user.name=t", "-c", "user.email=t@example.org", *command], cwd=path, check=True)
    (ROOT / ".acclimate/downloads").mkdir(parents=True, exist_ok=True)
    (path / ".acclimate").mkdir()
    (path / ".acclimate/downloads").symlink_to(ROOT / ".acclimate/downloads")
    with suppress(FileNotFoundError):
        shutil.copytree(ROOT / ".acclimate/features", path / ".acclimate/features")
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    environment = {name: v for name, v in os.environ.items() if not name.startswith(("PREFECT_", "ACCLIMATE_"))}
    paths = [str(path), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment |= {"PREFECT_PROFILES_PATH": os.environ["PREFECT_PROFILES_PATH"]}
    environment |= {"ACCLIMATE_PORT": str(port), "PYTHONPATH": os.pathsep.join(paths)}
    if mirror := os.environ.get("ACCLIMATE_MIRROR"):
        environment["ACCLIMATE_MIRROR"] = mirror
    return Clone(path, port, environment)


@pytest.fixture(scope="module")
def demo(clone: Clone) -> list[dict[str, Any]]:
    """The results of a demo of the markets that was killed in the middle of meta-training and started again."""
    killed = clone.start(*DEMO, "--json")
    checkpoints = clone.path / ".acclimate/checkpoints"
    wait_for(lambda: killed.poll() is not None or list(checkpoints.glob("*/*.checkpoint")))
    killed.kill()
    _, error = killed.communicate()
    assert killed.returncode == -signal.SIGKILL, error
    assert list(checkpoints.glob("*/*.checkpoint"))
    results = clone.json(*DEMO)
    assert not list(checkpoints.iterdir())
    return results


@pytest.fixture(scope="module")
def up(clone: Clone, demo: list[dict[str, Any]]) -> Iterator[subprocess.Popen[str]]:
    """`acclimate up`, which the commands of the tests that use it join."""
    running = clone.start("up")
    lines = [running.stderr.readline(), running.stderr.readline()]
    assert lines == ["starting the Prefect server\n", f"Prefect UI: http://127.0.0.1:{clone.port}\n"]
    with clone.client() as client:  # the tests say when
        client.pause_deployment(client.read_deployment_by_name("watch/acclimate").id)
    yield running
    if running.poll() is None:
        running.terminate()
    running.communicate()


def shorten(clone: Clone, name: str, classes: int | None = None, **most: int) -> None:
    """Keep so many examples of the first classes in each split, or of a pool in all; no other example is encoded.

    One encoder reads them, as the other takes seconds to load in every process.
    """
    folder = clone.path / "data" / name
    about = yaml.safe_load((folder / "domain.yaml").read_text())
    about |= {"labels": about["labels"][:classes], "encoder": "minilm"}
    for split, count in most.items():
        frame = pd.read_parquet(folder / f"{split}.parquet")
        labels = len(about["labels"])
        frame = frame.head(count) if split == "pool" else frame[frame["label"] < labels].groupby("label").head(count)
        table = pq.read_table(folder / f"{split}.parquet").take(frame.index.to_numpy())
        pq.write_table(table.replace_schema_metadata(), folder / f"{split}.parquet")  # which names all labels
        about["counts"][split] = len(table)
    (folder / "domain.yaml").write_text(yaml.safe_dump(about, sort_keys=False))


KEPT = {"trec", "drugreviews", "fx-latest", "stocks-covid", "stocks-rates"}


@pytest.fixture(scope="module")
def reviews(clone: Clone, up: subprocess.Popen[str]) -> dict[str, Any]:
    """The result of an adaptation to drug reviews, from a meta-model of few texts that was hardly trained."""
    for folder in (clone.path / "data").iterdir():
        if folder.is_dir() and folder.name not in KEPT:
            shutil.rmtree(folder)
    shorten(clone, "drugreviews", train=15, test=6, pool=60)
    shorten(clone, "trec", classes=10, train=24)  # too few to be worth processes that encode
    clone.run("data", "commit", "--drop", "-m", "Keep what the tests need")
    learners = ("--learner", "protonet", "--learner", "maml", "--steps", "5")
    trained = {"family": "text", "model_version": "1", "decision": "promoted", "reason": "no meta-model was in service"}
    assert clone.json("meta-train", "--family", "text", *learners) == trained
    return clone.json("adapt", "drugreviews", "--k", "5", "--draws", "3")


def predict(clone: Clone) -> pd.DataFrame:
    pd.DataFrame({"text": REVIEWS}).to_csv(clone.path / "new.csv", index=False)
    clone.run("predict", "drugreviews", "new.csv", "-o", "out.csv")
    return pd.read_csv(clone.path / "out.csv")


@pytest.fixture(scope="module")
def predicted(clone: Clone, reviews: dict[str, Any]) -> pd.DataFrame:
    return predict(clone)


def emit(client: SyncPrefectClient, event: str, payload: dict[str, str] | None = None, times: int = 1) -> None:
    """Send one event so many times."""
    sent = {"id": str(uuid4()), "occurred": datetime.now(UTC).isoformat(), "event": f"acclimate.{event}"}
    sent |= {"resource": {"prefect.resource.id": "acclimate.test"}, "payload": payload or {}}
    client._client.post("/events", json=[sent] * times).raise_for_status()


def finished(client: SyncPrefectClient, run: UUID) -> Any:
    """Return the final state of a flow run, or None."""
    state = client.read_flow_run(run).state
    return state if state and state.is_final() else None


def test_an_interrupted_demo_goes_on_and_adapts_to_every_market_target(demo: list[dict[str, Any]]) -> None:
    assert {result["domain"] for result in demo} == {"stocks-covid", "stocks-rates", "fx-latest"}
    for result in demo:
        assert result.keys() >= KEYS
        assert result["k"] == 10
        assert result["decision"] in ("promoted", "refused")


def test_the_data_is_built_once_and_what_data_dvc_names(
    clone: Clone, demo: list[dict[str, Any]], up: subprocess.Popen[str]
) -> None:
    commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=clone.path, capture_output=True, text=True).stdout.strip()
    assert clone.run("data", "build") == f"data/ is what data.dvc names at {commit}\n"
    assert {result["revision"] for result in demo} == {commit}


def test_what_was_done_is_not_done_again(clone: Clone, demo: list[dict[str, Any]], up: subprocess.Popen[str]) -> None:
    with clone.client() as client:
        deployment = client.read_deployment_by_name("meta-train/acclimate").id
        wanted = {"family": "market", "steps": STEPS}
        run = client.create_flow_run_from_deployment(deployment, parameters=wanted).id
        state = wait_for(lambda: finished(client, run))
        assert state.is_completed(), state.message
    (trained,) = clone.json("models", "show", "meta-market")["versions"]
    assert (trained["version"], trained["decision"]) == ("1", "promoted")
    before = next(result for result in demo if result["domain"] == "stocks-rates")
    again = clone.json("adapt", "stocks-rates", "--k", "10")
    assert again == before | {"reused": True}


def test_adapt_prints_what_programs_read(reviews: dict[str, Any]) -> None:
    assert reviews.keys() >= KEYS
    assert (reviews["domain"], reviews["k"], reviews["pool"], reviews["test"]) == ("drugreviews", 5, 60, 60)
    assert reviews["scores"].keys() >= {"acclimate", "logistic", "prototype", "scratch", "maml", "protonet"}
    assert reviews["seconds"].keys() == {"encode", "adapt", "evaluate", "curve"}
    assert 1 <= reviews["sets"]["size"] <= 10
    assert 0.7 < reviews["sets"]["coverage"] <= 1
    for score in reviews["scores"].values():
        assert score.keys() == {"accuracy", "ci95", "balanced_accuracy", "macro_f1", "log_loss", "ece", "in_use"}
        assert all(math.isfinite(value) for value in score.values())
    assert reviews["scores"]["logistic"]["accuracy"] > 0.5  # of 10 conditions
    assert re.fullmatch("[0-9a-f]{64}", reviews["content_hash"])
    assert reviews["model_version"] == "1"
    assert reviews["decision"] == "promoted"


def test_new_texts_are_predicted_in_order(clone: Clone, predicted: pd.DataFrame) -> None:
    labels = clone.json("domains", "show", "drugreviews")["labels"]
    assert predicted.columns.tolist() == ["text", "label", "probability", "set", "ask", "outside", "typical"]
    assert predicted["text"].tolist() == REVIEWS
    assert set(predicted["label"]) <= set(labels)
    assert predicted["probability"].between(1 / len(labels), 1).all()
    for row in predicted.itertuples():
        assert row.set.split("|")[0] == row.label
    doubtful = predicted["set"].str.contains("|", regex=False) | (predicted["probability"] < 0.5)
    assert predicted["ask"].eq("ask a person").eq(doubtful | predicted["outside"]).all()


def test_status_names_the_server_the_data_and_what_is_in_service(
    clone: Clone, demo: list[dict[str, Any]], reviews: dict[str, Any]
) -> None:
    home = Settings(root=clone.path)
    wait_for(lambda: not ledger.list_rows(home, "open"))
    found = clone.json("status")
    assert found["server"] == f"http://127.0.0.1:{clone.port}"
    assert found["revision"] == reviews["revision"]
    assert found["domains"]["drugreviews"] == reviews["content_hash"]
    assert {family: model["version"] for family, model in found["meta_models"].items()} == {"text": "1", "market": "1"}
    promoted = {result["domain"] for result in (*demo, reviews) if result["decision"] == "promoted"}
    tried_again = [row for row in ledger.list_rows(home, "done") if row.attempts]  # what K labels gave was refused
    assert {row.domain for row in tried_again} == {result["domain"] for result in demo} - promoted
    assert {row.parameters["k"] for row in tried_again} <= {None}
    promoted |= {row.domain for row in tried_again if row.decision == "promoted"}
    assert found["champions"].keys() == promoted


def test_schedules_give_runs(clone: Clone, up: subprocess.Popen[str]) -> None:
    due = FlowRunFilter(state=FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.SCHEDULED])))

    def families() -> set[str]:
        return {run.parameters.get("family", "") for run in client.read_flow_runs(flow_run_filter=due)}

    with clone.client() as client:
        wait_for(lambda: families() == {"", "text", "vision", "market"})  # ingest, and three to meta-train


def test_a_deployment_that_is_triggered_runs_in_the_worker_and_leaves_artifacts(
    clone: Clone, up: subprocess.Popen[str]
) -> None:
    with clone.client() as client:
        names = {f"{client.read_flow(d.flow_id).name}/{d.name}": d.id for d in client.read_deployments()}
        assert names.keys() >= {"ingest/acclimate", "meta-train/acclimate", "adapt/acclimate"}
        wanted = {"domain": "stocks-rates", "k": 5, "draws": 2}
        run = client.create_flow_run_from_deployment(names["adapt/acclimate"], parameters=wanted).id
        state = wait_for(lambda: finished(client, run))
        assert state.is_completed(), state.message
        left = {a.key: a for a in client.read_artifacts(flow_run_filter=FlowRunFilter(id=FlowRunFilterId(any_=[run])))}
    assert left.keys() >= {"adapt-stocks-rates", "domain-stocks-rates"}
    with clone.client() as client:
        told = client.read_flow_run(run)
        head = subprocess.check_output(["git", "rev-parse", "HEAD"], cwd=clone.path, text=True)[:7]
        assert told.name == f"adapt stocks-rates @ {head}, K=5"
        assert {"stocks-rates", "market"} <= set(told.tags)
        wanted = {"filter": {"event": {"prefix": ["prefect.asset.materialization"]}}, "limit": 50}
        made = client._client.post("/events/filter", json=wanted).json()["events"]
        names = {event["resource"]["prefect.resource.id"] for event in made}
        assert names >= {f"acclimate://{what}" for what in ("meta-models/market", "features/stocks-rates")}
    version = registry.newest(Settings(root=clone.path), "stocks-rates", 1)[0]
    assert version.tags["flow_run_url"] == f"http://127.0.0.1:{clone.port}/flow-runs/flow-run/{run}"
    page = left["adapt-stocks-rates"].data
    assert re.search(r"^\| acclimate \| ours \|.*\n(\|.*\n)*\| logistic \| baseline \|", page, re.M)
    assert page.count("data:image/png;base64,") == 3  # accuracies, confusion, and what came true


def test_a_commit_is_adapted_to_once_though_flow_and_worker_are_killed(
    clone: Clone, reviews: dict[str, Any], predicted: pd.DataFrame, up: subprocess.Popen[str]
) -> None:
    shorten(clone, "drugreviews", pool=40)
    home = Settings(root=clone.path)
    wait_for(lambda: not ledger.list_rows(home, "open"))
    before = {row.name for row in ledger.list_rows(home)}
    worker = clone.process("worker")
    clone.run("data", "commit", "-m", "Fewer reviews")
    (row,) = (row for row in ledger.list_rows(home) if row.attempts and row.name not in before)
    assert (row.domain, row.status, row.why) == ("drugreviews", "open", "its data changed since champion 1")
    with clone.client() as client:
        wait_for(lambda: client.read_flow_run(UUID(row.flow_run)).state.is_running())
        run = client.read_flow_run(UUID(row.flow_run))
        os.kill(int(run.infrastructure_pid.split(":")[-1]), signal.SIGKILL)
        os.kill(worker, signal.SIGKILL)
        emit(client, "data.pushed", times=5)
        emit(client, "adapt.requested", {"revision": "HEAD"})  # without a domain: makes no run
        emit(client, "adapt.requested", {"domain": "../x", "revision": "HEAD"})
        pd.testing.assert_frame_equal(predict(clone), predicted)
        assert "the Prefect worker ended" in up.stderr.readline()
        assert wait_for(lambda: finished(client, run.id)).is_crashed()
        wait_for(lambda: not ledger.list_rows(home, "open"))
        failed = FlowRunFilter(state=FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.FAILED])))
        (refused,) = wait_for(lambda: client.read_flow_runs(flow_run_filter=failed))
        assert "no domain '../x'" in refused.state.message
    (row,) = (row for row in ledger.list_rows(home, "done") if row.attempts and row.name not in before)
    assert (row.domain, row.attempts, row.version) == ("drugreviews", 2, "2")
    found = clone.json("status")
    assert found["ledger"] == []
    assert next(d for d in found["decided"] if d["domain"] == "drugreviews")["version"] == "2"
    assert [row["version"] for row in clone.json("models", "show", "drugreviews")["versions"]] == ["2", "1"]


def test_a_run_that_waits_for_a_person_holds_no_process_and_goes_on_when_it_is_answered(
    clone: Clone, reviews: dict[str, Any], up: subprocess.Popen[str]
) -> None:
    copy = clone.path / "data/reviews-again"
    shutil.copytree(clone.path / "data/drugreviews", copy)
    about = yaml.safe_load((copy / "domain.yaml").read_text())
    (copy / "domain.yaml").write_text(yaml.safe_dump(about | {"name": copy.name}, sort_keys=False))
    commit_data(clone.path, clone.path / ".acclimate", "The same reviews", checked=False)
    with clone.client() as client:
        deployment = client.read_deployment_by_name("adapt/acclimate").id
        wanted = {"domain": copy.name, "k": 5, "draws": 3, "approval": True}
        run = client.create_flow_run_from_deployment(deployment, parameters=wanted).id
        wait_for(lambda: client.read_flow_run(run).state.name in ("Suspended", "Failed", "Completed", "Crashed"))
        state = client.read_flow_run(run)
        assert state.state.name == "Suspended", state.state.message
        wait_for(lambda: not alive(int(state.infrastructure_pid.split(":")[-1])))
        assert clone.json("models", "approve", copy.name)["decision"] == "promoted"
        assert wait_for(lambda: finished(client, run)).is_completed()
    assert [row["version"] for row in clone.json("models", "show", copy.name)["versions"]] == ["1"]
    assert clone.json("status")["champions"][copy.name]["version"] == "1"
    tasks = Path(f"/proc/{clone.process('warm')}/task")
    assert not tasks.exists() or len(list(tasks.iterdir())) == 1


def test_a_folder_is_predicted_by_an_event_and_drift_looks_at_it(clone: Clone, reviews: dict[str, Any]) -> None:
    (clone.path / "inbox").mkdir()
    texts = [f"{text} After {weeks} weeks." for weeks in range(2, 14) for text in REVIEWS]
    pd.DataFrame({"text": texts}).to_csv(clone.path / "inbox/march.csv", index=False)
    wanted = {"domain": "drugreviews", "source": "inbox"}
    with clone.client() as client:
        emit(client, "predict.requested", wanted)
        (asked,) = wait_for(
            lambda: [run for run in client.read_flow_runs() if run.name == "predict drugreviews, inbox"]
        )
        state = wait_for(lambda: finished(client, asked.id))
        assert state.is_completed(), state.message
        left = client.read_artifacts(flow_run_filter=FlowRunFilter(id=FlowRunFilterId(any_=[asked.id])))
    (page,) = (artifact.data for artifact in left if artifact.key == "predict-drugreviews")
    assert "1 of 1 inputs predicted by version" in page
    (again,) = clone.json("predict", "drugreviews", "inbox", "--flow")
    assert (again["reused"], again["rows"], again["source"]) == (True, 36, "inbox/march.csv")
    assert pd.read_csv(again["output"])["text"].tolist() == texts
    (found,) = clone.json("drift", "drugreviews", "--no-adapt")
    assert (found["new"], found["inputs"]) == (36, ["inbox/march.csv"])
    assert 0 <= found["accuracy_interval"][0] <= found["accuracy"] <= found["accuracy_interval"][1] <= 1


SPREAD = """
from tasks.service.server import prefect_server
from tasks.base.settings import settings

if __name__ == "__main__":
    with prefect_server(settings()):
        from flows.adapt_many import adapt_many

        print(adapt_many([{"domain": name, "k": 5, "draws": 1} for name in ("stocks-covid", "stocks-rates")]))
"""


def test_many_are_spread_over_a_dask_cluster(clone: Clone, reviews: dict[str, Any]) -> None:
    (clone.path / "spread.py").write_text(SPREAD)
    command = [sys.executable, "spread.py"]
    environment = clone.environment | {"ACCLIMATE_DASK": "local", "ACCLIMATE_PROCESSES": "1"}
    done = subprocess.run(command, cwd=clone.path, env=environment, capture_output=True, text=True)
    assert re.fullmatch("2 adapted to, [012] promoted\n", done.stdout), done.stderr


def test_clean_deletes_nothing_that_is_in_use(clone: Clone, reviews: dict[str, Any], up: subprocess.Popen[str]) -> None:
    home, before = clone.path / ".acclimate", clone.json("status")["champions"]
    left = home / "domains" / ".making-killed"
    left.mkdir()
    os.utime(left, (0, 0))
    would = clone.json("clean", "--keep", "1d", "--dry-run")
    assert [each["kind"] for each in would] == ["half-written files"]
    assert left.exists()
    assert "half-written files" in clone.run("clean", "--keep", "1d")
    assert not left.exists()
    assert {name: model["version"] for name, model in clone.json("status")["champions"].items()} == {
        name: model["version"] for name, model in before.items()
    }


def test_ctrl_c_stops_worker_and_server(clone: Clone, up: subprocess.Popen[str]) -> None:
    processes = [clone.process("server"), clone.process("worker")]
    assert all(map(alive, processes))
    up.send_signal(signal.SIGINT)
    _, error = up.communicate()
    assert (up.returncode, error) == (0, "stopping the worker and the server\n")
    assert not any(map(alive, processes))
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", clone.port)) != 0
    assert running_ui(Settings(root=clone.path, port=clone.port)) is None
