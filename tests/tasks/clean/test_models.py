"""What may be deleted of models, on a real MLflow in SQLite and a real ledger: never what is in service or needed."""

import re
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
import torch
from filelock import FileLock

from learners.classifier import Affine, Classifier
from tasks.clean.freed import Freed
from tasks.clean.steps import prune_models
from tasks.models import disposable, registry
from tasks.models.mlflow_client import connect
from tasks.models.model_list import list_models, list_versions
from tasks.watch import ledger
from tasks.watch.ledger import LedgerRow

SOON = datetime.now(UTC) + timedelta(hours=1)  # all that a test makes is older


@pytest.fixture
def news(request):
    """The domain of a test."""
    return re.sub("[^a-z]+", "-", request.node.name)[-60:].strip("-")


@pytest.fixture
def folder(tmp_path):
    """A model's files."""
    folder = tmp_path / "adapted"
    folder.mkdir()
    Classifier((Affine(torch.eye(2), torch.zeros(2)),), ("a", "b")).save(folder)
    return folder


@pytest.fixture
def adapted(settings, news, folder):
    """Register a version of the domain, which the gate refused unless it is said otherwise."""

    def add(number: int, decision: str = "refused", meta: str = "1", **tags: str) -> str:
        tags = {"key": f"{number:016x}", "family": "text", "meta_version": meta, "decision": decision} | tags
        version = registry.log_adapted(settings, news, folder, {"k": 10}, {"accuracy": 0.7}, tags)
        if decision == "promoted":
            registry.promote(settings, news, version, lambda folder: None)
        return version

    return add


def clean(settings, dry_run=False):
    rows = ledger.list_rows(settings, "open")
    return prune_models(settings, rows, SOON, dry_run)[1]


def left(settings, name):
    return [int(model.version) for model in registry.versions(settings, name)]


def test_refused_challengers_go_with_their_files_and_run_and_the_newest_stays(settings, news, adapted):
    for number in range(4):
        adapted(number)
    runs = [model.run_id for model in registry.versions(settings, news)]
    dry = clean(settings, dry_run=True)
    assert left(settings, news) == [4, 3, 2, 1]
    freed = clean(settings)
    assert freed == dry
    assert (freed[0].kind, freed[0].items) == ("versions of models", 3)
    assert freed[0].bytes > 3000
    assert left(settings, news) == [4]
    folders = [path.name for path in (settings.home_path / "mlartifacts" / "adapt").iterdir()]
    assert folders == [runs[0]]
    experiment = registry._experiment_id(settings, "adapt")
    every = connect(settings.tracking_uri).search_runs([experiment], run_view_type=3)
    assert [run.info.run_id for run in every] == [runs[0]]
    assert [row["newest"] for row in list_models(settings)] == ["4"]
    assert [row["version"] for row in list_versions(settings, news)] == ["4"]
    assert clean(settings) == [Freed("versions of models", 0), Freed("runs without a version", 0)]
    assert registry.find_by_key(settings, f"{0:016x}") is None  # asked for again, it is adapted again


def test_two_cleans_at_once_do_not_trip(settings, news, adapted):
    for number in range(4):
        adapted(number)
    models = registry.versions(settings, news)[1:]
    with ThreadPoolExecutor(2) as pool:
        done = list(pool.map(lambda model: disposable.delete_version(settings, model), [*models, *models]))
        list(pool.map(lambda model: disposable.delete_run(settings, model.run_id), [*models, *models]))
    assert sum(done) >= 3
    assert left(settings, news) == [4]
    assert len(list((settings.home_path / "mlartifacts" / "adapt").iterdir())) == 1


def test_the_champion_and_the_one_that_a_rollback_returns_to_stay(settings, news, adapted):
    for number, decision in enumerate(("promoted", "promoted", "promoted", "refused", "refused")):
        adapted(number, decision)
    clean(settings)
    assert left(settings, news) == [5, 3, 2]
    assert registry.champion(settings, news).version == "3"
    assert Classifier.load(registry.champion(settings, news).folder).labels == ("a", "b")
    assert registry.previous(settings, news).version == "2"


def test_the_meta_models_of_what_is_kept_stay(settings, news, adapted, folder):
    for number in range(4):
        tags = {"key": f"{100 + number:016x}", "family": "text", "decision": "promoted"}
        version = registry.log_meta_model(settings, "text", folder, {}, {}, tags)
        registry.promote(settings, "meta-text", version, lambda folder: None)
    adapted(1, "promoted", meta="", meta_key=f"{100:016x}")
    adapted(2, meta="2")
    adapted(3, meta="4")
    clean(settings)
    assert left(settings, news) == [3, 1]
    assert left(settings, "meta-text") == [4, 3, 1]


