"""Scores as they will be in use: under the class frequencies of the pool, not under those of what people labelled."""

import numpy as np
import torch
from torch import Tensor

from learners.choice.portfolio import LARGEST_WEIGHT


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
    if shift is None:
        return p
    logits = np.log(np.maximum(p, 1e-30)) + shift.double().numpy()
    moved = np.exp(logits - logits.max(1, keepdims=True))
    return moved / moved.sum(1, keepdims=True)
