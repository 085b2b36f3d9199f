"""The registry against a real MLflow on SQLite: what is registered is whole, the champion always loads."""

import json
import logging
import os
import shutil
import sqlite3
import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from domains.errors import UserError
from learners.classifier import Affine, Classifier
from tasks.base.settings import Settings
from tasks.models import mlflow_client, registry
from tasks.models.registry import PromotionError


@pytest.fixture(scope="module")
def settings(tmp_path_factory):
    return Settings(root=tmp_path_factory.mktemp("root"))


@pytest.fixture
def name(request):
    """A domain of its own for each test."""
    return request.node.name.replace("_", "-")[-50:].strip("-")


@pytest.fixture
def folder(tmp_path):
    """An adapted model on disk: label ``sick`` where the first feature is positive."""
    folder = tmp_path / "adapted"
    folder.mkdir()
    head = Affine(torch.tensor([[-1.0, 0, 0], [1, 0, 0]]), torch.zeros(2))
    Classifier((head,), ("well", "sick"), temperature=0.5).save(folder)
    (folder / "result.json").write_text("{}")
    return folder


@pytest.fixture
def log(settings, name, folder):
    """Log one more version of the test's domain."""
    return lambda key="k": registry.log_adapted(settings, name, folder, {"k": 10}, {"accuracy": 0.7}, {"key": key})


def predicts(folder):
    """A smoke test that makes a real prediction."""
    assert torch.isfinite(Classifier.load(folder).predict_proba(torch.ones(1, 3))).all()


def fails_from_call(n):
    """A smoke test that passes n - 1 times and then fails."""
    calls = iter(range(1, 100))

    def smoke_test(folder):
        predicts(folder)
        if next(calls) >= n:
            raise RuntimeError("nonsense predicted")

    return smoke_test


def in_service(settings, name):
    aliases = registry._aliases(settings, name)
    return aliases.get("champion"), aliases.get("previous")


def test_what_is_logged_is_read_back_and_not_in_service_until_promoted(settings, name, log):
    assert registry.champion(settings, name) is None
    assert registry.versions(settings, name) == []
    assert [log("first"), log("second")] == ["1", "2"]
    newest, oldest = registry.versions(settings, name)
    assert (newest.version, newest.params, newest.metrics) == ("2", {"k": "10"}, {"accuracy": 0.7})
    assert newest.tags == {"key": "second"}
    assert oldest.version == "1"
    assert registry.champion(settings, name) is None
    registry.promote(settings, name, "1", predicts)
    champion = registry.champion(settings, name)
    assert (champion.version, champion.aliases) == ("1", ("champion",))
    assert (champion.folder / "result.json").read_text() == "{}"
    assert champion.folder.is_relative_to(settings.home_path / "mlartifacts")


def test_mlflow_loads_the_champion_by_alias_without_unpickling_anything(settings, name, log, monkeypatch):
    import pickle

    import mlflow

    registry.promote(settings, name, log(), predicts)
    assert not list(settings.home_path.rglob("*.pkl"))
    for loader in ("load", "loads", "Unpickler"):
        monkeypatch.setattr(pickle, loader, None)
    monkeypatch.setattr(torch, "load", None)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", settings.tracking_uri)
    model = mlflow.pyfunc.load_model(f"models:/{name}@champion")
    frame = model.predict(np.array([[3.0, 0, 0], [-3.0, 0, 0]], np.float32))
    assert list(frame) == ["label", "probability", "set", "ask", "p_well", "p_sick"]
    assert list(frame.label) == ["sick", "well"]
    assert frame.p_sick[0] == pytest.approx(1 / (1 + np.exp(-12)))
    with pytest.raises(mlflow.exceptions.MlflowException, match="matrix"):
        model.predict(np.ones(3, np.float32))


def test_equal_work_is_found_by_its_key(settings, name, log):
    log(f"{name}:a")
    version = log(f"{name}:a")
    log(f"{name}:b")
    assert registry.find_by_key(settings, f"{name}:a").version == version
    assert registry.find_by_key(settings, f"{name}:c") is None


def test_promotion_remembers_the_previous_champion_and_a_rollback_returns_to_it(settings, name, log):
    first, second = log(), log()
    assert registry.promote(settings, name, first, predicts) is None
    with pytest.raises(PromotionError, match="no previous champion"):
        registry.previous(settings, name)
    assert registry.promote(settings, name, second, predicts).version == first
    assert in_service(settings, name) == (second, first)
    registry.promote(settings, name, second, predicts)
    assert in_service(settings, name) == (second, first)
    registry.promote(settings, name, registry.previous(settings, name).version, predicts)
    assert in_service(settings, name) == (first, second)


