"""What the transductive learners share: centres of classes, and the classifier that their distances make."""

import torch
from torch import Tensor

from learners.base import Learner
from learners.capabilities import Capabilities
from learners.classifier import Affine, Classifier, Layer
from learners.support import Support, check_support


class CentreLearner(Learner):
    """A learner that moves the centres of the classes by the unlabelled pool; without one they stay at the means."""

    capabilities = Capabilities(meta_trained=False, examples="features")

    def adapt(self, support: Support) -> Classifier:
        """Return a classifier for the labels 0..N-1; of an empty pool it is that of the nearest mean."""
        check_support(support, self.shape)
        pool = support.x[:0] if support.pool_x is None else support.pool_x
        return self.solve(support.x, support.y, pool)

    def solve(self, x: Tensor, y: Tensor, pool: Tensor) -> Classifier:
        """Return the classifier of examples x [S, D] with labels y [S] and unlabelled ones [U, D]."""
        raise NotImplementedError


def minus_distances(x: Tensor, centres: Tensor) -> Tensor:
    """Return -|x - c|^2 [n, N] of x [n, D] and centres [N, D]."""
    return 2 * x @ centres.T - x.square().sum(1, keepdim=True) - centres.square().sum(1)


def nearest(layers: tuple[Layer, ...], centres: Tensor, sharpness: float, bias: Tensor | None = None) -> Classifier:
    """Return softmax(-sharpness |z - c|^2 + bias) of z, what layers make of an example; centres [N, D], bias [N]."""
    level = -sharpness * centres.square().sum(1)
    return Classifier((*layers, Affine(2 * sharpness * centres, level if bias is None else level + bias)))


def mean_of(weights: Tensor, x: Tensor) -> Tensor:
    """Return the means [N, D] of x [n, D] by weights [n, N]."""
    return weights.T @ x / weights.sum(0)[:, None].clamp_min(torch.finfo(x.dtype).tiny)
