"""Adaptation of one domain: what its key stands for, what is encoded, and what a trial may never do."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from domains.errors import UserError
from learners import BASELINES, PLAIN_STRATEGIES, make, plain_strategies
from learners.choice.fallback import PROBE
from learners.choice.prior import Prior
from learners.meta_model import MetaModel
from learners.meta_train import Training
from learners.metrics import wilson_half_width
from tasks.adapt import adaptation, trials
from tasks.adapt.adaptation import (
    BASELINE_NAMES,
    Adaptation,
    adaptation_key,
    encode_domain,
    encoder_warning,
    examples_used,
    labelled_sample,
    model_for,
    pool_sample,
    shuffle_rows,
    support_of,
    work_key,
)
from tasks.adapt.plan import Plan
from tasks.adapt.steps import adapt_and_compare, score_sets
from tasks.adapt.trials import FLOOR, OURS, run_trial
from tasks.features.encoders import domain_encoders
from tasks.meta_train.recipes import Recipe, Shape
from tasks.meta_train.training import assemble, load_piles, save_new, train_learner
from tasks.models.adapt_result import AdaptResult

HOW = Adaptation(k=4, draws=2, pool=20)
SHAPE = Shape(ways=(2, 3), shots=(1, 4), queries=4, pool=(0, 20), days=6)
TRAINING = Training(SHAPE, steps=2, batch=1, every=2, episodes=2)


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """A folder for meta-models that several tests use."""
    return tmp_path_factory.mktemp("meta-models")


@pytest.fixture
def trained(made, settings, letters, tmp_path, kept):
    """A meta-model of the text family, trained for two steps by the first test that uses it."""
    if not (folder := kept / "text").exists():
        recipe = Recipe(20, 10, dict.fromkeys(("protonet", "maml", "reference"), TRAINING), prior_episodes=6)
        piles = load_piles(settings, [made("source", classes=9)], recipe)
        learners = {name: train_learner(name, piles, TRAINING, tmp_path / name)[0] for name in recipe.training}
        save_new(assemble("text", piles, learners, {}, recipe), folder)
    return MetaModel.load(folder)


@pytest.fixture
def market_model(made, settings, tmp_path, kept):
    """A meta-model of markets, trained for two steps by the first test that uses it."""
    if not (folder := kept / "market").exists():
        recipe = Recipe(500, 3, dict.fromkeys(("pooled", "protonet", "maml", "reference"), TRAINING), prior_episodes=6)
        piles = load_piles(settings, [made("early", first="2001-01-01"), made("late", first="2003-01-01")], recipe)
        learners = {name: train_learner(name, piles, TRAINING, tmp_path / name)[0] for name in recipe.training}
        save_new(assemble("market", piles, learners, {}, recipe), folder)
    return MetaModel.load(folder)


# The key


def test_a_key_stands_for_the_content_the_meta_model_and_every_setting(target):
    key = adaptation_key(target, "3", HOW)
    assert adaptation_key(replace(target, revision="another commit"), "3", Adaptation(**vars(HOW))) == key
    others = [
        adaptation_key(replace(target, content_hash="changed"), "3", HOW),
        adaptation_key(replace(target, name="other"), "3", HOW),
        adaptation_key(target, "4", HOW),
        *(
            adaptation_key(target, "3", replace(HOW, **{name: value}))
            for name, value in {"k": 5, "draws": 3, "pool": 21, "seed": 1, "method": "maml"}.items()
        ),
    ]
    assert len({key, *others}) == 1 + len(others)


def test_the_draws_are_no_part_of_the_key_of_all_labels(target):
    everything = Adaptation()
    assert (everything.k, everything.trials, replace(everything, k=4).trials) == (None, 1, 10)
    key = adaptation_key(target, "3", everything)
    assert adaptation_key(target, "3", replace(everything, draws=3)) == key
    assert adaptation_key(target, "3", replace(everything, k=10)) != key
    assert work_key(target, "3", everything) == key


def test_a_budget_counts_where_an_encoder_would_be_tuned(target):
    asked = Adaptation(budget=60)
    assert adaptation_key(target, "3", asked) != adaptation_key(target, "3", Adaptation())
    market = replace(target, family="market")
    assert adaptation_key(market, "3", asked) == adaptation_key(market, "3", Adaptation())
    for how in (Adaptation(k=5), Adaptation(method="logistic")):
        assert adaptation_key(target, "3", replace(how, budget=60)) == adaptation_key(target, "3", how)


# Encoding


def test_a_domain_is_encoded_shard_by_shard(target, settings, letters):
    steps = []
    data = encode_domain(settings, target, HOW, steps.append)
    assert torch.equal(data.train_x, letters.read(target.column("train")))
    assert torch.equal(data.test_x, letters.read(target.column("test")))
    assert data.train_y.tolist() == target.targets("train")
    assert data.test_y.tolist() == target.targets("test")
    assert data.labels == target.labels
    pool = letters.read(target.column("pool"))
    assert torch.equal(data.pool_x, pool[pool_sample(len(pool), HOW)])
    assert sum(steps) == len(data.train_x) + len(data.test_x) + 20


def test_of_all_labels_every_usable_row_is_read_singletons_too(made, settings, letters):
    def uneven(frame):  # 1, 60 and 70 labels a class
        train = [label != "few 0" or i == 0 for i, label in enumerate(frame["label"])]
        test = [i % 80 >= 70 for i in range(len(frame))]
        return frame.assign(split=["test" if t else "train" for t in test])[np.logical_or(train, test)]

    domain = made("few", classes=3, per_class=80, role="target", split=uneven)
    counts = np.bincount(domain.targets("train"))
    assert counts.tolist() == [1, 70, 70]
    assert labelled_sample(domain, range(141), Adaptation()) == list(range(141))
    assert examples_used(domain, Adaptation()) == 141 + domain.counts["test"]
    assert len(labelled_sample(domain, range(141), HOW)) == 101
    data = encode_domain(settings, domain, Adaptation())
    assert torch.equal(data.train_x, letters.read(domain.column("train")))
    rows, _ = support_of(data, Adaptation(), 0)
    assert rows.tolist() == list(range(141))


def test_beyond_the_limit_a_fixed_sample_with_every_label_is_used_and_a_line_says_so(target, settings, monkeypatch):
    monkeypatch.setattr(adaptation, "MOST", 30)
    rows = labelled_sample(target, range(48), Adaptation())
    assert len(rows) == 30
    assert rows == sorted(set(rows)) == labelled_sample(target, range(48), Adaptation())
    data = encode_domain(settings, target, Adaptation())
    assert len(data.train_y) == 30
    assert data.warnings == ("train of 48 examples: 30 of them are used, drawn with seed 0",)


def test_shuffled_rows_begin_with_one_of_each_label():
    y = np.array([3] * 50 + [1] + [2] * 5)
    rows = shuffle_rows(y, 0)
    assert sorted(rows.tolist()) == list(range(56))
    assert sorted(y[rows[:3]].tolist()) == [1, 2, 3]
    assert shuffle_rows(y, 1).tolist() != rows.tolist()


def test_of_a_large_pool_the_same_sample_is_used_every_time():
    rows = pool_sample(100, HOW)
    assert rows == pool_sample(100, HOW) == sorted(set(rows))
    assert len(rows) == 20
    assert max(rows) < 100
    assert pool_sample(100, replace(HOW, seed=1)) != rows
    assert pool_sample(7, HOW) == list(range(7))
    assert pool_sample(0, HOW) == []


def test_a_domain_without_a_pool_has_none(made, settings, letters):
    domain = made("bare", role="target", split=lambda f: f.assign(split=["train", "test"] * (len(f) // 2)))
    assert encode_domain(settings, domain, HOW).pool_x is None


def test_a_domain_without_test_examples_is_an_error_that_says_where_to_look(made, settings, letters):
    domain = made("untested", role="target", split=lambda f: f.assign(split="train"))
    with pytest.raises(UserError, match="domain untested has no test examples: see `acclimate domains show untested`"):
        encode_domain(settings, domain, HOW)


def test_labels_of_one_class_only_are_an_error_that_says_what_is_needed(made, settings, letters):
    domain = made("alone", role="target", split=lambda f: f.assign(split=["train"] * 30 + ["test"] * 60))
    with pytest.raises(UserError, match="domain alone: labels of at least two classes are needed, found 1"):
        encode_domain(settings, domain, HOW)


def test_of_a_meta_model_of_another_encoder_the_strategies_that_are_not_meta_trained_are_left(target, trained):
    encoders = domain_encoders(target)
    assert model_for(trained, encoders) is trained
    assert encoder_warning(trained, encoders) == []
    older = replace(trained, encoder="older", dim=5)
    found = model_for(older, encoders)
    assert (found.dim, found.encoder, found.prior) == (8, "letters-1", trained.prior)
    assert set(found.strategies) == set(plain_strategies(8))
    (said,) = encoder_warning(older, encoders)
    assert said == "no meta-model reads letters-1: strategies that are not meta-trained adapt"


# A trial


def test_a_trial_compares_every_method_on_every_test_example(target, settings, trained):
    data = encode_domain(settings, target, HOW)
    trial = run_trial(trained, data, HOW, 0)
    assert set(trial.probabilities) == {OURS, *BASELINE_NAMES, *trained.strategies}
    for p in trial.probabilities.values():
        assert p.shape == (len(data.test_y), 4)
        assert torch.allclose(p.sum(1), torch.ones(len(p)), atol=1e-5)
    assert torch.equal(trial.classifier.predict_proba(data.test), trial.probabilities[OURS])
    assert trial.classifier.labels == target.labels
    assert trial.strategy in trained.strategies


def test_a_support_has_k_examples_of_every_class_of_the_training_shard(target, settings, letters):
    data = encode_domain(settings, target, HOW)
    supports = [support_of(data, HOW, number)[0] for number in range(3)]
    for rows in supports:
        assert len(rows.unique()) == len(rows)
        assert torch.bincount(data.train_y[rows]).tolist() == [4] * 4
    assert len({tuple(rows.tolist()) for rows in supports}) == 3


def test_the_same_trial_gives_the_same_to_the_bit(target, settings, trained):
    data = encode_domain(settings, target, HOW)
    one, other = (run_trial(trained, data, HOW, 1) for _ in range(2))
    assert torch.equal(one.support, other.support)
    assert (one.strategy, one.expected_gain) == (other.strategy, other.expected_gain)
    assert all(torch.equal(p, other.probabilities[name]) for name, p in one.probabilities.items())


def test_no_test_example_has_a_part_in_a_choice(target, settings, trained):
    data = encode_domain(settings, target, HOW)
    blind = replace(data, test_x=torch.full_like(data.test_x, 3.0), test_y=torch.zeros_like(data.test_y))
    one, other = run_trial(trained, data, HOW, 0), run_trial(trained, blind, HOW, 0)
    assert (one.strategy, one.expected_gain) == (other.strategy, other.expected_gain)
    assert torch.equal(one.classifier.logits(data.test), other.classifier.logits(data.test))


@pytest.mark.parametrize("k", [1, 2, 10])
def test_a_trial_never_chooses_what_it_expects_to_be_worse_than_the_probe(target, settings, trained, k):
    how = replace(HOW, k=k)
    data = encode_domain(settings, target, how)
    trial = run_trial(trained, data, how, 0)
    assert trial.strategy == PROBE or trial.expected_gain[trial.strategy] > trial.expected_gain[PROBE] == 0


def test_a_named_method_is_used_whatever_is_expected_of_it(target, settings, trained):
    data = encode_domain(settings, target, HOW)
    for name in (PROBE, "prototype", "maml"):
        trial = run_trial(trained, data, replace(HOW, method=name), 0)
        assert trial.strategy == name
        assert torch.equal(trial.probabilities[OURS].argmax(1), trial.probabilities[name].argmax(1))


def test_of_150_classes_what_cannot_adapt_is_left_out_and_the_result_says_why(
    made, settings, letters, tmp_path, monkeypatch
):
    many = made("many", classes=150, per_class=14, role="target")
    model = MetaModel("text", "letters-1", 8, None, {name: make(name, 8) for name in ("svm", "caml")}, Prior())
    (tmp_path / "meta").mkdir()
    model.save(tmp_path / "meta")
    how = Adaptation(k=3, draws=1, pool=20)
    plan = Plan(many, "1", tmp_path / "meta", how, "key", tmp_path / "work")
    monkeypatch.setenv("ACCLIMATE_ROOT", str(settings.root))
    monkeypatch.setenv("ACCLIMATE_PROCESSES", "1")  # another process has no encoder of letters
    result = adapt_and_compare(plan, 0.0)
    assert {OURS, *BASELINE_NAMES} <= set(result.scores)
    assert not {"svm", "caml"} & set(result.scores)
    assert result.warnings[-2:] == [
        "svm is left out: 150 classes and 450 examples make N S^2 = 30,375,000, and its solver has room for 30,000,000",
        "caml is left out: it tells at most 128 classes apart, and there are 150",
    ]
    with pytest.raises(UserError, match=r"^method caml cannot adapt to this domain: .* 150; take another, or auto$"):
        run_trial(model, encode_domain(settings, many, how), replace(how, method="caml"), 0)


def test_all_labels_make_one_trial_whose_interval_is_over_the_test(target, settings, model, tmp_path, monkeypatch):
    (tmp_path / "meta").mkdir()
    model.save(tmp_path / "meta")
    monkeypatch.setenv("ACCLIMATE_ROOT", str(settings.root))
    plan = Plan(target, "1", tmp_path / "meta", Adaptation(pool=20), "key", tmp_path / "work")
    result = adapt_and_compare(plan, 0.0)
    assert (result.k, result.labels, result.draws, result.interval) == (None, 48, 1, "test examples")
    assert result.labels_used == "all 48 labels"
    for score in result.scores.values():
        assert score.ci95 == pytest.approx(wilson_half_width(score.accuracy, 40))
        assert score.balanced_accuracy == pytest.approx(score.accuracy)  # ten test examples of each class
        assert 0 < score.macro_f1 <= 1
    assert AdaptResult.read(plan.folder) == result
    ours = result.scores[OURS]
    assert [(each.label, each.support) for each in result.classes] == [(label, 10) for label in target.labels]
    assert np.mean([each.recall for each in result.classes]) == pytest.approx(ours.balanced_accuracy)
    assert np.mean([each.f1 for each in result.classes]) == pytest.approx(ours.macro_f1)
    few = adapt_and_compare(replace(plan, how=HOW), 0.0)
    assert (few.k, few.labels, few.draws, few.interval) == (4, 16, 2, "support draws")
    assert few.labels_used == "at most 4 labels a class, 16 in all"


def test_with_very_many_labels_only_the_probe_is_compared_and_a_line_says_so(
    target, settings, model, tmp_path, monkeypatch
):
    (tmp_path / "meta").mkdir()
    model.save(tmp_path / "meta")
    monkeypatch.setenv("ACCLIMATE_ROOT", str(settings.root))
    monkeypatch.setattr(trials, "COMPARED", 191)
    result = adapt_and_compare(Plan(target, "1", tmp_path / "meta", Adaptation(), "key", tmp_path / "work"), 0.0)
    assert (set(result.scores), result.baselines, result.best_baseline) == ({OURS, PROBE, FLOOR}, [PROBE], PROBE)
    assert result.warnings == [
        "the comparison with other methods is left out: 48 labelled examples times 4 classes are more than the 191 "
        "up to which it is made"
    ]
    few = run_trial(model, encode_domain(settings, target, HOW), replace(HOW, k=1000), 0)
    assert set(BASELINE_NAMES) <= set(few.probabilities)


def test_prediction_sets_are_scored_on_the_test_examples(target, settings, model):
    how = replace(HOW, k=10)
    data = encode_domain(settings, target, how)
    trials = [run_trial(model, data, how, number) for number in range(2)]
    found = score_sets(trials, data)
    assert 0.5 < found.coverage <= 1
    assert 1 <= found.size <= 4
    assert 0 <= found.asked <= 1
    every = [replace(trial, classifier=replace(trial.classifier, threshold=0.0)) for trial in trials]
    assert score_sets(every, data).model_dump() == {"coverage": 1, "size": 4, "asked": 1}
    assert (
        score_sets([replace(trials[0], classifier=trials[0].classifier.with_temperature(1.0)), trials[1]], data) is None
    )


def test_a_label_that_only_the_test_has_is_never_predicted_and_costs_a_finite_log_loss(made, settings, letters, model):
    def only_in_test(frame):
        test = [label == "gap 1" or i % 2 == 0 for i, label in enumerate(frame["label"])]
        return frame.assign(split=["test" if t else "train" for t in test])

    data = encode_domain(settings, made("gap", role="target", split=only_in_test), HOW)
    trial = run_trial(model, data, HOW, 0)
    for p in trial.probabilities.values():
        assert p.shape[1] == 3
        assert p[:, 1].max() < 1e-6
    assert torch.isfinite(torch.log_softmax(trial.classifier.logits(data.test), 1)).all()


def test_more_shots_than_there_are_examples_take_all_of_them(target, settings, letters):
    data = encode_domain(settings, target, HOW)
    rows, _ = support_of(data, replace(HOW, k=1000), 0)
    assert sorted(rows.tolist()) == list(range(len(data.train_y)))


@pytest.mark.parametrize("missing", [None, "calm", "rising", "falling"])
def test_a_market_of_shared_labels_may_lack_a_state_in_its_labelled_days(made, settings, market_model, missing):
    target = made(
        "fresh",
        first="2005-01-03",
        role="target",
        split=lambda f: f[(f["label"] != missing) | (f["split"] == "test")],
    )
    data = encode_domain(settings, target, HOW)
    trial = run_trial(market_model, data, HOW, 0)
    plain = (kind.name for kind in (*BASELINES, *PLAIN_STRATEGIES))
    assert set(trial.probabilities) == {OURS, *plain, *market_model.learners, "opinion_pool"}
    assert {p.shape for p in trial.probabilities.values()} == {(len(data.test_y), 3)}
    assert all(torch.isfinite(p).all() for p in trial.probabilities.values())
