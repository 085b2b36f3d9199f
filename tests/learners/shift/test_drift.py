"""Two-sample tests keep their false-alarm rate, find real changes, and bear examples that are all the same."""

import pytest
import torch
from torch.nn import functional as F

from learners.shift.drift import FEWEST, distances_to_nearest, divisions, draw_rows, drift_test, mean_test, mmd_test
from learners.shift.label_shift import label_shift, proportions

ALPHA = 0.05


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def probabilities(x):
    return F.softmax(4 * x[:, :3], dim=1)


def run(new, old, seed=0, alpha=ALPHA):
    return drift_test(new, old, probabilities(new), probabilities(old), alpha, seeded(seed), resolution=4)


def test_unchanged_examples_raise_an_alarm_no_more_often_than_stated():
    found = 0
    for seed in range(60):
        x = normal(120, 8, seed=seed)
        found += run(x[:40], x[40:], seed).found
    assert found <= 8  # of 60 at 5 %: more has probability 0.003


def test_a_mixture_with_other_examples_is_found():
    found = 0
    for seed in range(20):
        x = normal(300, 8, seed=seed)
        x[:30] += torch.tensor([0, 0, 0, 0, 0, 0, 3.0, 3.0])
        found += run(x[:100], x[100:], seed).found
    assert found == 20


def test_a_change_of_labels_alone_is_found_by_their_probabilities():
    x = F.one_hot(torch.tensor([0] * 60 + [1] * 40 + [0] * 100 + [1] * 100), 2) + 0.0
    weights = divisions(100, 200, seeded(), 199)
    same = mean_test(x[:100], x[100:], ALPHA, weights)
    assert same.p > ALPHA
    x[40:60] = torch.tensor([0.0, 1.0])
    x[:40] = torch.tensor([0.0, 1.0])
    assert mean_test(x[:100], x[100:], ALPHA, weights).p == pytest.approx(1 / 200)


def test_the_statistic_is_the_squared_distance_of_the_mean_embeddings():
    new, old = normal(31, 5), normal(40, 5, seed=1)
    found = mmd_test(new, old, ALPHA, divisions(31, 40, seeded(), 99))
    x = F.normalize(torch.cat([new, old]), dim=1)
    apart = torch.cdist(x, x).square()
    k = torch.exp(-apart / apart[*torch.triu_indices(71, 71, 1)].median())
    assert found.statistic == pytest.approx(
        float(k[:31, :31].mean() + k[31:, 31:].mean() - 2 * k[:31, 31:].mean()), rel=1e-4
    )


def test_an_alarm_is_a_statistic_above_the_threshold():
    for seed in range(30):
        x = normal(80, 4, seed=seed)
        x[:40, 0] += 0.3
        weights = divisions(40, 40, seeded(seed), 99)
        for found in (mmd_test(x[:40], x[40:], ALPHA, weights), mean_test(x[:40], x[40:], ALPHA, weights)):
            assert (found.p <= ALPHA) == (found.statistic > found.threshold)


def test_equal_examples_on_both_sides_are_no_drift_and_nothing_is_nan():
    x = torch.ones(40, 6)
    found = run(x, x)
    assert (found.p, found.found, found.features.statistic) == (1.0, False, 0.0)


def test_one_example_many_times_against_varied_ones_is_drift():
    assert run(normal(1, 6).repeat(40, 1), normal(60, 6, seed=1)).found


def test_too_few_examples_and_impossible_rates_are_refused():
    x = normal(80, 4)
    with pytest.raises(ValueError, match=f"3 new and 40 old examples: {FEWEST} of each are needed"):
        run(x[:3], x[40:])
    with pytest.raises(ValueError, match="alpha = 0"):
        run(x[:40], x[40:], alpha=0)


def test_the_smallest_rate_can_still_be_reached():
    x = normal(80, 4)
    x[:40] += 5
    assert run(x[:40], x[40:], alpha=0.001).found


def test_a_part_is_the_same_for_the_same_seed_and_no_larger_than_asked():
    assert draw_rows(50, seeded(), 10).tolist() == draw_rows(50, seeded(), 10).tolist()
    assert len(draw_rows(50, seeded(), 10).unique()) == 10
    assert draw_rows(5, seeded(), 10).tolist() == [0, 1, 2, 3, 4]


def test_an_old_example_is_at_no_distance():
    old = normal(20, 6)
    assert torch.allclose(distances_to_nearest(old[3:5] * 7, old), torch.zeros(2), atol=1e-6)
    assert distances_to_nearest(-old[:1], old[:1]).item() == pytest.approx(2)


# Label proportions


def scores(y, classes, seed=0):
    """Calibrated probabilities of a classifier that sees one noisy number of each class."""
    x = normal(len(y), classes, seed=seed)
    x[torch.arange(len(y)), y] += 2.0
    return F.softmax(2 * x, dim=1)


def test_proportions_are_found_though_the_classifier_expects_even_ones():
    y = torch.tensor([0] * 700 + [1] * 250 + [2] * 50)
    assert proportions(scores(y, 3)).tolist() == pytest.approx([0.7, 0.25, 0.05], abs=0.04)


def test_labels_that_never_come_have_none_and_nothing_is_nan():
    y = torch.tensor([0] * 300 + [1] * 300)
    found = proportions(scores(y, 6))
    assert found.sum().item() == pytest.approx(1)
    assert found[2:].max() < 0.02
    certain = F.one_hot(torch.zeros(40, dtype=torch.long), 4) + 0.0
    assert proportions(certain).tolist() == pytest.approx([1, 0, 0, 0])


def test_the_interval_holds_the_change_of_a_label_and_zero_for_one_that_did_not_change():
    old = torch.tensor([0] * 300 + [1] * 300 + [2] * 300)
    new = torch.tensor([0] * 300 + [1] * 60 + [2] * 180)
    found = label_shift(scores(new, 3), scores(old, 3, seed=1), seeded())
    assert found.low[1] < 60 / 540 - 1 / 3 < found.high[1] < 0
    assert 0 < found.low[0] < 300 / 540 - 1 / 3 < found.high[0]
    assert found.low[2] < 0 < found.high[2]
