"""Where the test is small, every labelled example is scored without it, and comes back into the model in service."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from domains.same_example import content_keys
from learners.shift.typicality import Typicality
from tasks.adapt import adaptation
from tasks.adapt.adaptation import Adaptation, assign_folds, encode_domain, scored_examples
from tasks.adapt.held_out import HeldOut
from tasks.adapt.plan import Plan
from tasks.adapt.steps import adapt_and_compare, ask_gate, held_out, recall_champion
from tasks.adapt.trials import FLOOR, OURS, run_trial
from tasks.models import registry

ALL = Adaptation()


@pytest.fixture
def by_class(target):
    """A domain as its user adds it: train and test are one pile, divided at random."""
    return replace(target, meta={"split": {"by": "class"}})


@pytest.fixture
def plan(by_class, settings, model, tmp_path, monkeypatch):
    """What is to be adapted, by a meta-model in a folder of its own."""
    (tmp_path / "meta").mkdir()
    model.save(tmp_path / "meta")
    monkeypatch.setenv("ACCLIMATE_ROOT", str(settings.root))
    return Plan(by_class, "1", tmp_path / "meta", ALL, "key", tmp_path / "work")


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """What adapting gave, and a copy of its folder: it is the same for every test, and done once."""
    return {"folder": tmp_path_factory.mktemp("adapted")}


@pytest.fixture
def adapted(plan, kept):
    """The result of the plan, whose folder is there."""
    if "result" in kept:
        shutil.copytree(kept["folder"], plan.folder)
    else:
        kept["result"] = adapt_and_compare(plan, 0.0)
        shutil.copytree(plan.folder, kept["folder"], dirs_exist_ok=True)
    return kept["result"]


@pytest.fixture
def champion(plan, adapted, monkeypatch):
    """A copy of the model, in service."""

    class Champion:
        version, tags = "7", {"encoder": "letters-1"}

    Champion.folder = Path(shutil.copytree(plan.folder, plan.folder.with_name("champion")))
    monkeypatch.setattr(registry, "champion", lambda settings, name: Champion)
    return Champion


def test_only_a_small_test_of_a_random_division_is_given_up(by_class, settings, monkeypatch):
    assert encode_domain(settings, by_class, ALL).fold is not None
    assert encode_domain(settings, by_class, Adaptation(k=3)).fold is None
    for by in ("time", "group", None):
        other = replace(by_class, meta={} if by is None else {"split": {"by": by}})
        assert encode_domain(settings, other, ALL).fold is None
    monkeypatch.setattr(adaptation, "LARGE_TEST", by_class.counts["test"])
    assert encode_domain(settings, by_class, ALL).fold is None


def test_folds_have_each_label_evenly_copies_together_and_no_single_example():
    y = np.array([0] * 10 + [1] * 7 + [2])
    keys = content_keys([f"text {i}" for i in range(len(y))])
    keys[1] = keys[0]
    fold = assign_folds(y, keys, 0).numpy()
    assert fold[0] == fold[1]
    assert fold[-1] == -1
    assert np.bincount(fold[1:10]).max() - np.bincount(fold[1:10]).min() <= 1
    assert np.bincount(fold[10:17], minlength=5).tolist() in ([1, 2, 2, 1, 1], [2, 2, 1, 1, 1], [1, 1, 2, 2, 1])
    assert assign_folds(np.arange(5), keys[:5], 0) is None


def test_each_example_is_scored_by_a_model_that_lacks_it_and_the_challenger_has_them_all(by_class, settings, model):
    data = encode_domain(settings, by_class, ALL)
    trial = run_trial(model, data, ALL, 0)
    n = by_class.counts["train"] + by_class.counts["test"]
    assert trial.support.tolist() == list(range(n))
    assert {name: len(p) for name, p in trial.probabilities.items()} == dict.fromkeys(trial.probabilities, n)
    assert scored_examples(by_class, data) == [*by_class.column("train"), *by_class.column("test")]
    assert data.scored_y.tolist() == [*by_class.targets("train"), *by_class.targets("test")]
    # whoever was fitted to an example with a wrong label says so; whoever was not cannot know
    wrong = replace(data, train_y=torch.cat([(data.train_y[:1] + 1) % 4, data.train_y[1:]]))
    other = run_trial(model, wrong, ALL, 0)
    for name in (OURS, FLOOR):
        assert torch.allclose(trial.probabilities[name][0], other.probabilities[name][0], atol=1e-6), name
        assert not torch.equal(trial.probabilities[name], other.probabilities[name])


def test_the_result_says_how_it_was_scored_and_of_how_many(plan, adapted, by_class):
    n = by_class.counts["train"] + by_class.counts["test"]
    assert (adapted.interval, adapted.test, adapted.labels) == ("labelled examples", n, n)
    record = HeldOut.read(plan.folder)
    assert len(record.ours) == len(record.floor) == len(record.keys) == n
    assert len(record.fitted) == 0
    assert len(Typicality.load(plan.folder).scores) == n
    right = (record.ours.argmax(1) == [*by_class.targets("train"), *by_class.targets("test")]).mean()
    assert adapted.scores[OURS].accuracy == pytest.approx(right)


def test_a_champion_is_judged_by_what_it_said_while_examples_were_held_out(plan, adapted, champion, settings, by_class):
    data = encode_domain(settings, by_class, ALL)
    said, rows = recall_champion(champion, by_class, data)
    assert rows.tolist() == list(range(adapted.test))
    np.testing.assert_allclose(said.p, HeldOut.read(plan.folder).ours, rtol=1e-6)
    decision, judged = ask_gate(plan, adapted, plan.folder)
    assert not decision.promote
    assert "+0.0 points" in decision.reason
    assert judged.champion_before == "7"


def test_examples_that_a_champion_has_never_seen_are_asked_of_it_anew(champion, settings, by_class):
    record = HeldOut.read(champion.folder)
    seen = np.ones(len(record.keys), bool)
    seen[:3] = False
    replace(
        record, ours=record.ours[seen], keys=record.keys[seen], fitted=record.keys[:1], floor=record.floor[seen]
    ).write(champion.folder)
    data = encode_domain(settings, by_class, ALL)
    (p, *_), rows = recall_champion(champion, by_class, data)
    assert rows.tolist() == list(range(1, len(seen)))  # the first was fitted to, and never held out
    now = recall_champion(champion, by_class, replace(data, keys=None))[0].p
    np.testing.assert_allclose(p[1:3], now[1:3])
    np.testing.assert_allclose(p[3:], record.ours[3:], rtol=1e-6)


def test_a_champion_of_an_earlier_version_is_judged_on_examples_of_the_test_alone(plan, adapted, champion, by_class):
    (champion.folder / "held_out.safetensors").unlink()
    decision, _ = ask_gate(plan, adapted, plan.folder)
    assert f"on the same {by_class.counts['test']} examples" in decision.reason


def test_a_model_without_its_record_is_refused(plan, adapted):
    (plan.folder / "held_out.safetensors").write_bytes(b"damaged")
    decision, _ = ask_gate(plan, adapted, plan.folder)
    assert decision.reason == "refused: the score of the challenger is missing"


def test_of_a_fixed_test_the_record_says_what_the_model_was_fitted_to(target, settings, model):
    how = Adaptation(k=3)
    data = encode_domain(settings, target, how)
    trial = run_trial(model, data, how, 0)
    record = held_out(trial, data)
    train = content_keys(target.column("train"))
    assert set(record.fitted) == set(train[trial.support.numpy()])
    assert record.keys.tolist() == content_keys(target.column("test")).tolist()
