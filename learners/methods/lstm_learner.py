"""The meta-learner LSTM: an update rule that is learned."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from domains.episode import Episode
from learners.base import Learner, one_hot
from learners.bodies import Body
from learners.classifier import Affine, Classifier
from learners.support import Support

SMALL = 10.0  # gradients below exp(-SMALL) are given as they are, larger ones as their logarithm
LENGTH = 16.0  # squared length of standardised features, so that good rates lie within (0, 1)


class LSTMLearner(Learner):
    """Meta-learns the update rule and the start of a linear head: descent is the cell of an LSTM.

    The parameters are the cell state, c_t = f_t c_{t-1} + i_t c~_t with c~_t = -grad L_support(c_{t-1}), coordinate by
    coordinate, and

        i_t = sigmoid(W_I [grad, L, c_{t-1}, i_{t-1}] + b_I),   f_t = sigmoid(W_F [grad, L, c_{t-1}, f_{t-1}] + b_F).

    Gradient and loss are each given as two numbers (appendix A of the paper). Meta-training minimises L_query(c_T) over
    the gates, c_0 and the body. With f = 1 and i = a the rule is gradient descent with rate a, which is where
    meta-training starts. Gradients and losses are constants to the outer derivative, as published.

    This differs from the paper: the cell moves the head alone, while the body is only meta-trained; the cell's inputs
    do not pass an ordinary LSTM first; and without ``ways`` all classes share one learned row of c_0, so that their
    number is free.

    S. Ravi, H. Larochelle. Optimization as a model for few-shot learning. ICLR 2017.
    https://openreview.net/forum?id=rJY0-Kcll

    Args:
        steps: T.
        first_order: take gradients and losses as constants.
    """

    name = "lstm"

    def __init__(self, body: int | Body, ways: int | None = None, steps: int = 8, first_order: bool = True) -> None:
        super().__init__(body, ways)
        self.steps, self.first_order = steps, first_order
        self.start = nn.Parameter(torch.zeros(ways or 1, self.dim + 1))  # c_0, the last column is the bias
        self.input_gate = nn.Parameter(torch.zeros(6))
        self.forget_gate = nn.Parameter(torch.zeros(6))
        rate = 0.01 if self.raw else 0.1
        self.input_bias = nn.Parameter(torch.tensor(math.log(rate / (1 - rate))))
        self.forget_bias = nn.Parameter(torch.tensor(5.0))
        if not self.raw:
            self.together = 64

    def scaling(self, support_x: Tensor, pool_x: Tensor | None) -> tuple[Tensor, Tensor]:
        mean, scale = super().scaling(support_x, pool_x)
        return (mean, scale) if self.raw else (mean, scale * (self.dim / LENGTH) ** 0.5)

    def cell(self, c: Tensor, i: Tensor, f: Tensor, grad: Tensor, loss: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return c_t, i_t and f_t, each of the shape of c_{t-1}, from the gradient there and the loss []."""
        seen = [*log_and_sign(grad), *(number.expand_as(c) for number in log_and_sign(loss)), c]
        i = torch.sigmoid(torch.stack([*seen, i], -1) @ self.input_gate + self.input_bias)
        f = torch.sigmoid(torch.stack([*seen, f], -1) @ self.forget_gate + self.forget_bias)
        return f * c - i * grad, i, f

    def solve(self, x: Tensor, y: Tensor, ways: int) -> tuple[Tensor, Tensor]:
        """Return the head's weight [N, D] and bias [N] after T steps on an embedded support [S, D], [S]."""
        target, x = one_hot(y, ways, x.dtype), F.pad(x, (0, 1), value=1.0)
        c = self.start.expand(ways, -1)
        i = f = torch.zeros_like(c)
        for _ in range(self.steps):
            logits = x @ c.T
            loss, grad = F.cross_entropy(logits, y), (F.softmax(logits, -1) - target).T @ x / len(y)
            if self.first_order:
                loss, grad = loss.detach(), grad.detach()
            c, i, f = self.cell(c, i, f, grad, loss)
        return c[:, :-1], c[:, -1]

    def meta_loss(self, episode: Episode) -> Tensor:
        mean, scale = self.scaling(episode.support_x, episode.pool_x)
        both = self.body((torch.cat([episode.support_x, episode.query_x]) - mean) / scale)
        support, query = both.split([len(episode.support_x), len(episode.query_x)])
        weight, bias = self.solve(support, episode.support_y, self.ways or episode.ways)
        return F.cross_entropy(F.linear(query, weight, bias), episode.query_y)

    @torch.no_grad()
    def adapt(self, support: Support) -> Classifier:
        ways = self.check(support)
        mean, scale = self.scaling(support.x, support.pool_x)
        weight, bias = self.solve(self.body((support.x - mean) / scale), support.y, ways)
        if self.raw:
            return Classifier((*self.embedding(), Affine(weight, bias)))
        weight = weight / scale
        return Classifier((Affine(weight, bias - weight @ mean),))


def log_and_sign(x: Tensor) -> tuple[Tensor, Tensor]:
    """Return numbers of very different sizes as (log|x| / p, sign x), or (-1, e^p x) where |x| < e^-p."""
    large = x.abs() >= math.exp(-SMALL)
    size = torch.where(large, x.abs(), 1.0).log() / SMALL  # no logarithm of 0, whose derivative is not finite
    return torch.where(large, size, -1.0), torch.where(large, x.sign(), math.exp(SMALL) * x)
