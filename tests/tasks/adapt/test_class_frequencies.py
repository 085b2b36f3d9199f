"""Scores at the class frequencies of the pool."""

import numpy as np
import pytest
import torch

from learners.classifier import Affine, Classifier
from tasks.adapt.class_frequencies import at_pool_frequencies, frequency_weights
from tasks.adapt.gate import score

SHIFT = torch.tensor([1.0, -0.5, 0.0])


def test_weights_make_examples_as_frequent_as_the_pool():
    y = torch.tensor([0] * 10 + [1] * 10 + [2] * 20)
    weights = frequency_weights(SHIFT, torch.tensor([0, 1, 2]), y)
    assert weights.mean() == pytest.approx(1)
    shares = np.array([weights[y == c].sum() for c in range(3)]) / len(y)
    np.testing.assert_allclose(shares, torch.softmax(SHIFT.double(), 0), rtol=1e-6)
    assert frequency_weights(None, y, y) is None


def test_no_example_decides_alone():
    y = torch.tensor([0] * 999 + [1])
    weights = frequency_weights(torch.tensor([-3.0, 3.0]), torch.tensor([0, 1]), y)
    assert weights.max() / weights.min() <= 25 + 1e-9


def test_probabilities_move_as_those_of_the_model_in_service():
    model = Classifier((Affine(torch.eye(3), torch.zeros(3)),), temperature=0.7, shift=SHIFT)
    x = torch.randn(6, 3, generator=torch.Generator().manual_seed(0))
    p = model.predict_proba(x).double().numpy()
    np.testing.assert_allclose(at_pool_frequencies(p, SHIFT), model.in_use().predict_proba(x), atol=1e-6)
    assert at_pool_frequencies(p, None) is p


def test_a_weighted_score_is_that_of_examples_repeated():
    rng = np.random.default_rng(0)
    p, y, times = rng.dirichlet(np.ones(3), 20), rng.integers(0, 3, 20), rng.integers(1, 5, 20)
    weighted, repeated = score(p, y, "h", p, times.astype(float)), score(p.repeat(times, 0), y.repeat(times), "h")
    assert weighted.value == pytest.approx(repeated.value)
    assert weighted.log_loss == pytest.approx(repeated.log_loss)
    assert (weighted.weighted, repeated.weighted) == (True, False)
