"""The average of strategies: each counts as much as it is likely to be the best.

J. A. Hoeting, D. Madigan, A. E. Raftery, C. T. Volinsky. Bayesian model averaging: a tutorial. Statistical Science 14,
1999. https://doi.org/10.1214/ss/1009212519
"""

from collections.abc import Mapping

import numpy as np
import torch
from scipy.special import ndtr
from torch import Tensor
from torch.nn import functional as F

WIDER = 2.0  # times the deviation of a gain: a new domain is farther away than source domains are from each other
LEAST = 0.05  # weight, below which a strategy is left out
POINTS = 801  # of the grid that is integrated over


def chances_of_best(means: Mapping[str, float], deviations: Mapping[str, float], safe: str) -> dict[str, float]:
    """Return how likely each strategy is to gain the most over the fallback ``safe``, whose gain is 0 itself.

    Gains are independent and normal, of WIDER times these deviations. A strategy is best with

        P(i) = int_0^inf p_i(g) prod_{j != i} P_j(g) dg,

    and the fallback is with what is left. Of those below LEAST nothing is kept.
    """
    names = [name for name in means if name != safe]
    mean = np.array([means[name] for name in names])
    spread = WIDER * np.array([max(deviations[name], 1e-4) for name in names])
    found = {safe: 1.0}
    if names:
        top = max(0.0, float((mean + 6 * spread).max()))
        g = np.linspace(0.0, top, POINTS)[:, None] if top else np.zeros((1, 1))
        below = ndtr((g - mean) / spread)  # [POINTS, strategies]
        steps = np.diff(below, axis=0)
        rest = np.exp(np.log(below.clip(1e-300)).sum(1, keepdims=True) - np.log(below.clip(1e-300)))
        chances = (steps * (rest[1:] + rest[:-1]) / 2).sum(0)
        found = dict(zip(names, chances.tolist(), strict=True)) | {safe: max(0.0, 1 - float(chances.sum()))}
    kept = {name: chance for name, chance in found.items() if chance >= LEAST}
    kept = kept or {max(found, key=lambda name: found[name]): 1.0}
    return {name: chance / sum(kept.values()) for name, chance in kept.items()}


def average(logs: Mapping[str, Tensor], weights: Mapping[str, float]) -> Tensor:
    """Return the log-probabilities [n, N] of the logarithmic pool of strategies that say ``logs`` [n, N]."""
    return F.log_softmax(torch.stack([weight * logs[name] for name, weight in weights.items()]).sum(0), 1)