def test_what_an_open_row_of_the_ledger_asks_for_stays(settings, news, adapted):
    for number in range(3):
        adapted(number)
    row = LedgerRow("row", news, "hash", f"{0:016x}", {"domain": news}, "its data changed")
    ledger.add_rows(settings, [row, replace(row, name="done", key=f"{1:016x}", status="done")])
    clean(settings)
    assert left(settings, news) == [3, 1]
    ledger.close_rows(settings, f"{0:016x}", "1", "refused", "")
    clean(settings)
    assert left(settings, news) == [3]


@pytest.mark.parametrize(
    "tags", [{"withdrawn": "2020-01-01T00:00:00+00:00"}, {"decision": "awaiting approval"}, {"key": ""}]
)
def test_what_a_person_took_out_or_has_to_decide_on_or_made_by_other_means_stays(settings, news, adapted, tags):
    adapted(0, **tags)
    adapted(1)
    clean(settings)
    assert left(settings, news) == [2, 1]


def test_a_version_with_an_alias_of_a_persons_stays(settings, news, adapted):
    for number in range(3):
        adapted(number)
    connect(settings.tracking_uri).set_registered_model_alias(news, "candidate", "2")
    clean(settings)
    assert left(settings, news) == [3, 2]


def test_what_passed_the_gate_and_is_not_in_service_yet_stays(settings, news, adapted):
    adapted(0, "promoted")
    version = adapted(1)
    registry.tag(settings, news, version, {"decision": "promoted"})
    adapted(2)
    clean(settings)
    assert left(settings, news) == [3, 2, 1]


def test_a_former_champion_is_kept_for_the_time_from_when_another_took_its_place(settings, news, adapted):
    for number in range(4):
        adapted(number, "promoted")
    long_ago, lately = "2020-01-01T00:00:00+00:00", datetime.now(UTC).isoformat()
    registry.tag(settings, news, "1", {"decided": long_ago})
    registry.tag(settings, news, "2", {"decided": lately})
    found = {news: [replace(v, created=datetime(2020, 1, 1, tzinfo=UTC)) for v in registry.versions(settings, news)]}
    before = datetime.now(UTC) - timedelta(days=30)
    assert disposable.disposable(found, before) == []
    for version in "234":
        registry.tag(settings, news, version, {"decided": long_ago})
    found = {news: [replace(v, created=datetime(2020, 1, 1, tzinfo=UTC)) for v in registry.versions(settings, news)]}
    assert [v.version for v in disposable.disposable(found, before)] == ["2", "1"]


def test_work_that_is_under_way_is_left_and_so_is_what_came_into_service_meanwhile(settings, news, adapted):
    adapted(0)
    adapted(1)
    first = registry.get(settings, news, "1")
    with FileLock(settings.home_path / "locks" / f"{0:016x}.lock"):
        assert not disposable.delete_version(settings, first)
    registry.promote(settings, news, "1", lambda folder: None)
    assert not disposable.delete_version(settings, first)
    assert left(settings, news) == [2, 1]


def test_what_a_killed_clean_left_is_found_by_the_next(settings, news, adapted, monkeypatch):
    adapted(0)
    adapted(1)
    files = registry.get(settings, news, "1").folder
    with monkeypatch.context() as patch:
        patch.setattr(disposable, "delete_run", lambda *about: 1 / 0)  # as if it were killed between the two steps
        with pytest.raises(ZeroDivisionError):
            clean(settings)
    assert left(settings, news) == [2]
    assert files.exists()
    assert registry.find_by_key(settings, f"{0:016x}") is None
    assert clean(settings)[1] == Freed("runs without a version", 1)
    assert not files.exists()


def test_a_run_of_a_process_that_died_while_it_stored_a_model_goes(settings, news, adapted, folder):
    adapted(0)
    client = connect(settings.tracking_uri)
    run = client.create_run(registry._experiment_id(settings, "adapt"), tags={"model": news})
    other = client.create_run(registry._experiment_id(settings, "adapt"))
    client.log_artifacts(run.info.run_id, str(folder), "model")
    assert disposable.leftover_runs(settings, datetime.now(UTC) - timedelta(days=1)) == []
    assert clean(settings)[1] == Freed("runs without a version", 1)
    assert client.get_run(other.info.run_id)
    assert left(settings, news) == [1]


def test_only_a_folder_that_mlflow_gives_a_run_is_deleted(settings, news, adapted, tmp_path):
    adapted(0)
    client = connect(settings.tracking_uri)
    precious = tmp_path / "precious"
    shutil.copytree(registry.get(settings, news, "1").folder, precious)
    experiment = client.create_experiment("elsewhere", artifact_location=(tmp_path / "x").as_uri())
    run = client.create_run(experiment, tags={"model": news})
    with connect(settings.tracking_uri)._client._tracking_client.store.engine.begin() as database:
        wrong = f"UPDATE runs SET artifact_uri = '{precious.as_uri()}' WHERE run_uuid = '{run.info.run_id}'"
        database.exec_driver_sql(wrong)
    disposable.delete_run(settings, run.info.run_id)
    assert list(precious.iterdir())
