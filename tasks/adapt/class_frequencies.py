"""Scores as they will be in use: under the class frequencies of the pool, not under those of what people labelled."""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from learners.choice.comparison import LARGEST_WEIGHT
from learners.classifier import Classifier
from learners.objective import tilt


def frequency_weights(shift: Tensor | None, support_y: Tensor, y: Tensor) -> np.ndarray | None:
    """Return weights [m] of mean 1 under which classes are as frequent among examples as in the pool.

    w_i = pi(y_i) / q(y_i), with q the share of a class among the examples and pi ~ p exp(shift), p being its share of
    the support set; within LARGEST_WEIGHT and its inverse.

    Args:
        shift: [N] by which the pool's frequencies move a model's logits; None, and so is what is returned: not at all.
        support_y: [S] labels of the support set; y: [m] labels of the examples.
    """
    if shift is None:
        return None
    ways = len(shift)
    frequent = torch.bincount(support_y, minlength=ways).double() * shift.double().exp()
    shares = torch.bincount(y, minlength=ways).double() / len(y)
    weights = (frequent / frequent.sum() / shares.clamp_min(1e-12))[y].clamp(1 / LARGEST_WEIGHT, LARGEST_WEIGHT)
    return (weights / weights.mean()).numpy()


def at_pool_frequencies(p: np.ndarray, shift: Tensor | None) -> np.ndarray:
    """Return probabilities [m, N] as a model with that shift [N] gives them in service (``Classifier.in_use``)."""
    return tilt(p, None if shift is None else shift.double().numpy())


def preferences(model: Classifier, p: np.ndarray) -> np.ndarray:
    """Return probabilities [m, N] moved so that the greatest one's label is the one a model names.

    A model that names the most probable label leaves them as they are.
    """
    return p if model.offsets is None else model.tilt(at_pool_frequencies(p, model.shift))


class Said(NamedTuple):
    """What a model says of m examples: probabilities [m, N], those in service [m, N], and the labels it names [m]."""

    p: np.ndarray
    in_use: np.ndarray
    named: np.ndarray

    @classmethod
    def of(cls, model: Classifier, p: np.ndarray) -> "Said":
        """Return what a model says where its probabilities are p, before they are shifted by the pool."""
        served = at_pool_frequencies(p, model.shift)
        return cls(p, served, model.name(served))
