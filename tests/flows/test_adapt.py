"""How runs of ``adapt`` are named, and what their deployment asks for."""

import importlib
import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

import flows.adapt
import flows.adapt_many
import flows.drift
import flows.meta_train
from tasks.adapt.batch import Request

ROOT = Path(__file__).parents[2]


@pytest.fixture
def head(tmp_path, monkeypatch):
    """The first seven digits of the newest commit of a project."""
    (tmp_path / "data.dvc").write_text(f"outs:\n- md5: {'5' * 32}.dir\n  hash: md5\n  path: data\n")
    git = ["git", "-C", tmp_path, "-c", "user.name=t", "-c", "user.email=t@example.org"]
    for command in (["init", "-q"], ["add", "--all"], ["commit", "-qm", "data"]):
        subprocess.run([*git, *command], check=True)
    monkeypatch.setenv("ACCLIMATE_ROOT", str(tmp_path))
    return subprocess.check_output([*git, "rev-parse", "HEAD"], text=True)[:7]


@pytest.mark.parametrize(
    ("flow", "parameters", "name"),
    [
        (flows.adapt, {"domain": "hpo", "revision": "HEAD"}, "adapt hpo @ {head}"),
        (flows.adapt, {"domain": "hpo", "revision": "no-such", "k": None}, "adapt hpo @ no-such"),
        (flows.adapt, {"domain": "hpo", "k": 5}, "adapt hpo @ {head}, K=5"),
        (flows.drift, {"domain": None, "file": None}, "drift of every champion"),
        (flows.drift, {"domain": "hpo", "file": "/data/new.csv"}, "drift of hpo in new.csv"),
        (flows.adapt_many, {"requests": [{"domain": "a"}, Request(domain="b")]}, "adapt to 2: a, b"),
    ],
)
def test_the_name_of_a_run_says_what_it_is_about(flow, parameters, name, monkeypatch, head):
    monkeypatch.setattr(flow, "flow_run", SimpleNamespace(parameters=parameters))
    assert flow.run_name() == name.format(head=head)


def choices(flow, name):
    """Return what the form of a flow offers for a parameter, the empty choice left out."""
    found = flow.parameters.properties[name]
    return [each for part in found.get("anyOf", [found]) for each in part.get("enum", [part.get("const")]) if each]


def test_the_forms_offer_choices_bounds_and_a_description_of_every_parameter():
    assert choices(flows.adapt.adapt, "objective") == ["accuracy", "balanced_accuracy", "macro_f1"]
    assert choices(flows.meta_train.meta_train, "family") == ["text", "vision", "market"]
    k = flows.adapt.adapt.parameters.properties["k"]["anyOf"]
    assert {"type": "integer", "minimum": 1} in k
    alpha = flows.drift.drift.parameters.properties["alpha"]
    assert (alpha["exclusiveMinimum"], alpha["exclusiveMaximum"]) == (0, 1)
    names = ["adapt", "adapt_many", "clean", "drift", "ingest", "meta_train", "meta_train_decisions", "predict"]
    for name in [*names, "watch", "demo"]:
        flow = getattr(importlib.import_module(f"flows.{name}"), name)
        undescribed = [key for key, value in flow.parameters.properties.items() if not value.get("description")]
        assert not undescribed, name


def test_nothing_that_asks_for_an_adaptation_asks_for_k_unless_a_person_does():
    deployments = yaml.safe_load((ROOT / "prefect.yaml").read_text("utf-8"))["deployments"]
    assert all("k" not in deployment.get("parameters", {}) for deployment in deployments)
    assert Request(domain="hpo").k is None
    parameters = flows.adapt.adapt.parameters.properties
    assert parameters["k"].get("default") is None
