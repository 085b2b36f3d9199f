"""Prototypical networks: a class is the mean of its examples."""

import torch
from torch import Tensor, nn

from learners.base import ABSENT, compute_prototypes, one_hot
from learners.bodies import Body
from learners.heads.linear_head import LinearHead


class ProtoNet(LinearHead):
    """Meta-learns an embedding f in which every class is its mean.

    p(y = c | x) = softmax_c(-s |f(x) - mean_c f|^2).

    On raw examples f is the body, and s = 1 at first, as published. On features f(x) = W u / |W u|, where u are the
    standardised features. W starts as the identity, so that meta-training starts from the nearest prototype of the
    encoder. s is learned.

    J. Snell, K. Swersky, R. Zemel. Prototypical networks for few-shot learning. NeurIPS 2017.
    https://arxiv.org/abs/1703.05175
    """

    name, unit = "protonet", True

    def __init__(self, body: int | Body, ways: int | None = None) -> None:
        super().__init__(body, ways)
        self.log_sharpness = nn.Parameter(torch.tensor(0.0 if self.raw else 2.3))

    def head(self, support: Tensor, y: Tensor, ways: int) -> tuple[Tensor, Tensor]:
        """Return weight [N, D] and bias [N] on embeddings, from those of a support [S, D].

        A shared label that the support lacks gets a logit below all that a prototype can give (-3 s at the least).
        """
        centre, sharpness = compute_prototypes(support, y, ways), self.log_sharpness.exp()
        seen = one_hot(y, ways).any(0)
        bias = torch.where(seen, -sharpness * centre.square().sum(1), ABSENT - 3 * sharpness)
        return 2 * sharpness * centre, bias
