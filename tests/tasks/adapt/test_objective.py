"""What the user wants to be best decides which labels are named, what the gate compares, and what results say."""

import json

import numpy as np
import pytest
import yaml

from domains.domain import Domain
from domains.errors import UserError
from learners import metrics
from learners.classifier import Classifier
from learners.objective import majority_value
from tasks.adapt.adaptation import Adaptation, adaptation_key, encode_domain
from tasks.adapt.class_frequencies import preferences
from tasks.adapt.plan import Plan
from tasks.adapt.steps import adapt_and_compare, ask_gate
from tasks.adapt.tables import interval_line, result_cells
from tasks.adapt.trials import OURS


@pytest.fixture
def uneven(made, letters):
    """A domain whose first class has most of the labels."""

    def most_of_the_first(frame):
        rare = frame["label"] != "uneven 0"
        return frame[~rare | (frame.groupby("label").cumcount() < 12)]

    return made("uneven", classes=4, per_class=60, role="target", split=most_of_the_first)


@pytest.fixture
def plan(uneven, settings, model, tmp_path, monkeypatch):
    (tmp_path / "meta").mkdir()
    model.save(tmp_path / "meta")
    monkeypatch.setenv("ACCLIMATE_ROOT", str(settings.root))
    return Plan(uneven, "1", tmp_path / "meta", Adaptation(objective="macro_f1"), "key", tmp_path / "work")


def test_labels_gate_and_result_follow_the_objective(plan, settings, uneven):
    result = adapt_and_compare(plan, 0.0)
    assert json.loads(result.model_dump_json())["objective"] == "macro_f1"
    decision, _ = ask_gate(plan, result, plan.folder)
    assert " macro-F1 " in decision.reason
    assert "accuracy" not in decision.reason
    model, y = Classifier.load(plan.folder), np.array(uneven.targets("test"))
    p = model.predict_proba(encode_domain(settings, uneven, plan.how).test).double().numpy()
    assert result.scores[OURS].macro_f1 == pytest.approx(metrics.macro_f1(preferences(model, p), y))
    assert result.scores[OURS].log_loss == pytest.approx(metrics.log_loss(p, y), rel=1e-4)
    assert "macro-F1 %" in result_cells(result)
    assert interval_line(result).endswith("labels are named for the highest macro-F1")


def test_what_is_asked_for_comes_before_what_the_domain_says(uneven):
    about = yaml.safe_load((uneven.path / "domain.yaml").read_text())
    (uneven.path / "domain.yaml").write_text(yaml.safe_dump(about | {"objective": "balanced_accuracy"}))
    domain = Domain.read(uneven.path, "revision", "hash")
    assert (uneven.objective, domain.objective) == ("accuracy", "balanced_accuracy")
    assert adaptation_key(domain, "1", Adaptation()) != adaptation_key(domain, "1", Adaptation(objective="macro_f1"))
    (uneven.path / "domain.yaml").write_text(yaml.safe_dump(about | {"objective": "recall"}))
    with pytest.raises(UserError, match="no objective 'recall'; there are: accuracy, balanced_accuracy, macro_f1"):
        _ = Domain.read(uneven.path).objective


@pytest.mark.parametrize(("objective", "value"), [("accuracy", 0.5), ("balanced_accuracy", 0.25), ("macro_f1", 1 / 6)])
def test_whoever_always_names_the_most_frequent_label_is_scored_by_the_objective(objective, value):
    y = np.array([0, 0, 0, 1, 2, 3])
    assert majority_value(objective, y, np.ones(6)) == pytest.approx(value)
