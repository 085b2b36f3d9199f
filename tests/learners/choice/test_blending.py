"""A member's share follows held-out examples as far as they are many, and is the usual one where they are few."""

import pytest
import torch
from torch.nn import functional as F

from learners.choice.blending import LEAST, Member, blend
from learners.classifier import Affine, Blend, Classifier


def members(n, useful):
    """Two members of three labels, of which the second knows them (or nothing), and the labels [n]."""
    generator = torch.Generator().manual_seed(0)
    y = torch.arange(n) % 3
    first = F.log_softmax(F.one_hot(y, 3) * 0.5 + torch.randn(n, 3, generator=generator), 1)
    second = F.log_softmax((F.one_hot(y, 3) * 3.0 if useful else 0) + torch.randn(n, 3, generator=generator), 1)
    fit = lambda: Classifier((Affine(torch.eye(3), torch.zeros(3)),))  # noqa: E731
    return [Member(first, fit), Member(second, fit, usual=0.2)], y


def share(n, useful):
    found, *_ = blend(*members(n, useful), torch.ones(n, dtype=torch.double))
    layer = found.layers[0]
    return layer.weights[1] if isinstance(layer, Blend) else 0.0


def test_of_few_examples_the_share_is_near_the_usual_one_and_of_many_near_the_best():
    assert share(6, useful=True) < 0.35
    assert share(600, useful=True) > 0.7
    assert share(6, useful=False) == pytest.approx(0.2, abs=0.05)
    assert share(3000, useful=False) == 0  # below LEAST
    assert 0 < LEAST < 0.2
