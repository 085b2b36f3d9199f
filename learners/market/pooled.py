"""One model of all source domains, not adapted: what the past taught, where labels are shared."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from domains.episode import Episode
from learners.base import Learner
from learners.capabilities import Capabilities
from learners.classifier import Affine, Classifier
from learners.support import Support


class Pooled(Learner):
    """min_W E[CE(W u + b, y)] over the examples of all source domains, u the standardised features.

    It does not use the support set. On a fresh market regime this is the model to beat.
    """

    name = "pooled"
    capabilities = Capabilities(examples="features", fixed_ways=True)

    def __init__(self, dim: int, ways: int) -> None:
        super().__init__(dim, ways)
        self.weight, self.bias = nn.Parameter(torch.zeros(ways, dim)), nn.Parameter(torch.zeros(ways))

    def meta_loss(self, episode: Episode) -> Tensor:
        x, y = torch.cat([episode.support_x, episode.query_x]), torch.cat([episode.support_y, episode.query_y])
        return F.cross_entropy(F.linear((x - self.mean) / self.scale, self.weight, self.bias), y)

    @torch.no_grad()
    def adapt(self, support: Support) -> Classifier:
        weight = self.weight / self.scale
        return Classifier((Affine(weight, self.bias - weight @ self.mean),))
