"""The network D-H-N on cached features, with gradient descent in closed form."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from learners.bodies import MLP
from learners.heads.network import Network, Parameters, errors

GRAM = 4096  # support examples up to which their inner products are kept: 64 MB


class TwoLayer(Network):
    """x -> W ReLU(V x + c) + b, descended without autograd: the same numbers as ``Network`` in a fraction of the time.

    The gradient of V is E^T X for the errors E [S, H] of the hidden units, so V_t - V_0 lies in the span of the support
    X [S, D]. Descent needs only what the hidden units are fed on the support,

        Z_{t+1} = Z_t - (a_t X X^T + c_t 1 1^T) E_t,

    which takes S x S and S x H numbers, and V_T = V_0 - (sum_t a_t E_t)^T X is formed once at the end (the representer
    theorem along the path of descent). Beyond GRAM examples X (X^T E_t) takes the place of (X X^T) E_t. Every operation
    is a differentiable product, so that episodes can be stacked.
    """

    def __init__(self, dim: int, hidden: int, ways: int | None = None) -> None:
        body = MLP(dim, [hidden])
        super().__init__(body, ways)
        draw = torch.Generator().manual_seed(0)
        with torch.no_grad():
            self.weight.zero_()
            first = body.layers[0]
            assert isinstance(first, nn.Linear)
            first.weight.copy_(torch.randn(hidden, dim, generator=draw) * (2 / dim) ** 0.5)
            first.bias.zero_()

    def outputs(self, parameters: Parameters, x: Tensor) -> Tensor:
        hidden = F.relu(F.linear(x, parameters["body.layers.0.weight"], parameters["body.layers.0.bias"]))
        return F.linear(hidden, parameters["weight"], parameters["bias"])

    def descend(
        self,
        parameters: Parameters,
        x: Tensor,
        y: Tensor,
        rates: Sequence[Mapping[str, Tensor | float]],
        first_order: bool = False,
    ) -> dict[str, Tensor]:
        v, c = parameters["body.layers.0.weight"], parameters["body.layers.0.bias"]
        w, b = parameters["weight"], parameters["bias"]
        gram = x @ x.T if len(x) <= GRAM else None
        fed = F.linear(x, v, c)
        moved, shifted = torch.zeros_like(fed), torch.zeros_like(c)
        for step in rates:
            of_v, of_c = step["body.layers.0.weight"], step["body.layers.0.bias"]
            hidden = F.relu(fed)
            error = errors(F.linear(hidden, w, b), y)
            back = (error @ w) * (fed > 0)
            by_w, by_b = error.T @ hidden, error.sum(0)
            if first_order:
                back, by_w, by_b = back.detach(), by_w.detach(), by_b.detach()
            if gram is None:
                fed = fed - of_v * (x @ (x.T @ back)) - of_c * back.sum(0)
            else:
                fed = fed - (of_v * gram + of_c) @ back
            moved, shifted = moved + of_v * back, shifted + of_c * back.sum(0)
            w, b = w - step["weight"] * by_w, b - step["bias"] * by_b
        return {
            "weight": w,
            "bias": b,
            "body.layers.0.weight": v - moved.T @ x,
            "body.layers.0.bias": c - shifted,
        }
