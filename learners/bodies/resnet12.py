"""The residual body of the few-shot literature (Oreshkin, Rodriguez & Lacoste 2018, "TADAM"; Lee et al. 2019)."""

from collections.abc import Sequence
from contextlib import nullcontext
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from learners.bodies.body import Body
from learners.bodies.norm import BatchNorm, Statistics, inside_vmap
from learners.parts import register_part

SLOPE = 0.1  # of the leaky rectifiers


class ResidualBlock(nn.Module):
    """x -> pool(leaky(g(x) + shortcut(x))): g is three 3x3 convolutions, each normalised, the first two rectified."""

    def __init__(self, inputs: int, width: int, statistics: Statistics) -> None:
        super().__init__()
        # a bias before a normalisation would do nothing
        self.convolutions = nn.ModuleList(
            nn.Conv2d(channels, width, 3, padding=1, bias=False) for channels in (inputs, width, width)
        )
        self.norms = nn.ModuleList(BatchNorm(width, statistics) for _ in self.convolutions)
        self.shortcut = nn.Conv2d(inputs, width, 1, bias=False)
        self.shortcut_norm = BatchNorm(width, statistics)
        for convolution in (*self.convolutions, self.shortcut):
            nn.init.kaiming_normal_(convolution.weight, SLOPE, "fan_out")

    def forward(self, x: Tensor) -> Tensor:
        """Return maps [n, width, H // 2, W // 2] of maps [n, inputs, H, W]."""
        h = x
        for i, (convolution, norm) in enumerate(zip(self.convolutions, self.norms, strict=True)):
            h = norm(convolution(h if i == 0 else F.leaky_relu(h, SLOPE)))
        h = h + self.shortcut_norm(self.shortcut(x))
        return F.leaky_relu(F.max_pool2d(h, 2), SLOPE)  # the same as rectified first, on a quarter of the values


@register_part
class ResNet12(Body):
    """Four residual blocks that halve the image, and the mean of the last map.

    12.4 million weights at the published widths of Lee et al. 2019 ("Meta-Learning with Differentiable Convex
    Optimization"); widths (64, 128, 256, 512) are TADAM's. Their DropBlock is left out: a body is a pure function.

    Args:
        channels: of the image.
        pixels: a side, at least 16; images are [n, channels, pixels, pixels].
        widths: channels of the four blocks; the last is the length of the vector.
        statistics: of the normalisation, see ``BatchNorm``.
        precision: of the convolutions and the maps between them; weights, their gradients and the vectors are float32
            in any case. ``bfloat16`` takes a third of the time on a processor with AVX-512 BF16, or on a GPU.

    Raises:
        ValueError: the image is too small to be halved by every block.
    """

    name = "resnet12"

    def __init__(
        self,
        channels: int = 3,
        pixels: int = 84,
        widths: Sequence[int] = (64, 160, 320, 640),
        statistics: Statistics = "batch",
        precision: Literal["float32", "bfloat16"] = "float32",
    ) -> None:
        super().__init__()
        if len(widths) != 4:
            raise ValueError(f"ResNet-12 has 4 blocks, widths are {list(widths)}")
        if pixels < 2 ** len(widths):
            raise ValueError(f"images of {pixels} pixels a side cannot be halved 4 times; at least 16 are needed")
        self.config = {
            "channels": channels,
            "pixels": pixels,
            "widths": list(widths),
            "statistics": statistics,
            "precision": precision,
        }
        self.shape, self.dim = (channels, pixels, pixels), widths[-1]
        self.blocks = nn.ModuleList(ResidualBlock(a, b, statistics) for a, b in pairwise([channels, *widths]))
        self.mixed = precision == "bfloat16"

    def forward(self, x: Tensor) -> Tensor:
        if not inside_vmap():
            x = x.contiguous(memory_format=torch.channels_last)  # a quarter faster on a processor
        with torch.autocast(x.device.type, torch.bfloat16) if self.mixed else nullcontext():
            for block in self.blocks:
                x = block(x)
        return (x.float() if self.mixed else x).mean((2, 3))
