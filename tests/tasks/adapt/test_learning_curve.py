"""Accuracy by the number of labels: nested draws of the portfolio, bounded in cost, and what twice the labels give."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch

from learners import metrics
from tasks.adapt import learning_curve as module
from tasks.adapt.adaptation import Adaptation, encode_domain
from tasks.adapt.learning_curve import forecast_beyond, learning_curve, mean_over_draws
from tasks.adapt.trials import run_trial

HOW = Adaptation(pool=30)


@pytest.fixture
def data(target, settings):
    """Four classes of 12 labels each."""
    return encode_domain(settings, target, HOW)


def test_points_are_of_fewer_labels_than_there_are_and_the_same_every_time(data, model, monkeypatch):
    points = learning_curve(model, data, 0)
    assert [(p.shots, p.labels) for p in points] == [(1, 4), (2, 8), (5, 20), (10, 40)]
    assert all(0 <= p.accuracy <= 1 and p.ci95 is not None for p in points)
    assert points[-1].accuracy > points[0].accuracy
    monkeypatch.setattr(module, "SHOTS", (1,))
    assert learning_curve(model, data, 0) == points[:1]
    assert learning_curve(model, data, 1) != points[:1]


def test_the_labels_of_a_point_are_among_those_of_the_next(data, model, monkeypatch):
    drawn = []

    def note(model, data, rows, seed):
        drawn.append((seed, set(rows.tolist())))
        return np.array([True, False])

    monkeypatch.setattr(module, "_adapt_and_check", note)
    learning_curve(model, data, 3)
    assert [seed for seed, _ in drawn] == [*(3 * [3000, 3001, 3002]), 3000]
    for seed in (3000, 3001, 3002):
        rows = [each for at, each in drawn if at == seed]
        assert all(few < more for few, more in pairwise(rows))
    assert drawn[0][1] != drawn[1][1]


def test_a_class_with_fewer_labels_gives_what_it_has(data, model, monkeypatch):
    monkeypatch.setattr(module, "SHOTS", (2, 5, 50))
    few = torch.cat([torch.arange(len(data.train_y))[data.train_y != 0], (data.train_y == 0).nonzero()[:3, 0]])
    rare = replace(
        data, train_x=data.train_x[few], train_y=data.train_y[few], train_ngrams=data.train_ngrams[few.numpy()]
    )
    assert [(p.shots, p.labels) for p in learning_curve(model, rare, 0)] == [(2, 8), (5, 18)]


def test_points_that_would_take_long_or_cannot_be_adapted_to_are_left_out(data, model, monkeypatch):
    same = replace(data, train_x=torch.ones_like(data.train_x))
    assert learning_curve(model, same, 0) == []
    monkeypatch.setattr(module, "MOST", 40)
    assert [p.shots for p in learning_curve(model, data, 0)] == [1, 2]
    monkeypatch.setattr(module, "MOST", 3)
    assert learning_curve(model, data, 0) == []


def test_the_interval_has_the_chance_of_test_examples_and_that_of_supports():
    one = np.array([[True] * 80 + [False] * 20])
    p = np.where(one[0][:, None], [0.9, 0.1], [0.1, 0.9])
    assert mean_over_draws(one) == pytest.approx(metrics.accuracy_interval(p, np.zeros(100, int)))
    two = np.array([[True] * 90 + [False] * 10, [True] * 70 + [False] * 30])
    mean, half = mean_over_draws(two)
    assert mean == pytest.approx(0.8)
    assert half == pytest.approx((metrics.wilson_half_width(0.8, 100) ** 2 + 1.96**2 * 0.02 / 2) ** 0.5)
    assert mean_over_draws(np.array([[True]])) == (1.0, None)


def test_a_forecast_goes_on_from_what_the_adaptation_reached(data, model):
    trial = run_trial(model, data, HOW, 0)
    found = forecast_beyond(model, data, trial.strategy, 0.7, 0)
    assert found.size == 2 * 48
    assert 0.7 <= found.accuracy <= 1
    assert found.low <= found.accuracy <= found.high <= 1
    lower = forecast_beyond(model, data, trial.strategy, 0.5, 0)
    assert found.accuracy - lower.accuracy == pytest.approx(0.2)
    assert (lower.high - lower.low) == pytest.approx(found.high - found.low)


def test_nothing_is_forecast_of_few_labels_or_where_it_would_take_long(data, model, monkeypatch):
    few = replace(data, train_x=data.train_x[::6], train_y=data.train_y[::6])  # two of each class
    assert forecast_beyond(model, few, "logistic", 0.7, 0) is None
    monkeypatch.setattr(module, "MOST_AHEAD", 100)
    assert forecast_beyond(model, data, "logistic", 0.7, 0) is None