@pytest.mark.parametrize("call", [1, 2], ids=["before", "after"])
def test_a_failing_smoke_test_before_or_after_the_move_leaves_the_aliases_as_they_were(settings, name, log, call):
    versions = [log() for _ in range(3)]
    for earlier, version in zip([None, *versions], versions, strict=False):
        before = in_service(settings, name)
        with pytest.raises(PromotionError, match=f"{version} fails its smoke test.*nonsense predicted"):
            registry.promote(settings, name, version, fails_from_call(call))
        assert in_service(settings, name) == before
        assert before[0] == earlier
        registry.promote(settings, name, version, predicts)


def test_an_interrupt_during_the_smoke_test_moves_the_alias_back(settings, name, log):
    first, second = log(), log()
    registry.promote(settings, name, first, predicts)
    calls = iter([None, KeyboardInterrupt()])

    def interrupted(folder):
        if error := next(calls):
            raise error

    with pytest.raises(KeyboardInterrupt):
        registry.promote(settings, name, second, interrupted)
    assert in_service(settings, name) == (first, None)


def test_a_process_killed_between_the_steps_leaves_a_champion_that_loads_and_no_lock(settings, name, log):
    first, second = log(), log()
    registry.promote(settings, name, first, predicts)
    script = f"""
        import os, sys
        sys.path.insert(0, {str(Path.cwd())!r})
        from pathlib import Path
        from tasks.models import registry
        from tasks.base.settings import Settings
        calls = iter([lambda: None, lambda: os._exit(9)])  # killed right after the alias has moved
        settings = Settings(root=Path({str(settings.root)!r}))
        registry.promote(settings, {name!r}, {second!r}, lambda folder: next(calls)())
    """
    assert subprocess.run([sys.executable, "-c", textwrap.dedent(script)]).returncode == 9
    predicts(registry.champion(settings, name).folder)
    assert in_service(settings, name) == (second, first)
    assert registry.previous(settings, name).version == first


def test_two_promotions_at_once_happen_one_after_the_other(settings, name, log):
    first, *rest = [log() for _ in range(5)]
    registry.promote(settings, name, first, predicts)
    with ThreadPoolExecutor(4) as threads:
        replaced = threads.map(lambda v: registry.promote(settings, name, v, predicts).version, rest)
        replaced = list(replaced)
    champion, previous = in_service(settings, name)
    assert sorted([*replaced, champion]) == sorted([first, *rest])
    assert replaced[rest.index(champion)] == previous


def test_a_gate_decision_against_a_champion_that_is_gone_does_not_promote(settings, name, log):
    first, second, third = log(), log(), log()
    registry.promote(settings, name, first, predicts, expected=None)
    registry.promote(settings, name, second, predicts, expected=first)
    for stale in (first, None):
        with pytest.raises(PromotionError, match="run the gate again"):
            registry.promote(settings, name, third, predicts, expected=stale)
    assert in_service(settings, name) == (second, first)


def test_a_version_that_does_not_exist_is_named_to_the_user(settings, name, log):
    log()
    for version in ("7", "latest-one"):
        with pytest.raises(UserError, match=f"no version {version}"):
            registry.promote(settings, name, version, predicts)


def test_meta_models_have_names_and_champions_of_their_own(settings, folder):
    version = registry.log_meta_model(settings, "text", folder, {}, {"accuracy": 0.8}, {"key": "meta"})
    registry.promote(settings, registry.meta_name("text"), version, predicts)
    assert registry.champion(settings, "meta-text").metrics == {"accuracy": 0.8}
    with pytest.raises(UserError, match="kept for meta-models"):
        registry.log_adapted(settings, "meta-text", folder, {}, {}, {})


def test_a_model_whose_files_cannot_be_stored_is_not_registered(settings, name, log, monkeypatch):
    def disk_full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(registry._client(settings)._client, "log_artifacts", disk_full)
    with pytest.raises(UserError, match=r"No space left on device; free some space"):
        log()
    assert registry.versions(settings, name) == []
    assert registry.find_by_key(settings, "k") is None or registry.find_by_key(settings, "k").name != name


