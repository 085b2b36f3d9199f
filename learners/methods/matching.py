"""Matching networks: the label of a query is the labels of the support examples that it attends to."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from domains.episode import Episode
from learners.base import Learner, one_hot
from learners.bodies import Body
from learners.classifier import Affine, Classifier
from learners.support import Support

FLOOR = math.log(1e-12)  # what the word "log" of a classifier makes of a probability of 0


class MatchingNet(Learner):
    """Meta-learns an embedding f in which a query's label is the labels of the support examples that it attends to.

    p(y | x) = sum_i a(x, x_i) y_i,  a(x, .) = softmax_i(s cos(f(x), f(x_i))).

    On raw examples f is the body. On features f(x) = W u, where u are the standardised features and W starts as the
    identity. With a large s this is the nearest neighbour, and a class with more examples is the likelier one before x
    is seen.

    The full-context embeddings of the paper (a bidirectional LSTM over the support set, an attending LSTM for the
    query) are left out. They would make the answer depend on the order of the support set, tie the number of parameters
    to the square of the vector's length, have to be unrolled by hand (``nn.LSTM`` has no rule for ``vmap``), and need a
    module of their own in every saved classifier, where three affine maps do.

    O. Vinyals, C. Blundell, T. Lillicrap, K. Kavukcuoglu, D. Wierstra. Matching networks for one shot learning. NeurIPS
    2016. https://arxiv.org/abs/1606.04080

    Args:
        sharpness: s, if it is to stay fixed (published: 1); None: it is learned, from 10.
    """

    name = "matching"

    def __init__(self, body: int | Body, ways: int | None = None, sharpness: float | None = None) -> None:
        super().__init__(body, ways)
        start = torch.tensor(math.log(10.0 if sharpness is None else sharpness))
        self.log_sharpness = nn.Parameter(start, requires_grad=sharpness is None)
        if not self.raw:
            self.weight = nn.Parameter(torch.eye(self.dim))
            self.together = 64

    def embed(self, x: Tensor, mean: Tensor, scale: Tensor) -> Tensor:
        """Return f of examples [n, *shape] at unit length, [n, D]."""
        return F.normalize(self.body(x) if self.raw else F.linear((x - mean) / scale, self.weight), dim=-1)

    def meta_loss(self, episode: Episode) -> Tensor:
        mean, scale = self.scaling(episode.support_x, episode.pool_x)
        both = self.embed(torch.cat([episode.support_x, episode.query_x]), mean, scale)
        support, query = both.split([len(episode.support_x), len(episode.query_x)])
        attention = F.log_softmax(self.log_sharpness.exp() * query @ support.T, dim=1)
        same = episode.query_y[:, None] == episode.support_y
        # summed as logarithms, so that a confident mistake still has a gradient
        right = torch.logsumexp(attention.masked_fill(~same, -1e4), dim=1)
        return -torch.where(same.any(1), right, FLOOR).mean()

    @torch.no_grad()
    def adapt(self, support: Support) -> Classifier:
        ways = self.check(support)
        mean, scale = self.scaling(support.x, support.pool_x)
        embedded = self.embed(support.x, mean, scale)
        label = one_hot(support.y, ways, embedded.dtype).T
        attend = Affine(self.log_sharpness.exp() * embedded, embedded.new_zeros(len(embedded)))
        read = "normalise", attend, "softmax", Affine(label, embedded.new_zeros(ways)), "log"
        if self.raw:
            return Classifier((*self.embedding(), *read))
        weight = self.weight / scale
        return Classifier((Affine(weight, -weight @ mean), *read))
