"""Prototypical networks (Snell, Swersky & Zemel 2017, "Prototypical Networks for Few-shot Learning")."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from domains.episode import Episode
from learners.base import ABSENT, Learner, check_support, prototypes
from learners.classifier import Affine, Classifier


class ProtoNet(Learner):
    """Meta-learns an embedding f in which every class is its mean.

    p(y = c | x) = softmax_c(-s |f(x) - mean_c f|^2),  f(x) = W u / |W u|, u the standardised features; s is
    learned. W starts as the identity, so meta-training starts from the nearest prototype of the encoder.
    """

    name = "protonet"

    def __init__(self, dim: int, ways: int | None = None) -> None:
        super().__init__(dim, ways)
        self.weight = nn.Parameter(torch.eye(dim))
        self.log_sharpness = nn.Parameter(torch.tensor(2.3))

    def embed(self, u: Tensor) -> Tensor:
        return F.normalize(F.linear(u, self.weight), dim=-1)

    def head(self, support_u: Tensor, support_y: Tensor, ways: int) -> tuple[Tensor, Tensor]:
        """Return weight [N, D] and bias [N] on embeddings, from a standardised support.

        A shared label that the support lacks gets a logit below all that a prototype can give (-3 s at the least).
        """
        centre, sharpness = prototypes(self.embed(support_u), support_y, ways), self.log_sharpness.exp()
        seen = torch.bincount(support_y, minlength=ways) > 0
        bias = torch.where(seen, -sharpness * centre.square().sum(1), ABSENT - 3 * sharpness)
        return 2 * sharpness * centre, bias

    def meta_loss(self, episode: Episode) -> Tensor:
        mean, scale = self.scaling(episode.support_x, episode.pool_x)
        weight, bias = self.head((episode.support_x - mean) / scale, episode.support_y, self.ways or episode.ways)
        return F.cross_entropy(F.linear(self.embed((episode.query_x - mean) / scale), weight, bias), episode.query_y)

    @torch.no_grad()
    def adapt(self, support_x: Tensor, support_y: Tensor, pool_x: Tensor | None = None) -> Classifier:
        ways = check_support(support_x, support_y, self.dim, self.ways)
        mean, scale = self.scaling(support_x, pool_x)
        weight = self.weight / scale
        head = Affine(*self.head((support_x - mean) / scale, support_y, ways))
        return Classifier((Affine(weight, -weight @ mean), "normalise", head))
