"""Scores of examples have the objective as their mean, and labels are named for what is to be best."""

import numpy as np
import pytest

from domains.objective import ACCURACY, OBJECTIVES
from learners import metrics
from learners.objective import naming_offsets, score_each, tilt, value_of

FREQUENT = np.array([0.85, 0.1, 0.05])
MEASURE = {
    "accuracy": metrics.accuracy,
    "balanced_accuracy": metrics.balanced_accuracy,
    "macro_f1": metrics.macro_f1,
}


def drawn(n, seed=0, noise=1.2):
    """Calibrated probabilities [n, 3] of labels [n] that are as frequent as FREQUENT."""
    rng = np.random.default_rng(seed)
    y = rng.choice(3, n, p=FREQUENT)
    x = np.eye(3)[y] + noise * rng.normal(size=(n, 3)) / 2
    likelihood = np.exp(-((x[:, None] - np.eye(3)) ** 2).sum(2) * 2 / noise**2)
    p = likelihood * FREQUENT
    return p / p.sum(1, keepdims=True), y


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_the_mean_of_the_scores_is_the_measure(objective):
    p, y = drawn(300)
    named = p.argmax(1)
    assert score_each(objective, named, y).mean() == pytest.approx(MEASURE[objective](p, y))
    times = np.random.default_rng(1).integers(1, 5, len(y))  # a weight is how often an example counts
    again = np.repeat(np.arange(len(y)), times)
    assert value_of(objective, named, y, times) == pytest.approx(MEASURE[objective](p[again], y[again]))
    assert np.isnan(value_of(objective, [], []))
    assert value_of(objective, y, y) == pytest.approx(1.0)
    assert value_of(objective, np.full(len(y), 1), np.full(len(y), 0)) == 0


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_a_bootstrap_of_the_scores_is_about_one_of_the_measure(objective):
    p, y = drawn(400, 2)
    worse = drawn(400, 3)[0][np.random.default_rng(4).permutation(400)]
    rows = np.random.default_rng(5).integers(0, 400, (400, 400))
    direct = [MEASURE[objective](p[r], y[r]) - MEASURE[objective](worse[r], y[r]) for r in rows]
    ours, theirs = (score_each(objective, each.argmax(1), y) for each in (p, worse))
    found, low, high = metrics.paired_bootstrap(ours, theirs, np.random.default_rng(0))
    assert found == pytest.approx(MEASURE[objective](p, y) - MEASURE[objective](worse, y))
    assert high - low == pytest.approx(np.subtract(*np.quantile(direct, (0.975, 0.025))), rel=0.2)


@pytest.mark.parametrize("objective", ["balanced_accuracy", "macro_f1"])
def test_labels_named_with_the_offsets_are_better_in_the_objective(objective):
    p, y = drawn(4000, 6)
    fresh, truth = drawn(4000, 7)
    offsets = naming_offsets(objective, FREQUENT, p, y)
    gained = value_of(objective, tilt(fresh, offsets).argmax(1), truth) - value_of(objective, fresh.argmax(1), truth)
    assert gained > 0.01
    by_theory = naming_offsets(objective, FREQUENT)
    assert value_of(objective, tilt(fresh, by_theory).argmax(1), truth) > value_of(objective, fresh.argmax(1), truth)


def test_for_accuracy_the_most_probable_label_is_named():
    assert not naming_offsets(ACCURACY, FREQUENT, *drawn(50)).any()
    p = drawn(5)[0]
    assert tilt(p, None) is p
