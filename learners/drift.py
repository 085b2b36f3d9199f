"""Whether new examples come from where old ones came: a two-sample test on their features.

A. Gretton, K. Borgwardt, M. Rasch, B. Schölkopf, A. Smola. A kernel two-sample test. JMLR 13, 2012.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

FEWEST = 30  # examples a side; of fewer even a large change is missed more often than found
MOST = 1000  # examples a side that are compared; of more a random part
PERMUTATIONS = 2499  # so that the smallest p-value, of two tests at once, is below 0.001


@dataclass(frozen=True)
class TwoSample:
    """What a permutation test says.

    Attributes:
        p: share of the divisions of all examples, the true one among them, whose statistic is at least as large.
        statistic: of the true division into old and new.
        threshold: that the statistic exceeds where p is at most alpha; infinite where no p can be so small.
    """

    p: float
    statistic: float
    threshold: float


def divisions(new: int, old: int, generator: torch.Generator, permutations: int = PERMUTATIONS) -> Tensor:
    """Return weights [new + old, 1 + permutations]: 1 / new for what counts as new, -1 / old for the rest.

    The first column is the true division, new examples first; the others are random ones of the same sizes.
    """
    n = new + old
    first = torch.arange(new)
    chosen = torch.stack([first, *(torch.randperm(n, generator=generator)[:new] for _ in range(permutations))], 1)
    return torch.full((n, permutations + 1), -1 / old).scatter_(0, chosen, 1 / new)


@torch.no_grad()
def mmd_test(new: Tensor, old: Tensor, alpha: float, weights: Tensor) -> TwoSample:
    """Test whether features [n, D] and [m, D] are of one distribution, by their maximum mean discrepancy.

        MMD^2 = |mean of k(x, .) over new - mean of k(y, .) over old|^2,    k(x, y) = exp(-|x - y|^2 / median)

    of features of unit length; the median is of all |x - y|^2. The kernel is computed once: for weights w of a
    division MMD^2 = w' K w. If both are of one distribution, p is at most alpha with probability at most alpha.

    Args:
        weights: [n + m, 1 + B] of :func:`divisions`.
    """
    x = F.normalize(torch.cat([new, old]).float(), dim=1)
    apart = (2 - 2 * x @ x.T).clamp_min(0)
    rows, columns = torch.triu_indices(len(x), len(x), 1)
    scale = apart[rows, columns].median()
    if scale <= 1e-6:  # most are equal: any distance there is
        scale = apart.max()
    if scale <= 1e-6:
        return TwoSample(1.0, 0.0, 0.0)
    kernel = torch.exp(-apart / scale)
    return _judge((weights * (kernel @ weights)).sum(0), alpha)


@torch.no_grad()
def mean_test(new: Tensor, old: Tensor, alpha: float, weights: Tensor) -> TwoSample:
    """Test whether the columns of [n, N] and [m, N] (probabilities of labels) have equal means.

        T = sum over columns of (mean of new - mean of old)^2 / variance

    Columns that never vary, those of labels that never come, play no part. As :func:`mmd_test` otherwise.
    """
    p = torch.cat([new, old]).float()
    variance = p.var(0, correction=0)
    varies = variance > 1e-12
    if not varies.any():
        return TwoSample(1.0, 0.0, 0.0)
    scaled = (p[:, varies] - p[:, varies].mean(0)) / variance[varies].sqrt()
    return _judge((scaled.T @ weights).square().sum(0), alpha)


def _judge(statistics: Tensor, alpha: float) -> TwoSample:
    """Return the outcome of statistics [1 + B], the true division's first."""
    true, others = statistics[0], statistics[1:].sort(descending=True).values
    p = (1 + int((others >= true).sum())) / len(statistics)
    rank = int(alpha * len(statistics) + 1e-9)  # so many statistics, the true one among them, may be as large
    threshold = float(others[rank - 1]) if rank else float("inf")
    return TwoSample(p, float(true), threshold)


@torch.no_grad()
def distances(new: Tensor, old: Tensor) -> Tensor:
    """Return how far each of [n, D] is from the nearest of [m, D], 1 - cosine, 0 to 2: [n]."""
    return 1 - (F.normalize(new, dim=1) @ F.normalize(old, dim=1).T).max(1).values


def part(size: int, generator: torch.Generator, most: int = MOST) -> Tensor:
    """Return the rows, in order, of a random part of ``size`` examples, all if there are no more than ``most``."""
    return torch.randperm(size, generator=generator)[:most].sort().values
