"""The base of learners that embed examples and make a linear head from the embedded support set."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from domains.episode import Episode
from learners.base import Learner
from learners.bodies import Body
from learners.classifier import Affine, Classifier, Columns
from learners.heads.network import loss
from learners.support import Support


class LinearHead(Learner):
    """min_f  sum_episodes L_query(W f(x) + b),  (W, b) = head(f(support)), differentiated through the head.

    L is the cross-entropy, or the squared error where targets are numbers. On raw examples f is the body. On features
    of length D, f(x) = M u / sqrt(D), or M u / |M u| where a method wants unit length; u are the standardised features
    and M starts as the identity.
    """

    unit = False  # embeddings of features have unit length

    def __init__(self, body: int | Body, ways: int | None = None) -> None:
        super().__init__(body, ways)
        if not self.raw:
            self.weight = nn.Parameter(torch.eye(self.dim))
            self.together = 64

    def embed(self, x: Tensor, mean: Tensor, scale: Tensor) -> Tensor:
        """Return f of examples [n, *shape], [n, D]."""
        if self.raw:
            return self.body(x)
        moved = F.linear((x - mean) / scale, self.weight)
        return F.normalize(moved, dim=-1) if self.unit else moved / self.dim**0.5

    def head(self, support: Tensor, y: Tensor, ways: int) -> tuple[Tensor, Tensor]:
        """Return weight [N, D] and bias [N] from embeddings [S, D]; a label without an example gets a far lower one."""
        raise NotImplementedError

    def meta_loss(self, episode: Episode) -> Tensor:
        mean, scale = self.scaling(episode.support_x, episode.pool_x)
        both = self.embed(torch.cat([episode.support_x, episode.query_x]), mean, scale)
        support, query = both.split([len(episode.support_x), len(episode.query_x)])
        return loss(F.linear(query, *self.head(support, episode.support_y, self.ways or episode.ways)), episode.query_y)

    @torch.no_grad()
    def adapt(self, support: Support) -> Classifier:
        ways = self.check(support)
        mean, scale = self.scaling(support.x, support.pool_x)
        weight, bias = self.head(self.embed(support.x, mean, scale), support.y, ways)
        if self.raw:
            return Classifier((*self.embedding(), Affine(weight, bias)))
        if self.unit:
            moved = Affine(self.weight.detach().clone(), mean.new_zeros(len(mean)))
            return Classifier((Columns(mean, scale), moved, "normalise", Affine(weight, bias)))
        both = weight @ self.weight / scale / self.dim**0.5
        return Classifier((Affine(both, bias - both @ mean),))
