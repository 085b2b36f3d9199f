"""Which unlabelled examples to label next: those that stand for most of the pool."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

WIDTH = 0.3  # of the kernel: examples whose cosine is 0.7 are alike to exp(-1)


@dataclass(frozen=True)
class Suggestion:
    """Pool rows to label [n], best first, and how many pool examples each is the closest example to label for [n]."""

    rows: Tensor
    stands_for: Tensor


@torch.no_grad()
def suggest(pool_x: Tensor, support_x: Tensor, n: int) -> Suggestion:
    """Return the n pool examples that, with those labelled already, cover the pool best; all of them if n is larger.

    Greedy maximisation of the facility location function of what is labelled, L, over pool examples i:

        f(L) = sum_i max_{j in L} s_ij,    s_ij = exp((cos(x_i - m, x_j - m) - 1) / WIDTH),    m the pool's mean

    (Wei, Iyer & Bilmes, "Submodularity in Data Subset Selection and Active Learning", ICML 2015; greedy is within
    1 - 1/e of the best, Nemhauser, Wolsey & Fisher 1978). A gain is large where examples are many and alike and nothing
    near them has a label, so that a batch has no two of a kind and no outlier. Uncertainty has no part in it: with
    few labels a class the most uncertain examples are outliers, and labelling them is worse than choosing at random
    (Hacohen, Dekel & Weinshall, "Active Learning on a Budget", ICML 2022).

    Args:
        pool_x: [U, D] unlabelled features; memory grows as U^2.
        support_x: [S, D] features that have a label; S may be 0.
    """
    alike = _similarity(pool_x, support_x)
    covered = alike[:, len(pool_x) :].max(1).values if len(support_x) else pool_x.new_zeros(len(pool_x))
    alike = alike[:, : len(pool_x)]
    owner = pool_x.new_full((len(pool_x),), -1, dtype=torch.long)
    taken = torch.zeros(len(pool_x), dtype=torch.bool)
    chosen: list[int] = []
    for turn in range(min(n, len(pool_x))):
        gain = (alike - covered[:, None]).clamp_min(0).sum(0)
        row = int(gain.masked_fill(taken, -1).argmax())
        closer = alike[:, row] > covered
        owner[closer] = turn
        covered = torch.maximum(covered, alike[:, row])
        taken[row] = True
        chosen.append(row)
    stands_for = torch.bincount(owner[owner >= 0], minlength=len(chosen))
    return Suggestion(torch.tensor(chosen, dtype=torch.long), stands_for)


def _similarity(pool: Tensor, support: Tensor) -> Tensor:
    """Return how alike pool examples are to those of pool and support, [U, U + S]."""
    unit = F.normalize(torch.cat([pool, support]) - pool.mean(0), dim=1)
    return ((unit[: len(pool)] @ unit.T - 1) / WIDTH).exp()
