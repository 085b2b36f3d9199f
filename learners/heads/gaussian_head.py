"""A linear head whose weights are known up to a Gaussian."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from learners.parts import Part, register_part


@register_part
class GaussianHead(Part):
    """Logits m_c / sqrt(1 + pi / 8 v_c) of a head w_c ~ N(mean_c, diag variance_c), with m = mean x, v = variance x^2.

    It is the probit approximation of the softmax averaged over the head: the less is known of a class, the nearer are
    its logits to 0. D. J. C. MacKay. The evidence framework applied to classification networks. Neural Computation 4,
    1992. https://doi.org/10.1162/neco.1992.4.5.720

    Args:
        ways, dim: N classes and the length D of an embedding.
    """

    name = "gaussian head"

    def __init__(self, ways: int, dim: int) -> None:
        super().__init__()
        self.config = {"ways": ways, "dim": dim}
        self.mean, self.variance = nn.Parameter(torch.zeros(ways, dim)), nn.Parameter(torch.zeros(ways, dim))

    def forward(self, x: Tensor) -> Tensor:
        """Return logits [n, N] of embeddings [n, D]."""
        mean, variance = logits_of(x, self.mean, self.variance)
        return mean / (1 + math.pi / 8 * variance).sqrt()


def logits_of(x: Tensor, mean: Tensor, variance: Tensor) -> tuple[Tensor, Tensor]:
    """Return the means and variances [n, N] of the logits of embeddings [n, D] by heads of those [N, D]."""
    return F.linear(x, mean), F.linear(x.square(), variance)
