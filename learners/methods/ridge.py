"""R2-D2: ridge regression on the labels, differentiated in closed form."""

import math

import torch
from torch import Tensor, nn

from learners.base import ABSENT, one_hot
from learners.bodies import Body
from learners.capabilities import Capabilities
from learners.heads.linear_head import LinearHead


class Ridge(LinearHead):
    """Meta-learns an embedding f in which ridge regression on the labels separates the classes.

    min_{f, lambda, a, b}  sum_episodes L_query(a W f(x) + b),  W = argmin |X W^T - Y|^2 + lambda |W|^2,

    where X [S, D] is the embedded support set and Y [S, N] are its labels as 0 and 1, differentiated through the
    solution. L is the cross-entropy, or the squared error where the targets are numbers [S, N]. On raw examples f is
    the body. On features f(x) = M u / sqrt(D), where u are the standardised features and M starts as the identity; then
    all of it is one affine map. b is one number for all classes, as published (it matters only for targets that are
    numbers), or one for each of ``ways`` labels.

    L. Bertinetto, J. F. Henriques, P. H. S. Torr, A. Vedaldi. Meta-learning with differentiable closed-form solvers.
    ICLR 2019. https://arxiv.org/abs/1805.08136
    """

    name = "ridge"
    capabilities = Capabilities(regression=True)

    def __init__(self, body: int | Body, ways: int | None = None) -> None:
        super().__init__(body, ways)
        self.log_lambda = nn.Parameter(torch.tensor(0.0))
        self.log_scale = nn.Parameter(torch.tensor(math.log(10.0)))
        self.bias = nn.Parameter(torch.zeros(ways or 1))

    def head(self, support: Tensor, y: Tensor, ways: int) -> tuple[Tensor, Tensor]:
        """Return a W [N, D] and b [N] from embeddings [S, D]; far lower for a shared label without an example."""
        scale = self.log_scale.exp()
        if y.is_floating_point():
            return scale * solve(support, y, self.log_lambda.exp()), self.bias.expand(y.shape[1])
        label = one_hot(y, ways, support.dtype)
        weight = scale * solve(support, label, self.log_lambda.exp())
        return weight, torch.where(label.any(0), self.bias, ABSENT - scale)


def solve(x: Tensor, y: Tensor, strength: Tensor) -> Tensor:
    """Return the W [N, D] of ridge regression of y [S, N] on x [S, D].

    W^T = X^T (X X^T + lambda I)^-1 Y = (X^T X + lambda I)^-1 X^T Y (Woodbury): whichever system is the smaller.
    """
    few = len(x) <= x.shape[1]
    gram = x @ x.T if few else x.T @ x
    system = gram + strength * torch.eye(len(gram), dtype=x.dtype, device=x.device)
    return (x.T @ torch.linalg.solve(system, y) if few else torch.linalg.solve(system, x.T @ y)).T
