"""What a body is, and the one that does nothing."""

from torch import Tensor

from learners.parts import Part, register_part


class Body(Part):
    """A network from examples [n, *shape] to vectors [n, dim]."""

    shape: tuple[int, ...]
    dim: int


@register_part
class Features(Body):
    """The body of learners that read the vectors of a frozen encoder: returns them as they are."""

    name = "features"

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.config, self.shape, self.dim = {"dim": dim}, (dim,), dim

    def forward(self, x: Tensor) -> Tensor:
        return x
