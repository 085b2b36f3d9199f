"""Measures against numbers worked out by hand, and intervals against what they promise."""

import numpy as np
import pytest
from sklearn.metrics import confusion_matrix, f1_score, precision_recall_fscore_support, recall_score

from domains.objective import ACCURACY
from learners.metrics import (
    accuracy,
    accuracy_interval,
    balanced_accuracy,
    class_measures,
    clustered_bootstrap,
    confusion,
    ece,
    ece_by_chance,
    log_loss,
    macro_f1,
    mean_interval,
    paired_bootstrap,
)
from learners.objective import majority_value

P = np.array([[0.8, 0.2], [0.4, 0.6], [0.9, 0.1], [0.3, 0.7]])
Y = np.array([0, 0, 0, 1])  # the second is wrong


def calibrated(rng, n, labels=5):
    """Probabilities and labels that were drawn from them."""
    p = rng.dirichlet(np.ones(labels), n)
    return p, (p.cumsum(1) > rng.random((n, 1))).argmax(1)


def test_measures_have_the_values_of_their_formulas():
    assert accuracy(P, Y) == 0.75
    assert log_loss(P, Y) == pytest.approx(-np.log([0.8, 0.4, 0.9, 0.7]).mean())
    assert ece(P, Y, bins=10) == pytest.approx((0.2 + 0.6 + 0.1 + 0.3) / 4)


def test_ece_compares_accuracy_and_confidence_bin_by_bin():
    p = np.tile([0.75, 0.25], (8, 1))
    assert ece(p, [0, 0, 0, 0, 0, 0, 1, 1]) == pytest.approx(0)
    assert ece(p, [0] * 8) == pytest.approx(0.25)


def test_the_interval_over_test_examples_is_wilsons_and_never_empty():
    right = np.array([1, 0, 1, 1, 0, 1, 1, 1.0])
    p = np.stack([right, 1 - right], 1)
    a, half = accuracy_interval(p, np.zeros(8, int))
    assert a == 0.75
    assert half == pytest.approx(0.75 - 0.4093, abs=1e-4)  # Wilson: 0.4093 to 0.9285
    assert accuracy_interval(np.tile([1.0, 0.0], (100, 1)), np.zeros(100, int)) == (1.0, pytest.approx(0.037, abs=1e-3))
    assert np.isnan(accuracy_interval(p[:1], [0])[1])
    assert np.isnan(accuracy_interval(np.full((3, 2), np.nan), [0, 0, 0])).all()


def test_measures_of_labels_are_those_of_scikit_learn():
    p, y = calibrated(np.random.default_rng(0), 200, labels=6)
    p[:, 4] = 0  # never predicted
    y[y == 5] = 0  # without examples, though predicted
    found = class_measures(p, y)
    theirs = precision_recall_fscore_support(y, p.argmax(1), labels=range(6), zero_division=np.nan)
    for mine, expected in zip(found, theirs, strict=True):
        assert mine == pytest.approx(expected, nan_ok=True)
    assert np.isnan(found.precision[4])
    assert found.recall[4] == 0
    assert np.isnan(found.recall[5])
    assert found.f1[5] == 0
    assert (confusion(p, y) == confusion_matrix(y, p.argmax(1), labels=range(6))).all()
    assert balanced_accuracy(p, y) == pytest.approx(recall_score(y, p.argmax(1), labels=range(5), average="macro"))
    assert macro_f1(p, y) == pytest.approx(f1_score(y, p.argmax(1), average="macro"))


def test_examples_of_a_label_that_is_never_predicted_are_errors():
    p, y = np.tile([0.7, 0.3, 0.0], (4, 1)), [0, 0, 0, 2]
    assert accuracy(p, y) == 0.75
    assert balanced_accuracy(p, y) == 0.5
    assert macro_f1(p, y) == pytest.approx((6 / 7 + 0) / 2)  # label 1 is neither there nor predicted


def test_the_share_of_the_most_frequent_label():
    assert majority_value(ACCURACY, [2, 0, 2, 2]) == 0.75
    assert np.isnan(majority_value(ACCURACY, []))


