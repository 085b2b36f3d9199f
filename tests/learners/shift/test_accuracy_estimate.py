"""Accuracy on examples without labels: where nothing changed, what was; where much did, less and less surely."""

import numpy as np
import pytest

from learners.shift.accuracy_estimate import DOUBT, UNLIKE, Evidence, estimate_accuracy

EVEN = np.linspace(0, 1, 201)


def evidence(right=0.8, sure=0.8, typical=EVEN, n=200, m=200, **more):
    old = np.arange(m) < right * m
    return Evidence.of(old, np.full(m, 0.8), np.full(n, sure), typical, **more)


def test_of_unchanged_examples_the_estimate_is_the_accuracy_on_held_out_ones():
    found = estimate_accuracy(evidence())
    assert found.accuracy == found.before == pytest.approx(0.8)
    assert found.low < 0.8 < found.high
    more = estimate_accuracy(evidence(n=2000, m=2000))
    assert more.high - more.low < 0.6 * (found.high - found.low)


def test_doubt_and_unlikeness_lower_it_and_widen_the_interval():
    usual, doubtful = estimate_accuracy(evidence()), estimate_accuracy(evidence(sure=0.6))
    assert doubtful.accuracy == pytest.approx(0.8 - DOUBT * 0.2)
    unlike = estimate_accuracy(evidence(typical=EVEN / 4))
    assert unlike.accuracy == pytest.approx(0.8 - UNLIKE * 0.8 * 0.75)
    for found in (doubtful, unlike):
        assert found.high - found.low > usual.high - usual.low
    foreign = estimate_accuracy(evidence(right=0.3, sure=0.2, typical=np.zeros(200)))
    assert (foreign.accuracy, foreign.low) == (0, 0)


def test_held_out_examples_count_as_their_weights_say():
    weights = np.where(np.arange(200) < 160, 0.5, 3.0)
    found = evidence(weights=weights)
    assert found.before == pytest.approx(160 * 0.5 / (160 * 0.5 + 40 * 3))
    assert found.noise > evidence(right=0.4).noise  # uneven weights are worth fewer examples


def test_of_a_perfect_score_the_interval_is_not_empty():
    found = estimate_accuracy(evidence(right=1.0))
    assert found.high == 1
    assert found.low < 0.95
