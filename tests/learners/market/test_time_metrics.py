"""Measures of forecasts over time: what they are at the truth, by hand, and how wide intervals are where days cling."""

import numpy as np
import pytest

from learners.market.time_metrics import block_interval, information_coefficients, qlike


def test_qlike_is_zero_at_the_truth_and_nowhere_else():
    variance = np.array([0.01, 0.2, 3.0])
    assert qlike(variance, variance) == pytest.approx([0, 0, 0])
    assert (qlike(variance, 2 * variance) > 0.1).all()
    assert (qlike(variance, variance / 2) > qlike(variance, 2 * variance)).all()  # too low a forecast costs more
    with pytest.raises(ValueError, match="above zero on both sides"):
        qlike([0.0], [1.0])


def test_information_coefficients_are_correlations_over_assets():
    rng = np.random.default_rng(0)
    score, outcome = rng.normal(size=(5, 20)), rng.normal(size=(5, 20))
    expected = [np.corrcoef(a, b)[0, 1] for a, b in zip(score, outcome, strict=True)]
    assert information_coefficients(score, outcome) == pytest.approx(expected)
    assert information_coefficients(np.exp(score), score, ranks=True) == pytest.approx(np.ones(5))
    assert information_coefficients(np.ones((1, 4)), [[1, 2, 3, 4]]) == pytest.approx([0])


def test_an_interval_over_blocks_knows_that_days_hang_together():
    rng = np.random.default_rng(1)
    clinging = np.repeat(rng.normal(size=30), 20)
    mean, low, high = block_interval([clinging], np.random.default_rng(0))
    _, alone_low, alone_high = block_interval([clinging], np.random.default_rng(0), block=1)
    assert low < mean < high
    assert mean == pytest.approx(clinging.mean())
    assert high - low > 2.5 * (alone_high - alone_low)


def test_the_interval_of_independent_days_is_that_of_the_normal_distribution():
    values = np.random.default_rng(2).normal(size=2000)
    _, low, high = block_interval([values, values + 1], np.random.default_rng(0))
    half = 1.96 * values.std() / np.sqrt(2000) / np.sqrt(2)
    assert (high - low) / 2 == pytest.approx(half, rel=0.2)


def test_periods_count_alike_and_an_empty_one_is_refused():
    mean, low, high = block_interval([np.zeros(500), np.ones(3)], np.random.default_rng(0))
    assert mean == low == high == 0.5
    with pytest.raises(ValueError, match="one day or more of every period"):
        block_interval([np.zeros(0)], np.random.default_rng(0))
