"""A fully connected body."""

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn
from torch.nn import functional as F

from learners.bodies.body import Body
from learners.parts import register_part


@register_part
class MLP(Body):
    """Layers of rectified linear units, as in the sinusoid regression of the MAML paper (1-40-40)."""

    name = "mlp"

    def __init__(self, inputs: int, hidden: Sequence[int] = (40, 40)) -> None:
        super().__init__()
        self.config, self.shape, self.dim = {"inputs": inputs, "hidden": list(hidden)}, (inputs,), hidden[-1]
        sizes = [inputs, *hidden]
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(sizes))

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = F.relu(layer(x))
        return x
