"""A body with a linear head, and gradient descent on both as a pure function of the parameters."""

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

from learners.base import one_hot
from learners.bodies import Body
from learners.bodies.norm import inside_vmap

Parameters = Mapping[str, Tensor]


class Network(nn.Module):
    """x -> W body(x) + b.

    Args:
        ways: rows of W where the labels are fixed; None: all classes start from one learned row, so that their number
            is free (H.-J. Ye, W.-L. Chao. How to train your MAML to excel in few-shot classification. ICLR 2022.
            https://arxiv.org/abs/2106.16245).
    """

    def __init__(self, body: Body, ways: int | None = None) -> None:
        super().__init__()
        self.body, self.ways = body, ways
        self.weight = nn.Parameter(torch.zeros(ways or 1, body.dim))
        self.bias = nn.Parameter(torch.zeros(ways or 1))
        if ways is not None:
            nn.init.kaiming_uniform_(self.weight, 5**0.5)

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(self.body(x), self.weight, self.bias)

    def start(self, ways: int) -> dict[str, Tensor]:
        """Return the parameters that descent starts from, with a row of the head for each of N classes."""
        parameters: dict[str, Tensor] = dict(self.named_parameters())
        if self.ways is None:
            parameters["weight"] = self.weight.expand(ways, -1)
            parameters["bias"] = self.bias.expand(ways)
        return parameters

    def outputs(self, parameters: Parameters, x: Tensor) -> Tensor:
        """Return outputs [n, N] of examples [n, *shape] at these parameters."""
        return functional_call(self, dict(parameters), (x,))

    def descend(
        self,
        parameters: Parameters,
        x: Tensor,
        y: Tensor,
        rates: Sequence[Mapping[str, Tensor | float]],
        first_order: bool = False,
    ) -> dict[str, Tensor]:
        """Return theta_T, theta_{t+1} = theta_t - rates_t * grad L(theta_t; x, y); only what a rate names moves.

        Args:
            rates: one mapping a step, from a parameter's name to its rate: a number, or a tensor that broadcasts.
            first_order: take the gradients as constants when the result is differentiated.
        """
        now = dict(parameters)
        for step in rates:
            moving = {name: now[name] for name in step}
            found = gradient(lambda some: loss(self.outputs(now | some, x), y), moving, first_order)  # noqa: B023
            now |= {name: now[name] - step[name] * found[name] for name in step}
        return now


def loss(outputs: Tensor, y: Tensor) -> Tensor:
    """Return the cross-entropy of labels [n], or the mean squared error of targets [n, N] that are not integers."""
    return F.mse_loss(outputs, y) if y.is_floating_point() else F.cross_entropy(outputs, y)


def errors(outputs: Tensor, y: Tensor) -> Tensor:
    """Return the gradient [n, N] of ``loss`` by the outputs [n, N]."""
    if y.is_floating_point():
        return 2 * (outputs - y) / outputs.numel()
    return (F.softmax(outputs, dim=-1) - one_hot(y, outputs.shape[1], outputs.dtype)) / len(y)


def gradient(
    function: Callable[[dict[str, Tensor]], Tensor], at: dict[str, Tensor], constant: bool
) -> dict[str, Tensor]:
    """Return the gradient of a scalar function of parameters; ``constant``: not to be differentiated again.

    Autograd is quicker in a loop; inside ``vmap`` only ``torch.func.grad`` works.
    """
    if inside_vmap():
        found = torch.func.grad(function)(at)
        return {name: value.detach() for name, value in found.items()} if constant else found
    with torch.enable_grad():
        at = {name: value if value.requires_grad else value.detach().requires_grad_() for name, value in at.items()}
        found = torch.autograd.grad(function(at), list(at.values()), create_graph=not constant)
    return dict(zip(at, found, strict=True))
