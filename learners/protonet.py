"""Prototypical networks (Snell, Swersky & Zemel 2017, "Prototypical Networks for Few-shot Learning")."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from domains.episode import Episode
from learners.base import ABSENT, Learner, check_support, one_hot, prototypes
from learners.bodies import Body
from learners.classifier import Affine, Classifier


class ProtoNet(Learner):
    """Meta-learns an embedding f in which every class is its mean.

    p(y = c | x) = softmax_c(-s |f(x) - mean_c f|^2). On raw examples f is the body and s = 1 at first, as published. On
    features f(x) = W u / |W u|, u the standardised features; W starts as the identity, so meta-training starts from
    the nearest prototype of the encoder. s is learned.
    """

    name = "protonet"

    def __init__(self, body: int | Body, ways: int | None = None) -> None:
        super().__init__(body, ways)
        self.log_sharpness = nn.Parameter(torch.tensor(0.0 if self.raw else 2.3))
        if not self.raw:
            self.weight = nn.Parameter(torch.eye(self.dim))

    def embed(self, x: Tensor, mean: Tensor, scale: Tensor) -> Tensor:
        return self.body(x) if self.raw else F.normalize(F.linear((x - mean) / scale, self.weight), dim=-1)

    def head(self, support: Tensor, y: Tensor, ways: int) -> tuple[Tensor, Tensor]:
        """Return weight [N, D] and bias [N] on embeddings, from those of a support [S, D].

        A shared label that the support lacks gets a logit below all that a prototype can give (-3 s at the least).
        """
        centre, sharpness = prototypes(support, y, ways), self.log_sharpness.exp()
        seen = one_hot(y, ways).any(0)
        bias = torch.where(seen, -sharpness * centre.square().sum(1), ABSENT - 3 * sharpness)
        return 2 * sharpness * centre, bias

    def meta_loss(self, episode: Episode) -> Tensor:
        mean, scale = self.scaling(episode.support_x, episode.pool_x)
        both = self.embed(torch.cat([episode.support_x, episode.query_x]), mean, scale)
        support, query = both.split([len(episode.support_x), len(episode.query_x)])
        weight, bias = self.head(support, episode.support_y, self.ways or episode.ways)
        return F.cross_entropy(F.linear(query, weight, bias), episode.query_y)

    @torch.no_grad()
    def adapt(self, support_x: Tensor, support_y: Tensor, pool_x: Tensor | None = None) -> Classifier:
        ways = check_support(support_x, support_y, self.shape, self.ways)
        mean, scale = self.scaling(support_x, pool_x)
        head = Affine(*self.head(self.embed(support_x, mean, scale), support_y, ways))
        if self.raw:
            return Classifier((*self.embedding(), head))
        weight = self.weight / scale
        return Classifier((Affine(weight, -weight @ mean), "normalise", head))
