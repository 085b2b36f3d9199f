"""How runs of ``adapt`` are named, and what their deployment asks for."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

import flows.adapt
from tasks.adapt.batch import Request

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("parameters", "name"),
    [
        ({"domain": "hpo"}, "adapt hpo"),
        ({"domain": "hpo", "k": None}, "adapt hpo"),
        ({"domain": "hpo", "k": 5}, "adapt hpo, K=5"),
    ],
)
def test_a_run_has_k_in_its_name_only_where_one_was_asked_for(parameters, name, monkeypatch):
    monkeypatch.setattr(flows.adapt, "flow_run", SimpleNamespace(parameters=parameters))
    assert flows.adapt.run_name() == name


def test_nothing_that_asks_for_an_adaptation_asks_for_k_unless_a_person_does():
    deployments = yaml.safe_load((ROOT / "prefect.yaml").read_text("utf-8"))["deployments"]
    assert all("k" not in deployment.get("parameters", {}) for deployment in deployments)
    assert Request(domain="hpo").k is None
    parameters = flows.adapt.adapt.parameters.properties
    assert parameters["k"].get("default") is None
