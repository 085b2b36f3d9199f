"""Offsets of a forecast, from all that has come true since: the older the less, and moved as far as the past says."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from learners.base import one_hot
from learners.market.log_pool import polynomials

HALF_LIFE = 250.0  # days, at the start of meta-learning
STRENGTH = 50.0  # prior precision at the start, in days


@dataclass(frozen=True)
class Evidence:
    """How far each day's labels pull the offsets, and how steeply, at offsets of 0; means over the day's assets.

    Attributes:
        pull: gradient [T, K] of log p(y); curvature: its negative second derivative [T, K, K].
    """

    pull: Tensor
    curvature: Tensor

    @classmethod
    def of(cls, logs: Tensor, y: Tensor) -> "Evidence":
        """Take log-probabilities [T, A, N] and labels [T, A]."""
        p, z = logs.exp(), columns(logs)
        mean = torch.einsum("tan,tank->tak", p, z)
        truth = one_hot(y.reshape(-1), logs.shape[2], logs.dtype).reshape(logs.shape)
        pull = torch.einsum("tan,tank->tak", truth, z) - mean
        square = torch.einsum("tan,tank,tanl->takl", p, z, z) - mean[..., :, None] * mean[..., None, :]
        return cls(pull.mean(1), square.mean(1))


class DecayedOffsets(nn.Module):
    """p(y) ~ exp( log p0(y) + sum_k c_k z_k(y) ), c for all assets and every day anew.

    z are the polynomials over the N labels (level, spread, and so on) and log p0 itself (temperature), K = N. On day
    q, of the days s whose labels are known, with weights r_s = 2^(-(q - s) / h):

        c = argmin  sum_s r_s mean_a CE_sa(c) + 1/2 sum_k lambda_k c_k^2

    by one Newton step from 0. Meta-learned are the half-life h and the precisions lambda, by what followed in the past.
    Where it says nothing of what follows, lambda grows until nothing moves.

    M. West, P. J. Harrison, H. S. Migon. Dynamic generalized linear models and Bayesian forecasting. Journal of the
    American Statistical Association 80, 1985 (discounting).

    Args:
        ways: N. delay: days after which a label is known.
    """

    def __init__(self, ways: int, delay: int) -> None:
        super().__init__()
        self.delay = delay
        self.log_half_life = nn.Parameter(torch.tensor(HALF_LIFE).log())
        self.log_precision = nn.Parameter(torch.full((ways,), STRENGTH).log())

    def weights(self, days: Tensor, length: int) -> Tensor:
        """Return r [n, length] of the days 0 to length - 1, as seen on days [n]; 0 where the label is not known yet."""
        age = days[:, None] - torch.arange(length)
        return torch.exp2(-age.clamp_min(0) / self.log_half_life.exp()) * (age > self.delay)

    def solve(self, evidence: Evidence, days: Tensor) -> Tensor:
        """Return c [n, K] of days [n], which are positions in the evidence, or after it."""
        recency = self.weights(days, len(evidence.pull))
        curvature = torch.einsum("nt,tkl->nkl", recency, evidence.curvature) + torch.diag(self.log_precision.exp())
        return torch.linalg.solve(curvature, recency @ evidence.pull)

    def meta_loss(self, evidence: Evidence, days: Tensor, logs: Tensor, y: Tensor) -> Tensor:
        """Return the mean loss [] of what followed days [n]: log-probabilities [n, m, A, N] and labels [n, m, A]."""
        return F.cross_entropy(moved(logs, self.solve(evidence, days)[:, None, None]).flatten(0, -2), y.flatten())


def columns(logs: Tensor) -> Tensor:
    """Return z [..., N, K] of log-probabilities [..., N]: the polynomials over labels, then the log-probabilities."""
    basis = polynomials(logs.shape[-1]).T.to(logs)
    return torch.cat([basis.expand(*logs.shape, -1), logs[..., None]], -1)


def moved(logs: Tensor, offsets: Tensor) -> Tensor:
    """Return log-probabilities [..., N] moved by offsets [..., K]."""
    return torch.log_softmax(logs + (columns(logs) @ offsets[..., None])[..., 0], -1)
