"""What a person is asked to label next: rows of the pool that can be found again, and why these."""

import json
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from domains.domain import Domain
from domains.errors import UserError
from domains.same_example import content_key
from flows import cli
from learners.meta_model import MetaModel
from tasks.adapt import plan as adapt_plan
from tasks.adapt.adaptation import Adaptation, encode_domain, support_of
from tasks.adapt.plan import Plan
from tasks.adapt.suggestion import (
    advise,
    check_suggestions,
    forecast_at_twice,
    forecast_line,
    natural_curve,
    readable_examples,
    suggestion_reason,
    suggestions,
    write_to_label,
)
from tasks.adapt.trials import run_trial
from tasks.models import registry
from tasks.models.adapt_result import AdaptResult

HOW = Adaptation(k=4, draws=2, pool=30)


def test_rows_name_pool_examples_and_the_best_come_first(target, settings, model):
    data = encode_domain(settings, target, HOW)
    trial = run_trial(model, data, HOW, 0)
    found = suggestions(target, data, trial.classifier, HOW, 6)
    assert list(found) == ["text", "label", "guess", "probability", "why", "row"]
    pool = target.column("pool")
    assert found["text"].tolist() == [pool[row] for row in found["row"]]
    assert found["row"].is_unique
    assert set(found["label"]) == {""}
    assert set(found["guess"]) <= set(target.labels)
    assert found["probability"].between(0.25, 1).all()
    assert (
        found["row"].tolist()
        == suggestions(target, data, trial.classifier, HOW, 3)["row"].tolist() + (found["row"].tolist()[3:])
    )


def test_what_the_model_was_adapted_to_counts_as_labelled(target, settings, model):
    data = encode_domain(settings, target, HOW)
    assert support_of(data, HOW, 0)[0].tolist() == run_trial(model, data, HOW, 0).support.tolist()


def test_more_than_the_pool_holds_gives_all_that_is_used_of_it(target, settings, model):
    data = encode_domain(settings, target, HOW)
    found = suggestions(target, data, run_trial(model, data, HOW, 0).classifier, HOW, 1000)
    assert len(found) == 30


def test_images_are_named_by_their_files_where_they_have_names(tmp_path):
    images = [{"bytes": b"1", "path": "scans/a.png"}, {"bytes": b"2", "path": None}]
    pd.DataFrame({"image": images}).to_parquet(tmp_path / "pool.parquet")
    domain = Domain("scans", "vision", "target", ("well", "sick"), tmp_path)
    assert readable_examples(domain, [1, 0]) == ["", "a.png"]


def test_images_without_a_name_are_written_beside_and_named_by_what_is_in_them(tmp_path):
    images = [{"bytes": b"1", "path": "scans/a.png"}, {"bytes": b"\xff\xd8", "path": None}, {"bytes": b"2", "path": ""}]
    pd.DataFrame({"image": images}).to_parquet(tmp_path / "pool.parquet")
    domain = Domain("scans", "vision", "target", ("well", "sick"), tmp_path)
    rows = pd.DataFrame({"image": readable_examples(domain, [2, 0, 1]), "label": "", "row": [2, 0, 1]})
    folder = write_to_label(domain, rows, tmp_path / "next.csv")
    assert folder == tmp_path / "next-images"
    names = pd.read_csv(tmp_path / "next.csv")["image"]
    assert [name if name == "a.png" else (tmp_path / name).read_bytes() for name in names] == [
        b"2",
        "a.png",
        b"\xff\xd8",
    ]
    assert names[0] == f"next-images/{content_key(b'2'):016x}.png"
    assert names[2].endswith(".jpg")


def test_a_reason_says_what_an_example_stands_for_and_what_is_undecided():
    labels = ("heart", "lung", "skin")
    assert suggestion_reason(12, np.array([0.1, 0.7, 0.2]), labels) == "typical of 12 examples that no label is near"
    assert suggestion_reason(1, np.array([0.4, 0.5, 0.1]), labels) == "unlike any labelled example; lung or heart?"


def test_a_forecast_is_one_line_and_unknown_under_three_labels_a_class(target, settings, model):
    data = encode_domain(settings, target, HOW)
    found = forecast_at_twice(model, "logistic", data, HOW)
    assert found is not None
    assert found.size == 8
    assert 0 <= found.low <= found.accuracy <= found.high <= 1
    assert forecast_line(found, HOW).startswith("accuracy at twice the labels (8 a class): about ")
    assert forecast_at_twice(model, "logistic", data, replace(HOW, k=2)) is None
    assert forecast_line(None, HOW) == "accuracy at twice the labels: unknown; it takes 3 labels a class to forecast"


