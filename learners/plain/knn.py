"""The k nearest neighbours (Cover & Hart 1967; weighted by distance as in Dudani 1976)."""

import torch
from torch import Tensor
from torch.nn import functional as F

from learners.base import Learner, check_support, one_hot
from learners.classifier import Affine, Classifier, Network
from learners.parts import Part, part

CLOSEST = 1e-3  # a distance below this weighs as this: a copy of a support example decides alone, but has a weight


@part
class Nearest(Part):
    """Cosines [n, S] to the shares [n, S] of the k nearest: 1 / distance on the unit sphere, 0 for the others."""

    name = "nearest"

    def __init__(self, k: int) -> None:
        super().__init__()
        self.k, self.config = k, {"k": k}

    def forward(self, cosine: Tensor) -> Tensor:
        near, index = cosine.topk(min(self.k, cosine.shape[1]), dim=1)
        weight = 1 / (2 - 2 * near).clamp_min(0).sqrt().clamp_min(CLOSEST)
        return torch.zeros_like(cosine).scatter(1, index, F.normalize(weight, p=1, dim=1))


class KNN(Learner):
    """p(c | x) = share of class c among the k support examples nearest to x by cosine, each weighing 1 / distance.

    k = 5 at any number of shots: with one shot a class the nearest example's class has the largest share.
    """

    name = "knn"
    meta_trained = False
    k = 5

    def adapt(self, support_x: Tensor, support_y: Tensor, pool_x: Tensor | None = None) -> Classifier:
        ways = check_support(support_x, support_y, self.dim, pool=pool_x)
        support = F.normalize(support_x, dim=-1)
        compare = Affine(support, support.new_zeros(len(support)))
        label = Affine(one_hot(support_y, ways, support.dtype).T, support.new_zeros(ways))
        return Classifier(("normalise", compare, Network.of(Nearest(self.k)), label, "log"))
