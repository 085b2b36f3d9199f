"""Weights of the slices of the past, by how well a model of each does on the newest: learned from what followed."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

RECENT = 3  # newest slices that the others are compared with
RIDGE = 0.1  # of the proxies, at the start of meta-learning, to features of unit variance


@dataclass(frozen=True)
class Moments:
    """What a linear model needs to know of days: means over their examples, of features with a 1 before them.

    Attributes:
        gram: [..., F, F] of features with features; cross: [..., F, N] of features with one-hot labels.
    """

    gram: Tensor
    cross: Tensor

    @classmethod
    def of_days(cls, x: Tensor, y: Tensor) -> "Moments":
        """Take features [T, A, F - 1] and one-hot labels [T, A, N]; one moment a day."""
        x = torch.cat([torch.ones_like(x[..., :1]), x], -1)
        return cls(torch.einsum("taf,tag->tfg", x, x) / x.shape[1], torch.einsum("taf,tan->tfn", x, y) / x.shape[1])

    def over(self, starts: Tensor, length: int) -> "Moments":
        """Return the means over ``length`` days from each start [n] on."""
        sums = [torch.cat([torch.zeros_like(m[:1]), m.cumsum(0)]) for m in (self.gram, self.cross)]
        return Moments(*((total[starts + length] - total[starts]) / length for total in sums))

    def ridge(self, strength: Tensor | float) -> Tensor:
        """Return the weights [..., F, N] of ridge regression of the labels; the constant is not shrunk."""
        shrunk = torch.eye(self.gram.shape[-1], dtype=self.gram.dtype)
        shrunk[0, 0] = 0
        return torch.linalg.solve(self.gram + strength * shrunk, self.cross)

    def losses(self, weights: Tensor) -> Tensor:
        """Return the mean squared errors [...] of weights [..., F, N] on these days."""
        return (weights * (self.gram @ weights)).sum((-2, -1)) - 2 * (weights * self.cross).sum((-2, -1)) + 1


class DDGDA(nn.Module):
    """Weights q of the n slices of the past, of mean 1, that make it like what comes:

        q_i ~ exp( sum_r theta_r like_ir ),

    where like_ir is minus the loss on the r-th newest slice of a linear model of slice i, standardised over i. theta is
    meta-learned: a linear proxy of the past so weighted, in closed form, is to have a low loss on what followed.

    W. Li, X. Yang, W. Liu, Y. Xia, J. Bian. DDG-DA: data distribution generation for predictable concept drift
    adaptation. AAAI 2022. https://arxiv.org/abs/2201.04038. There the slices are months of one large market, and a
    gradient-boosted forecaster of returns learns from the weighted past.
    """

    def __init__(self) -> None:
        super().__init__()
        self.theta = nn.Parameter(torch.zeros(RECENT, dtype=torch.double))
        self.log_ridge = nn.Parameter(torch.tensor(RIDGE, dtype=torch.double).log())

    def weights(self, losses: Tensor, known: Tensor) -> Tensor:
        """Return q [B, n] where the first ``known`` [B] of n slices are the past; 0 for the others.

        Args:
            losses: [n, n] of the models of slices (rows) on slices (columns), oldest first.
        """
        past = torch.arange(len(losses)) < known[:, None]
        newest = losses.T[known[:, None] - 1 - torch.arange(RECENT)]  # [B, RECENT, n]
        count, seen = known[:, None, None], past[:, None]
        mean = (newest * seen).sum(2, keepdim=True) / count
        spread = ((newest - mean).square() * seen).sum(2, keepdim=True).div(count).sqrt()
        like = torch.einsum("r,brn->bn", self.theta, (mean - newest) / spread.clamp_min(1e-12))
        return torch.softmax(like.masked_fill(~past, -torch.inf), 1) * known[:, None]

    def meta_loss(self, losses: Tensor, slices: Moments, known: Tensor, following: Moments) -> Tensor:
        """Return the losses [B] on what followed the first ``known`` [B] slices of the proxies of these, weighted."""
        q = self.weights(losses, known) / known[:, None]
        past = Moments(*(torch.einsum("bn,nfg->bfg", q, each) for each in (slices.gram, slices.cross)))
        return following.losses(past.ridge(self.log_ridge.exp()))
