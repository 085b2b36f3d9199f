"""PT-MAP: features made Gaussian, and classes of one size in the pool."""

import torch
from torch import Tensor
from torch.nn import functional as F

from learners.base import one_hot
from learners.classifier import Classifier, Columns
from learners.transductive.centres import CentreLearner, mean_of, minus_distances, nearest

SHARPNESS, MOVE, EPOCHS = 10.0, 0.2, 20
MOST, NEAR = 1000, 1e-6  # rounds of Sinkhorn's, and when they end


class PTMAP(CentreLearner):
    """Centres that move a fifth of the way, 20 times, to the means of the support and of a pool transported to them.

    Features become z = sign(x) sqrt|x| at unit length, less the mean of their part (support, pool), at unit length.
    The transport plan of the pool gives each class as many examples, at cost |z - m|^2 and entropy 1 / 10 (R. Sinkhorn
    1967). The paper's features are not negative; those of texts are, and keep their sign here. Other examples are
    centred as the pool is.

    Y. Hu, V. Gripon, S. Pateux. Leveraging the feature distribution in transfer-based few-shot learning. ICANN 2021.
    https://arxiv.org/abs/2006.03806
    """

    name = "pt-map"

    @torch.no_grad()
    def solve(self, x: Tensor, y: Tensor, pool: Tensor) -> Classifier:
        x, pool = (F.normalize(part.sign() * part.abs().sqrt(), dim=-1) for part in (x, pool))
        middle = Columns((pool if len(pool) else x).mean(0), torch.ones(x.shape[1], dtype=x.dtype))
        layers = ("signed root", "normalise", middle, "normalise")
        x, pool = F.normalize(x - x.mean(0), dim=-1), F.normalize(middle(pool), dim=-1)
        labels = one_hot(y, int(y.max()) + 1, x.dtype)
        centres = mean_of(labels, x)
        for _ in range(EPOCHS if len(pool) else 0):
            plan = transport(-minus_distances(pool, centres))
            centres = centres + MOVE * (mean_of(torch.cat([labels, plan]), torch.cat([x, pool])) - centres)
        return nearest(layers, centres, SHARPNESS)


def transport(cost: Tensor) -> Tensor:
    """Return the plan [U, N] of costs [U, N]: its rows have sum 1, its columns U / N, by Sinkhorn's rounds."""
    plan = (-SHARPNESS * cost).softmax(1)
    column = len(plan) / plan.shape[1]
    for _ in range(MOST):
        plan = plan * (column / plan.sum(0).clamp_min(1e-30))
        rows = plan.sum(1, keepdim=True)
        plan = plan / rows
        if (rows - 1).abs().max() < NEAR:
            break
    return plan
