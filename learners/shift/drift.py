"""Whether new examples come from where old ones came: a two-sample test on their features.

A. Gretton, K. Borgwardt, M. Rasch, B. Schölkopf, A. Smola. A kernel two-sample test. JMLR 13, 2012.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

FEWEST = 30  # examples a side; of fewer even a large change is missed more often than found
MOST = 1000  # examples a side that are compared; of more a random part
RESOLUTION = 10  # divisions are RESOLUTION / alpha, so that the smallest p-value is a fifth of alpha
LEAST_RATE, MOST_RATE = 0.001, 0.2  # false-alarm rates that can be asked for


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


@dataclass(frozen=True)
class Drift:
    """The outcome of two tests, of features and of label probabilities, with one false-alarm rate for both.

    Attributes:
        p: twice the smaller of the two p-values (Bonferroni), at most 1.
        alpha: the false-alarm rate asked for; ``found`` where p is no larger.
        features, labels: the outcome of each test, with its threshold at alpha / 2.
    """

    p: float
    alpha: float
    features: TwoSample
    labels: TwoSample

    @property
    def found(self) -> bool:
        return self.p <= self.alpha


def drift_test(
    new: Tensor,
    old: Tensor,
    new_p: Tensor,
    old_p: Tensor,
    alpha: float,
    generator: torch.Generator,
    resolution: int = RESOLUTION,
) -> Drift:
    """Test whether new examples are of the distribution of old ones.

    If they are, drift is found with probability at most alpha, whatever the distribution and the classifier: old and
    new examples are then exchangeable, and every division of them is as likely as the true one.

    Args:
        new, old: features [n, D] and [m, D]; new_p, old_p: a classifier's probabilities [n, N] and [m, N].
        resolution: even, 2 or more; more makes p finer and takes longer, the false-alarm rate stays.

    Raises:
        ValueError: fewer than FEWEST examples on a side, or alpha outside LEAST_RATE to MOST_RATE.
    """
    if min(len(new), len(old)) < FEWEST:
        raise ValueError(f"{len(new)} new and {len(old)} old examples: {FEWEST} of each are needed")
    if not LEAST_RATE <= alpha <= MOST_RATE:
        raise ValueError(f"alpha = {alpha}: from {LEAST_RATE} to {MOST_RATE}")
    weights = divisions(len(new), len(old), generator, round(resolution / alpha) - 1)
    features, labels = mmd_test(new, old, alpha / 2, weights), mean_test(new_p, old_p, alpha / 2, weights)
    return Drift(min(1.0, 2 * min(features.p, labels.p)), alpha, features, labels)


def divisions(new: int, old: int, generator: torch.Generator, permutations: int) -> Tensor:
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
def distances_to_nearest(new: Tensor, old: Tensor) -> Tensor:
    """Return how far each of [n, D] is from the nearest of [m, D], 1 - cosine, 0 to 2: [n]."""
    return 1 - (F.normalize(new, dim=1) @ F.normalize(old, dim=1).T).max(1).values


def draw_rows(size: int, generator: torch.Generator, most: int = MOST) -> Tensor:
    """Return the rows, in order, of a random part of ``size`` examples, all if there are no more than ``most``."""
    return torch.randperm(size, generator=generator)[:most].sort().values
