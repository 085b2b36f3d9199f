"""The four-block convolutional body of the few-shot literature (Vinyals et al. 2016; Finn et al. 2017)."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from learners.bodies.body import Body
from learners.bodies.norm import BatchNorm, Statistics, inside_vmap
from learners.parts import register_part


@register_part
class Conv4(Body):
    """Four blocks of 3x3 convolution, batch normalisation, ReLU and a halving of the image.

    As published for miniImageNet (Ravi & Larochelle 2017; ProtoNet with 64 channels) the image is halved by 2x2 max
    pooling and the last map is flattened; with ``strided`` by convolutions of stride 2 and the last map is averaged,
    the body that MAML uses on Omniglot (Finn et al. 2017, section 5.2).

    Args:
        channels: of the image.
        pixels: a side; images are [n, channels, pixels, pixels].
        width: channels a block (64 in ProtoNet and on Omniglot, 32 in MAML on miniImageNet).
        statistics: of the normalisation, see ``BatchNorm``.

    Raises:
        ValueError: the image is too small to be halved by every block.
    """

    name = "conv4"

    def __init__(
        self,
        channels: int = 1,
        pixels: int = 28,
        width: int = 64,
        strided: bool = False,
        statistics: Statistics = "batch",
    ) -> None:
        super().__init__()
        self.config = {
            "channels": channels,
            "pixels": pixels,
            "width": width,
            "strided": strided,
            "statistics": statistics,
        }
        self.shape, self.strided = (channels, pixels, pixels), strided
        inputs = [channels, width, width, width]
        # a bias before a normalisation would do nothing
        self.convolutions = nn.ModuleList(
            nn.Conv2d(c, width, 3, stride=2 if strided else 1, padding=1, bias=False) for c in inputs
        )
        self.norms = nn.ModuleList(BatchNorm(width, statistics) for _ in inputs)
        for convolution in self.convolutions:
            nn.init.xavier_uniform_(convolution.weight)  # type: ignore[arg-type]
        side = pixels
        for _ in inputs:
            side = -(-side // 2) if strided else side // 2
        if side == 0:
            raise ValueError(f"images of {pixels} pixels a side cannot be halved 4 times; at least 16 are needed")
        self.dim = width if strided else width * side * side

    def forward(self, x: Tensor) -> Tensor:
        x = x if inside_vmap() else channels_last(x)
        for convolution, norm in zip(self.convolutions, self.norms, strict=True):
            x = norm(convolution(x))
            x = F.relu(x if self.strided else F.max_pool2d(x, 2))  # the same as ReLU first, on a quarter of the values
        return x.mean((2, 3)) if self.strided else x.flatten(1)


def channels_last(x: Tensor) -> Tensor:
    """Return images with the channels last in memory, where a CPU pools and normalises several times faster.

    With one channel both layouts are the same numbers, but only these strides make the convolution keep the layout.
    """
    _, c, h, w = x.shape
    if c == 1:
        return x.contiguous().as_strided(x.shape, (h * w, 1, w, 1))
    return x.contiguous(memory_format=torch.channels_last)
