"""Relation networks: a learned comparison of an example and a class."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from domains.episode import Episode
from learners.base import ABSENT, Learner, compute_prototypes, one_hot
from learners.bodies import Body
from learners.classifier import Affine, Classifier
from learners.support import Support


class RelationNet(Learner):
    """Meta-learns an embedding f and a network g that says how alike an example and a class are.

    min_{f, g}  mean_{x, c} (r(x, c) - 1[y = c])^2,  r(x, c) = sigmoid(g[f(x); mean_c f]),

    g[q; c] = w ReLU(Wq q + Wc c + b) + b'. On raw examples f is the body and g compares its vectors, where the g of the
    paper is convolutional and compares feature maps. On features f(x) are the standardised features, and only g is
    learned. A class is the mean of its examples, where the paper takes the sum: the same for one example, and it suits
    unequal numbers. The units of g start in pairs of opposite sign with Wc = -Wq, so that g starts as minus the l1
    distance in a random projection. Exactly one of the scores r is 1; the class probabilities are softmax_c(g).

    F. Sung, Y. Yang, L. Zhang, T. Xiang, P. H. S. Torr, T. M. Hospedales. Learning to compare: relation network for
    few-shot learning. CVPR 2018. https://arxiv.org/abs/1711.06025

    Args:
        hidden: units of g.
    """

    name = "relation"

    def __init__(self, body: int | Body, ways: int | None = None, hidden: int = 256) -> None:
        super().__init__(body, ways)
        if not self.raw:
            self.together = 16
        half = torch.randn(hidden - hidden // 2, self.dim) / self.dim**0.5
        both = torch.cat([half, -half])[:hidden]
        self.of_query, self.of_class = nn.Parameter(both), nn.Parameter(-both)  # Wq, Wc
        self.inner_bias = nn.Parameter(torch.zeros(hidden))
        self.weight = nn.Parameter(torch.full((1, hidden), -16 / hidden))
        self.bias = nn.Parameter(torch.full((1,), 7.0))

    def class_units(self, support: Tensor, y: Tensor, ways: int) -> Tensor:
        """Return what a class gives to the hidden units, Wc c + b, [N, H], from embeddings [S, D]."""
        return F.linear(compute_prototypes(support, y, ways), self.of_class, self.inner_bias)

    def relation(self, support: Tensor, y: Tensor, query: Tensor, ways: int) -> Tensor:
        """Return g of every query [Q, D] and class, [Q, N]."""
        hidden = F.relu(F.linear(query, self.of_query)[:, None] + self.class_units(support, y, ways))
        rows, below = with_absent(one_hot(y, ways, query.dtype).amax(0))
        return F.linear(F.linear(hidden, self.weight, self.bias)[..., 0], rows, below)

    def meta_loss(self, episode: Episode) -> Tensor:
        mean, scale = self.scaling(episode.support_x, episode.pool_x)
        ways = self.ways or episode.ways
        both = self.body((torch.cat([episode.support_x, episode.query_x]) - mean) / scale)
        support, query = both.split([len(episode.support_x), len(episode.query_x)])
        r = self.relation(support, episode.support_y, query, ways).sigmoid()
        return F.mse_loss(r, one_hot(episode.query_y, ways, r.dtype))

    @torch.no_grad()
    def adapt(self, support: Support) -> Classifier:
        ways = self.check(support)
        mean, scale = self.scaling(support.x, support.pool_x)
        constant = self.class_units(self.body((support.x - mean) / scale), support.y, ways)
        hidden = len(self.inner_bias)
        project = self.of_query if self.raw else self.of_query / scale
        bias = project.new_zeros(hidden) if self.raw else -project @ mean
        # the hidden units once a class: [N H, H], then each class reads its own: [N, N H]
        unit = torch.eye(hidden, dtype=project.dtype, device=project.device)
        rows, below = with_absent(one_hot(support.y, ways, project.dtype).amax(0))
        stack = Affine(unit.repeat(ways, 1), constant.flatten())
        head = Affine(torch.kron(rows, self.weight), self.bias + below)
        return Classifier((*self.embedding(), Affine(project, bias), stack, "relu", head))


def with_absent(seen: Tensor) -> tuple[Tensor, Tensor]:
    """Return the map [N, N] and [N] that gives a shared label without an example (0 in ``seen`` [N]) the others' mean
    less ABSENT: below the largest of them, however low they all are."""
    rows = torch.where(seen[:, None] > 0, torch.diag(seen), seen / seen.sum())
    return rows, ABSENT * (1 - seen)