def test_with_all_labels_the_curve_is_of_shares_at_their_own_frequencies(target, settings, model):
    data = encode_domain(settings, target, Adaptation(pool=30))
    found = forecast_at_twice(model, "logistic", data, Adaptation(pool=30))
    assert found.size == 2 * 48
    assert forecast_line(found, Adaptation()).startswith("accuracy at twice the labels (96): about ")
    few = replace(data, train_x=data.train_x[::6], train_y=data.train_y[::6])  # two of each class
    assert forecast_at_twice(model, "logistic", few, Adaptation()) is None
    y = np.array([0] * 90 + [1] * 9 + [2])
    seen = []
    sizes, accuracies = natural_curve(lambda rows: float(seen.append(rows) or len(rows)), y, 0)
    assert sizes == [25, 50, 75, 100]
    assert accuracies.tolist() == [sizes] * 5
    assert all(len(np.unique(y[rows])) == 3 for rows in seen)
    assert set(seen[0].tolist()) < set(seen[1].tolist())


@pytest.fixture
def adapted(target, settings, model, tmp_path):
    """An adaptation that is done: its plan, its result, and the trial that made the model."""
    trial = run_trial(model, encode_domain(settings, target, HOW), HOW, 0)
    meta, folder = tmp_path / "meta", tmp_path / "adapted"
    meta.mkdir()
    folder.mkdir()
    model.save(meta)
    trial.classifier.save(folder)
    version = registry.log_adapted(settings, "target", folder, {}, {}, {"family": "text", "encoder": "letters-1"})
    result = AdaptResult(
        **dict.fromkeys(("family", "revision", "content_hash"), ""),
        domain="target",
        strategy=trial.strategy,
        model_version=version,
        k=4,
        draws=2,
        pool=30,
        test=10,
        scores={},
        seconds={},
    )
    return Plan(target, "1", meta, HOW, "key", tmp_path), result, trial


def test_after_an_adaptation_its_own_model_is_asked(target, settings, adapted):
    plan, result, trial = adapted
    advice = advise(settings, plan, result, 5)
    data = encode_domain(settings, target, HOW)
    pd.testing.assert_frame_equal(advice.rows, suggestions(target, data, trial.classifier, HOW, 5))
    assert advice.line == forecast_line(
        forecast_at_twice(MetaModel.load(plan.meta_folder), trial.strategy, data, HOW), HOW
    )


def test_the_command_writes_the_file_and_says_the_forecast_in_a_line(settings, adapted, monkeypatch, capsys, tmp_path):
    import flows.adapt

    plan, result, _ = adapted
    monkeypatch.setenv("ACCLIMATE_ROOT", str(settings.root))
    monkeypatch.setattr(adapt_plan, "plan_adaptation", lambda *asked: plan)
    monkeypatch.setattr(flows.adapt, "adapt", lambda *asked, **more: result)
    monkeypatch.setattr(cli, "flows_running", lambda settings: nullcontext())
    output = tmp_path / "next.csv"
    cli.main(["adapt", "target", "--k", "4", "--suggest", "5", "-o", str(output), "--json"])
    said = capsys.readouterr()
    assert json.loads(said.out)["model_version"] == result.model_version
    assert said.err.splitlines() == [
        f"5 examples to label written to {output}",
        f"fill in its column label, then: acclimate domains label target {output}",
        advise(settings, plan, result, 5).line,
    ]
    assert list(pd.read_csv(output)) == ["text", "label", "guess", "probability", "why", "row"]
    assert pd.read_csv(output)["text"].tolist() == [plan.domain.column("pool")[i] for i in pd.read_csv(output)["row"]]


def test_what_cannot_be_suggested_is_one_line_that_says_what_to_do(made, settings, letters, target, tmp_path):
    check_suggestions(target, tmp_path / "to_label.csv")
    bare = made("bare", role="target", split=lambda f: f.assign(split=["train", "test"] * (len(f) // 2)))
    with pytest.raises(
        UserError, match=r"domain bare has no pool: add unlabelled examples as pool.parquet to data/bare"
    ):
        check_suggestions(bare, tmp_path / "to_label.csv")
    with pytest.raises(UserError, match="market states follow from prices; nobody labels them"):
        check_suggestions(made("fresh", first="2005-01-03", role="target"), tmp_path / "to_label.csv")
    for bad in (Path("nowhere/to_label.csv"), tmp_path):
        with pytest.raises(UserError, match="choose another path"):
            check_suggestions(target, bad)