def test_certain_and_wrong_costs_a_finite_log_loss():
    assert 10 < log_loss([[1.0, 0.0]], [1]) < 100


@pytest.mark.parametrize("measure", [accuracy, log_loss, ece, balanced_accuracy, macro_f1])
def test_a_missing_probability_or_no_example_at_all_gives_nan_and_no_score(measure):
    p = P.copy()
    p[3, 0] = np.nan
    assert np.isnan(measure(p, Y))
    assert np.isnan(measure(np.empty((0, 2)), np.empty(0, int)))


@pytest.mark.parametrize("n", [100, 1000])
def test_ece_of_a_calibrated_model_is_what_chance_alone_gives(n):
    rng = np.random.default_rng(0)
    trials = [calibrated(rng, n) for _ in range(100)]
    measured = np.mean([ece(p, y) for p, y in trials])
    assert measured == pytest.approx(np.mean([ece_by_chance(p) for p, _ in trials]), rel=0.1)


def test_mean_interval_is_students_and_unknown_for_one_value():
    mean, half = mean_interval([1.0, 2.0, 3.0, 4.0])
    assert mean == 2.5
    assert half == pytest.approx(3.1824463 * np.std([1, 2, 3, 4], ddof=1) / 2)
    assert np.isnan(mean_interval([0.5])[1])


def test_paired_bootstrap_covers_the_true_difference_about_95_times_in_100():
    rng = np.random.default_rng(1)
    covered = 0
    for _ in range(300):
        shared = rng.random(200) < 0.6  # both right; else each by its own luck
        a, b = shared | (rng.random(200) < 0.3), shared | (rng.random(200) < 0.1)
        _, low, high = paired_bootstrap(a, b, rng)
        covered += low <= 0.4 * (0.3 - 0.1) <= high
    assert 0.90 <= covered / 300 <= 0.99


def test_paired_bootstrap_takes_any_score_and_agrees_with_plain_resampling():
    rng = np.random.default_rng(2)
    a, b = rng.random(50), rng.random(50)
    plain = (a - b)[rng.integers(0, 50, (4000, 50))].mean(1)
    difference, low, high = paired_bootstrap(a, b, rng, n=4000)
    assert difference == pytest.approx((a - b).mean())
    assert (low, high) == pytest.approx(np.quantile(plain, (0.025, 0.975)), abs=0.01)


def test_paired_bootstrap_refuses_scores_of_different_examples():
    with pytest.raises(ValueError, match="same examples"):
        paired_bootstrap([1, 0, 1], [1, 0], np.random.default_rng(0))


def test_a_bootstrap_of_clusters_covers_the_mean_of_all_clusters_where_that_of_values_does_not():
    rng, covered = np.random.default_rng(3), {"clusters": 0, "values": 0}
    for _ in range(200):
        clusters = rng.normal(0, 1, (8, 1)) + rng.normal(0, 1, (8, 10))
        _, low, high = clustered_bootstrap([*clusters], rng, n=500)
        covered["clusters"] += low <= 0 <= high
        _, low, high = clustered_bootstrap([clusters.ravel()], rng, n=500)
        covered["values"] += low <= 0 <= high
    assert covered["clusters"] >= 170
    assert covered["values"] <= 140


def test_a_bootstrap_of_one_cluster_is_that_of_its_values_and_each_cluster_counts_the_same():
    rng = np.random.default_rng(4)
    values = rng.random(50)
    plain = values[rng.integers(0, 50, (4000, 50))].mean(1)
    mean, low, high = clustered_bootstrap([values], rng, n=4000)
    assert mean == pytest.approx(values.mean())
    assert (low, high) == pytest.approx(np.quantile(plain, (0.025, 0.975)), abs=0.01)
    assert clustered_bootstrap([[1.0] * 9, [0.0]], rng)[0] == 0.5
    for nothing in ([], [[1.0], []]):
        with pytest.raises(ValueError, match="values in every cluster"):
            clustered_bootstrap(nothing, rng)
