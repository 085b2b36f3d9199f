"""Linear maps for a CPU, with weights laid out once as its kernels read them, and GELU in place."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Packed(nn.Module):
    """x -> GELU(x W^T + b), or without GELU, by oneDNN: what ``torch.compile`` makes of it, without a compiler.

    The same numbers as ``nn.Linear`` up to rounding. For inference: no gradient passes through it.
    """

    def __init__(self, linear: nn.Linear, gelu: bool = False) -> None:
        super().__init__()
        self.weight = torch.ops.mkldnn._reorder_linear_weight(linear.weight.detach(), None)
        self.bias, self.gelu = linear.bias.detach(), gelu

    def forward(self, x: Tensor) -> Tensor:
        y = torch.ops.mkldnn._linear_pointwise(x, self.weight, self.bias, "none", [], "none")
        return torch.ops.aten.gelu_(y) if self.gelu else y  # oneDNN's own takes three times as long with AVX2


def pack_bert(model: Any) -> None:
    """Replace the maps of a BERT's blocks by packed ones, in place; where oneDNN is absent, nothing."""
    if not can_pack():
        return
    for block in model.encoder.layer:
        attention = block.attention
        for name in ("query", "key", "value"):
            setattr(attention.self, name, Packed(getattr(attention.self, name)))
        attention.output.dense, block.output.dense = Packed(attention.output.dense), Packed(block.output.dense)
        if model.config.hidden_act == "gelu":
            block.intermediate.dense = Packed(block.intermediate.dense, gelu=True)
            block.intermediate.intermediate_act_fn = nn.Identity()


def can_pack() -> bool:
    """Return whether this torch has the kernels, which are no public interface of it, and they are right."""
    try:
        with torch.inference_mode():
            linear, x = nn.Linear(8, 16), torch.ones(3, 8)
            return torch.allclose(Packed(linear, gelu=True)(x), F.gelu(linear(x)), atol=1e-5)
    except (AttributeError, RuntimeError):  # NotImplementedError is one
        return False
