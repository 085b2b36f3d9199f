"""A BERT for a CPU: maps with weights laid out once as its kernels read them, and GELU in place."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Packed(nn.Module):
    """x -> GELU(x W^T + b), or without GELU, by oneDNN: what ``torch.compile`` makes of it, without a compiler.

    The same numbers as ``nn.Linear`` up to rounding. For inference: no gradient passes through it.

    Args:
        dtype: of weights, bias and output; in bfloat16 products are still summed in float32.
    """

    def __init__(self, linear: nn.Linear, gelu: bool = False, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.weight = torch.ops.mkldnn._reorder_linear_weight(linear.weight.detach().to(dtype), None)
        self.bias, self.gelu = linear.bias.detach().to(dtype), gelu

    def forward(self, x: Tensor) -> Tensor:
        x = x.to(self.bias.dtype)
        y = torch.ops.mkldnn._linear_pointwise(x, self.weight, self.bias, "none", [], "none")
        return torch.ops.aten.gelu_(y) if self.gelu else y  # oneDNN's own takes three times as long with AVX2


class PackedBlock(nn.Module):
    """A block of a BERT by packed maps; queries, keys and values come from one of them."""

    def __init__(self, block: Any, dtype: torch.dtype) -> None:
        super().__init__()
        attention = block.attention
        maps = [getattr(attention.self, name) for name in ("query", "key", "value")]
        together = nn.Linear(maps[0].in_features, 3 * maps[0].out_features)
        together.weight = nn.Parameter(torch.cat([each.weight for each in maps]))
        together.bias = nn.Parameter(torch.cat([each.bias for each in maps]))
        self.heads = attention.self.num_attention_heads
        self.qkv, self.out = Packed(together, dtype=dtype), Packed(attention.output.dense, dtype=dtype)
        self.up = Packed(block.intermediate.dense, gelu=True, dtype=dtype)
        self.down = Packed(block.output.dense, dtype=dtype)
        self.after_attention, self.after = attention.output.LayerNorm.float(), block.output.LayerNorm.float()

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """Return the block's output [n, T, D]; mask: [n, 1, 1, T], True for what is read, or None: all."""
        q, k, v = self.qkv(x).float().unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        seen = F.scaled_dot_product_attention(q, k, v, mask).transpose(1, 2).flatten(2)
        x = self.after_attention(x + self.out(seen))
        return self.after(x + self.down(self.up(x)))


class PackedBert(nn.Module):
    """A BERT with GELU by packed maps, for inference: the same numbers up to rounding.

    Embeddings of word pieces stay as they are stored, mapped from their file: those of multilingual E5 have 192 MB of
    16 bits, of which texts read a few rows. The sum with the other embeddings is in float32.

    Args:
        model: of ``transformers``; what is no embedding of a word piece is made float32.
        dtype: of what the maps multiply; attention, sums and norms are in float32. In bfloat16 the vectors of texts
            have a cosine of 0.9999 or so to those in float32, in 0.6 of the time.
    """

    def __init__(self, model: Any, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.embeddings = model.embeddings
        for name, part in self.embeddings.named_children():
            if name != "word_embeddings":
                part.float()
        self.blocks = nn.ModuleList(PackedBlock(block, dtype) for block in model.encoder.layer)

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        """Return the last hidden states [n, T, D] of word pieces [n, T]; mask: [n, T], True for what is read."""
        x, seen = self.embeddings(ids), None if mask.all() else mask[:, None, None]  # without a mask it is faster
        for block in self.blocks:
            x = block(x, seen)
        return x


def can_pack(dtype: torch.dtype = torch.float32) -> bool:
    """Return whether this torch has the kernels, which are no public interface of it, and they are right."""
    near = 1e-5 if dtype == torch.float32 else 1e-2
    try:
        with torch.inference_mode():
            linear, x = nn.Linear(8, 16), torch.ones(3, 8)
            return torch.allclose(Packed(linear, True, dtype)(x).float(), F.gelu(linear(x)), atol=near)
    except (AttributeError, RuntimeError):  # NotImplementedError is one
        return False


def has_bfloat16() -> bool:
    """Return whether this processor multiplies bfloat16 by instructions of its own: elsewhere it takes longer."""
    ask = getattr(torch.cpu, "_is_avx512_bf16_supported", None)
    return ask is not None and bool(ask())
