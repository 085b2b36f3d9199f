"""LaplacianShot: pool examples near each other have the same label."""

import torch
from torch import Tensor
from torch.nn import functional as F

from learners.base import one_hot
from learners.classifier import Classifier, Columns
from learners.transductive.centres import CentreLearner, mean_of, minus_distances, nearest

NEIGHBOURS, STRENGTH, STEPS = 2, 0.7, 20  # as tuned by the authors for pools of uneven classes, at one and five shots


class LaplacianShot(CentreLearner):
    """Assignments u [U, N] of the pool that minimise

        sum_n sum_k u_nk |z_n - m_k|^2 + lambda / 2 sum_nm w_nm |u_n - u_m|^2,    m = the class means of the support,

    by bounds: u_n = softmax(-|z_n - m|^2 + lambda sum_m w_nm u_m), where w_nm is 1 if m is among the two neighbours of
    n in the pool. Features are centred on support and pool, and of unit length.

    The paper labels the pool itself. Here other examples are to be labelled: by their distances to the means of support
    and pool that the assignments make.

    I. Ziko, J. Dolz, E. Granger, I. Ben Ayed. Laplacian regularized few-shot learning. ICML 2020.
    https://arxiv.org/abs/2006.15486
    """

    name = "laplacian-shot"

    @torch.no_grad()
    def solve(self, x: Tensor, y: Tensor, pool: Tensor) -> Classifier:
        middle = Columns(torch.cat([x, pool]).mean(0), torch.ones(x.shape[1], dtype=x.dtype))
        x, pool = F.normalize(middle(x), dim=-1), F.normalize(middle(pool), dim=-1)
        labels = one_hot(y, int(y.max()) + 1, x.dtype)
        centres, layers = mean_of(labels, x), (middle, "normalise")
        if len(pool) <= NEIGHBOURS:
            return nearest(layers, centres, 1.0)
        near = (pool @ pool.T).fill_diagonal_(-torch.inf).topk(NEIGHBOURS).indices
        unary = minus_distances(pool, centres)
        soft = F.softmax(unary, dim=1)
        for _ in range(STEPS):
            soft = F.softmax(unary + STRENGTH * soft[near].sum(1), dim=1)
        return nearest(layers, mean_of(torch.cat([labels, soft]), torch.cat([x, pool])), 1.0)