@contextmanager
def write_lock(settings):
    """Hold SQLite's write lock."""
    import sqlite3

    database = sqlite3.connect(settings.home_path / "mlflow.db", isolation_level=None)
    database.execute("BEGIN IMMEDIATE")
    yield
    database.execute("ROLLBACK")
    database.close()


def test_the_database_keeps_a_write_ahead_log_so_readers_do_not_wait_for_a_writer(settings, name, log):
    registry.promote(settings, name, log(), predicts)
    with write_lock(settings):
        assert registry.champion(settings, name).version == "1"


def test_a_locked_database_is_tried_again_and_then_explained_in_one_line(monkeypatch):
    from mlflow.exceptions import MlflowException

    monkeypatch.setattr(mlflow_client.time, "sleep", lambda seconds: None)
    left = iter([MlflowException("(sqlite3.OperationalError) database is locked")] * 10)

    def locked(times):
        if times:
            raise next(left)
        return "done"

    attempts = iter([1, 1, 0])
    made = SimpleNamespace(twice=lambda: locked(next(attempts)), always=lambda: locked(1))
    client = mlflow_client.Client(lambda: made, "sqlite:///x")
    assert client.twice() == "done"
    with pytest.raises(UserError, match="stays locked"):
        client.always()


def test_nothing_is_written_outside_the_state_folder_and_telemetry_is_off(settings, log):
    log()
    assert {path.name for path in settings.root.iterdir()} == {".acclimate"}
    assert not Path("mlruns").exists()
    assert os.environ["MLFLOW_DISABLE_TELEMETRY"] == "true"
    assert not logging.getLogger("mlflow").isEnabledFor(logging.INFO)


def test_an_address_that_mlflow_cannot_use_is_one_line_without_its_password(tmp_path):
    with pytest.raises(UserError, match="ACCLIMATE_MLFLOW_URI, which begins with postgres: it takes sqlite") as caught:
        registry.champion(Settings(root=tmp_path, mlflow_uri="postgres://me:secret@db/mlflow"), "hpo")
    assert "secret" not in str(caught.value)


def test_a_database_of_an_earlier_mlflow_is_one_line_that_says_what_to_do(settings, tmp_path):
    registry.champion(settings, "hpo")  # makes the database
    old = Settings(root=tmp_path)
    old.home_path.mkdir()
    shutil.copy(settings.home_path / "mlflow.db", old.home_path)
    with closing(sqlite3.connect(old.home_path / "mlflow.db")) as database:
        database.execute("UPDATE alembic_version SET version_num = 'cbc13b556ace'")
        database.commit()
    with pytest.raises(UserError, match="earlier version of MLflow: copy it, then run mlflow db upgrade"):
        registry.champion(old, "hpo")


def test_a_model_that_lies_elsewhere_is_fetched_once_into_the_home_and_nowhere_else(settings, name, log, monkeypatch):
    import mlflow.artifacts

    model = registry.get(settings, name, log())
    away, fetch, calls = replace(model, uri=f"runs:/{model.run_id}/model"), mlflow.artifacts.download_artifacts, []
    monkeypatch.setattr(mlflow.artifacts, "download_artifacts", lambda **how: calls.append(how) or fetch(**how))
    predicts(away.folder)
    assert away.folder.parents[2] == settings.home_path / registry.COPIES
    assert replace(away).folder == away.folder
    assert len(calls) == 1
    assert len(list(away.folder.parents[2].iterdir())) == 1


def test_models_of_others_in_a_shared_registry_are_left_alone(tmp_path, folder):
    settings = Settings(root=tmp_path)
    for name in ("it's", "Their Model", "a.b", "meta-text", "hpo"):
        registry._client(settings).create_registered_model(name)
    assert registry.names(settings) == ["hpo", "meta-text"]


def test_mlflow_knows_the_data_of_a_model_by_its_revision_and_hash(settings, name, folder):
    lineage = {"key": "k", "revision": "1a2b", "content_hash": "5" * 64}
    version = registry.log_adapted(settings, name, folder, {}, {}, lineage)
    run = registry._client(settings).get_run(registry.get(settings, name, version).run_id)
    (used,) = run.inputs.dataset_inputs
    assert (used.dataset.name, used.dataset.digest, used.dataset.source_type) == (name, "5" * 36, "dvc")
    assert json.loads(used.dataset.source) == {"revision": "1a2b", "content_hash": "5" * 64, "path": f"data/{name}"}
