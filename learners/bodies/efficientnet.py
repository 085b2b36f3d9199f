"""EfficientNet-lite0 as a body that may be trained (Tan & Le 2019): the encoder of images, not frozen."""

from pathlib import Path

from safetensors.torch import load_file
from torch import Tensor
from torch.nn import functional as F

from learners.bodies.body import Body
from learners.encoders import efficientnet
from learners.parts import register_part


@register_part
class EfficientNet(Body):
    """Images [n, 3, pixels, pixels], 0 to 1, to unit-length vectors [n, 1280]; weights start at random.

    Batch normalisation always uses the statistics it was pretrained with: a support is too small to have its own.
    """

    name = "efficientnet-lite0"

    def __init__(self, pixels: int = 64) -> None:
        super().__init__()
        self.config, self.shape, self.dim = {"pixels": pixels}, (3, pixels, pixels), 1280
        self.network = efficientnet.EfficientNetModel()

    @classmethod
    def from_folder(cls, folder: Path, pixels: int = 64) -> "EfficientNet":
        """Return a body with the weights in ``model.safetensors`` of a folder."""
        body = cls(pixels)
        body.network.load_state_dict(load_file(folder / "model.safetensors"))
        return body

    def train(self, mode: bool = True) -> "EfficientNet":
        super().train(mode)
        self.network.eval()
        return self

    def forward(self, x: Tensor) -> Tensor:
        return F.normalize(self.network((255 * x - 127) / 128), dim=-1)
