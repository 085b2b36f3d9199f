"""Images to vectors: EfficientNet-lite0 (Tan & Le 2019, without squeeze-and-excitation, with ReLU6)."""

import io
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_eval

#: repeats, kernel, stride, expansion, output channels of each stage.
STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
)
LAST = (1, 3, 1, 6, 320)
#: Blocks whose statistics tell textures and colours: in images unlike ImageNet's, more than the last layer does.
INNER = (4, 7, 10, 13, 15)
BATCH = 32  # images of a batch


class SameConv(nn.Conv2d):
    """Convolution padded as TensorFlow does it: output size = ceil(input size / stride)."""

    def forward(self, x: Tensor) -> Tensor:
        if self.stride == (1, 1):  # as much on every side, for which no copy of x is needed
            sides = [k // 2 for k in self.kernel_size]
            return F.conv2d(x, self.weight, self.bias, padding=sides, groups=self.groups)
        pads = [
            max((-(-n // s) - 1) * s + k - n, 0)
            for n, k, s in zip(x.shape[2:], self.kernel_size, self.stride, strict=True)
        ]
        (top, left), (height, width) = [p // 2 for p in pads], pads
        return super().forward(F.pad(x, (left, width - left, top, height - top)))


def clip6(x: Tensor) -> Tensor:
    """Return ReLU6 of x, written over x where no gradient will ask for it."""
    return F.relu6(x, inplace=not torch.is_grad_enabled())


def make_norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=1e-3)


class InvertedBottleneck(nn.Module):
    """Mobile inverted bottleneck: expand, depthwise, project, and add the input where shapes allow."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        width = inputs * expansion
        if expansion > 1:
            self._expand_conv, self._bn0 = SameConv(inputs, width, 1, bias=False), make_norm(width)
        self._depthwise_conv = SameConv(width, width, kernel, stride, groups=width, bias=False)
        self._bn1 = make_norm(width)
        self._project_conv, self._bn2 = SameConv(width, outputs, 1, bias=False), make_norm(outputs)
        self.expansion, self.residual = expansion, stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        h = clip6(self._bn0(self._expand_conv(x))) if self.expansion > 1 else x
        h = self._bn2(self._project_conv(clip6(self._bn1(self._depthwise_conv(h)))))
        return h + x if self.residual else h


class EfficientNetModel(nn.Module):
    """The network up to the pooled last layer; parameter names are those of the published weights."""

    def __init__(self) -> None:
        super().__init__()
        self._conv_stem, self._bn0 = SameConv(3, 32, 3, 2, bias=False), make_norm(32)
        blocks, inputs = [], 32
        for repeats, kernel, stride, expansion, outputs in (*STAGES, LAST):
            for i in range(repeats):
                blocks.append(InvertedBottleneck(inputs, outputs, kernel, stride if i == 0 else 1, expansion))
                inputs = outputs
        self._blocks = nn.ModuleList(blocks)
        self._conv_head, self._bn1 = SameConv(320, 1280, 1, bias=False), make_norm(1280)

    def forward(self, x: Tensor) -> Tensor:
        """Return pooled features [n, 1280] of images [n, 3, H, W] scaled to (pixel - 127) / 128."""
        return self.layers(x)[0]

    def layers(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return those, and mean and deviation over the places of the outputs of INNER blocks [n, 1488]."""
        x, inner = clip6(self._bn0(self._conv_stem(x))), []
        for i, block in enumerate(self._blocks):
            x = block(x)
            if i in INNER:
                inner += [x.mean((2, 3)), x.std((2, 3), correction=0)]
        return clip6(self._bn1(self._conv_head(x))).mean((2, 3)), torch.cat(inner, dim=1)


#: Each convolution of a module, and the normalisation that follows it.
FOLDED = {
    EfficientNetModel: (("_conv_stem", "_bn0"), ("_conv_head", "_bn1")),
    InvertedBottleneck: (("_expand_conv", "_bn0"), ("_depthwise_conv", "_bn1"), ("_project_conv", "_bn2")),
}


def fold_norms(model: EfficientNetModel) -> EfficientNetModel:
    """Return the model with each normalisation as part of the convolution before it: the same outputs in half the time.

    It is for a frozen model, whose statistics no longer move. Outputs differ by rounding, about 1e-5.
    """
    for module in list(model.modules()):
        for conv, norm in FOLDED.get(type(module), ()):
            if hasattr(module, conv):
                setattr(module, conv, fuse_conv_bn_eval(getattr(module, conv), getattr(module, norm)))
                setattr(module, norm, nn.Identity())
    return model


class EfficientNetLite:
    """EfficientNet-lite0 pretrained on ImageNet, frozen.

    Args:
        folder: holds ``model.safetensors``.
        small, large: images no larger than ``small`` pixels are resized to so many a side, larger ones to ``large``.
        turns: quarter turns, over which features are averaged.
    """

    dim, last = 2768, 1280

    def __init__(self, folder: Path, small: int = 64, large: int = 128, turns: int = 1) -> None:
        self.small, self.large, self.turns = small, large, turns
        model = EfficientNetModel().eval()
        model.load_state_dict(load_file(folder / "model.safetensors"))
        self.device = torch.device("cpu")
        self.model = fold_norms(model).to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # twice as fast on a CPU

    def to(self, device: torch.device) -> "EfficientNetLite":
        """Move to a device, and return itself."""
        self.model.to(device)
        self.device = device
        return self

    def prepare(self, images: Sequence[bytes]) -> list[Tensor]:
        """Return images as bytes [3, H, H], of as many pixels as they are read at."""
        opened = [Image.open(io.BytesIO(image)) for image in images]
        return [resize([image], self.large if max(image.size) > self.small else self.small)[0] for image in opened]

    def batches(self, prepared: Sequence[Tensor], rows: Sequence[int]) -> Iterator[list[int]]:
        """Yield rows of prepared images in batches of one size."""
        for size in {len(image[0]) for image in prepared}:
            own = [row for row in rows if len(prepared[row][0]) == size]
            yield from (own[i : i + BATCH] for i in range(0, len(own), BATCH))

    def vectors(self, images: Sequence[Tensor]) -> Tensor:
        """Return features [n, 2768] of prepared images of one size."""
        return self._features((torch.stack(list(images)).float() - 127) / 128)

    @torch.inference_mode()
    def encode(self, images: Sequence[bytes]) -> Tensor:
        """Return the last layer, to unit length, and inner layers' statistics [n, 2768] of images (PNG, JPEG, ...)."""
        opened = [Image.open(io.BytesIO(image)) for image in images]
        large = torch.tensor([max(image.size) > self.small for image in opened])
        found = torch.empty(len(images), self.dim)
        for which, pixels in ((~large, self.small), (large, self.large)):
            some = [image for image, chosen in zip(opened, which.tolist(), strict=True) if chosen]
            if some:
                x = (resize(some, pixels).float() - 127) / 128
                found[which] = (
                    torch.stack([self._features(x.rot90(k, (2, 3))) for k in range(self.turns)]).mean(0).cpu()
                )
        return found

    def _features(self, x: Tensor) -> Tensor:
        """Return features [n, 2768] of images [n, 3, H, W], scaled as the network reads them."""
        last, inner = self.model.layers(x.to(self.device).contiguous(memory_format=torch.channels_last))
        return torch.cat([F.normalize(last, dim=-1), inner], dim=1)


def decode_images(images: Sequence[bytes], pixels: int) -> Tensor:
    """Return encoded images as bytes [n, 3, pixels, pixels], channels last in memory."""
    return resize([Image.open(io.BytesIO(image)) for image in images], pixels)


def resize(images: Sequence[Image.Image], pixels: int) -> Tensor:
    """Return images as bytes [n, 3, pixels, pixels], channels last in memory."""
    size = (pixels, pixels)
    read = [np.asarray(image.convert("RGB").resize(size, Image.Resampling.BILINEAR)) for image in images]
    return torch.from_numpy(np.stack(read)).permute(0, 3, 1, 2)
