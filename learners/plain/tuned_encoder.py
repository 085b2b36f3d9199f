"""An encoder tuned to the labels of one domain, with a linear head: whole, or by matrices of low rank."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from learners.classifier import Affine
from learners.optimisers import AdamW
from learners.plain.logistic import fit_logistic
from learners.support import Support


class Tunable(Protocol):
    """An encoder whose vectors have gradients."""

    model: nn.Module

    def prepare(self, examples: Sequence[Any]) -> list[Tensor]:
        """Return what the network reads of each example."""

    def batches(self, prepared: Sequence[Tensor], rows: Sequence[int]) -> Iterator[list[int]]:
        """Yield these rows in batches, each of examples that are read together at little waste."""

    def vectors(self, prepared: Sequence[Tensor]) -> Tensor:
        """Return vectors [n, D] of prepared examples."""


TEMPERATURE = 0.1  # of the contrast between examples


@dataclass(frozen=True)
class Recipe:
    """How an encoder is tuned: AdamW, whose rates rise over a tenth of the steps and fall to 0 along a cosine.

    Attributes:
        rate, head_rate: of the encoder and of its head.
        batch: examples of a step.
        smoothing: probability that targets give to all labels alike (C. Szegedy et al. Rethinking the Inception
            architecture. CVPR 2016. https://arxiv.org/abs/1512.00567).
        contrast: weight of ``contrast`` beside the cross-entropy.
        rank: of the matrices that are added to the encoder's maps; 0: the maps themselves are tuned.
        turns: whether images are flipped and turned at random.
    """

    rate: float
    head_rate: float
    batch: int = 32
    smoothing: float = 0.1
    contrast: float = 0.0
    rank: int = 0
    turns: bool = False


class LowRank(nn.Module):
    """x -> W x + b + s U V x with W and b frozen, V [rank, in] random and U [out, rank] 0 at first.

    E. Hu et al. LoRA: low-rank adaptation of large language models. ICLR 2022. https://arxiv.org/abs/2106.09685
    """

    SCALE = 2.0

    def __init__(self, linear: nn.Linear, rank: int, generator: torch.Generator) -> None:
        super().__init__()
        self.linear = linear.requires_grad_(False)
        self.down = nn.Parameter(torch.randn(rank, linear.in_features, generator=generator) / linear.in_features**0.5)
        self.up = nn.Parameter(torch.zeros(linear.out_features, rank))

    def forward(self, x: Tensor) -> Tensor:
        added = F.linear(F.linear(x, self.down), self.up)
        return self.linear(x) + self.SCALE * added

    def merged(self) -> nn.Linear:
        """Return one map that gives the same."""
        with torch.no_grad():
            self.linear.weight += self.SCALE * self.up @ self.down
        return self.linear


def add_low_rank(model: nn.Module, rank: int, generator: torch.Generator) -> None:
    """Freeze a model and add matrices of low rank to each of its linear maps."""
    model.requires_grad_(False)
    for module in list(model.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, nn.Linear):
                setattr(module, name, LowRank(child, rank, generator))


def merge_low_rank(model: nn.Module) -> None:
    """Put what ``add_low_rank`` added into the maps themselves."""
    for module in list(model.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, LowRank):
                setattr(module, name, child.merged())


def tuned_state(model: nn.Module) -> dict[str, Tensor]:
    """Return the tensors that tuning changes, by name."""
    return {name: value.detach().cpu() for name, value in model.named_parameters() if value.requires_grad}


def fit_head(encoder: Tunable, prepared: Sequence[Tensor], y: Tensor) -> nn.Linear:
    """Return logistic regression on the vectors of examples with labels y [n] 0..C-1, to begin with."""
    with torch.no_grad():
        (layer,) = fit_logistic(Support(read(encoder, prepared), y), int(y.max()) + 1, 1.0).layers
    assert isinstance(layer, Affine)
    head = nn.Linear(layer.weight.shape[1], layer.weight.shape[0])
    head.load_state_dict({"weight": layer.weight, "bias": layer.bias})
    return head


def read(encoder: Tunable, prepared: Sequence[Tensor]) -> Tensor:
    """Return the vectors [n, D] of prepared examples, without gradients."""
    found: Tensor | None = None
    with torch.no_grad():
        for rows in encoder.batches(prepared, range(len(prepared))):
            x = encoder.vectors([prepared[row] for row in rows]).cpu()
            found = torch.empty(len(prepared), x.shape[1]) if found is None else found
            found[rows] = x
    return torch.empty(0, 0) if found is None else found


def tune(
    encoder: Tunable,
    head: nn.Linear,
    prepared: Sequence[Tensor],
    y: Tensor,
    epochs: int,
    recipe: Recipe,
    generator: torch.Generator,
    advance: Callable[[int], None] = lambda n: None,
) -> Iterator[int]:
    """Tune an encoder and its head to examples with labels y [n], and yield the number of each epoch after it.

    Args:
        advance: called with the number of examples that steps have seen.
    """
    own = list(tuned_state(encoder.model))
    weights = [value for name, value in encoder.model.named_parameters() if name in own]
    groups = [{"params": weights, "lr": recipe.rate}, {"params": list(head.parameters()), "lr": recipe.head_rate}]
    optimiser = AdamW(groups, weight_decay=0.01)
    steps = max(1, epochs * -(-len(y) // recipe.batch))
    warm = max(1, steps // 10)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimiser,
        lambda step: min((step + 1) / warm, 0.5 + 0.5 * math.cos(math.pi * step / steps)),
    )
    for epoch in range(epochs):
        order = paired_order(y, generator) if recipe.contrast else torch.randperm(len(y), generator=generator).tolist()
        for start in range(0, len(order), recipe.batch):
            chosen = order[start : start + recipe.batch]
            parts = list(encoder.batches(prepared, chosen))
            for together in [parts] if recipe.contrast else [[part] for part in parts]:
                x = _vectors(encoder, prepared, together, recipe.turns, generator)
                labels = y[[row for part in together for row in part]]
                loss = F.cross_entropy(head(x).cpu(), labels, label_smoothing=recipe.smoothing, reduction="sum")
                loss = loss / len(chosen)
                if recipe.contrast:
                    loss = loss + recipe.contrast * contrast(x.cpu(), labels)
                loss.backward()
            optimiser.step()
            optimiser.zero_grad()
            schedule.step()
            advance(len(chosen))
        yield epoch + 1


def _vectors(
    encoder: Tunable,
    prepared: Sequence[Tensor],
    parts: Sequence[Sequence[int]],
    turns: bool,
    generator: torch.Generator,
) -> Tensor:
    """Return the vectors [n, D] of examples in parts that are read one after the other."""
    found = []
    for part in parts:
        examples = [prepared[row] for row in part]
        found.append(encoder.vectors([turn(each, generator) for each in examples] if turns else examples))
    return torch.cat(found)


def paired_order(y: Tensor, generator: torch.Generator) -> list[int]:
    """Return the rows of labels y [n] by chance, but two of one label side by side, so that batches hold such pairs."""
    places = torch.empty(len(y))
    for label in y.unique():
        rows = (y == label).nonzero()[:, 0]
        rows = rows[torch.randperm(len(rows), generator=generator)]
        pairs = torch.rand((len(rows) + 1) // 2, generator=generator)
        places[rows] = pairs.repeat_interleave(2)[: len(rows)]
    return places.argsort(stable=True).tolist()


def contrast(x: Tensor, y: Tensor) -> Tensor:
    """Return how far examples are from those of their label, beside all others: the supervised contrastive loss,

    mean_i  -1 / |P_i| sum_{p in P_i} log( exp(z_i z_p / t) / sum_{j != i} exp(z_i z_j / t) ),

    z being the vectors x [n, D] at unit length, P_i the other examples of the label of i, among those that have any;
    0 without such ones.

    P. Khosla et al. Supervised contrastive learning. NeurIPS 2020. https://arxiv.org/abs/2004.11362
    """
    z = F.normalize(x, dim=1)
    itself = torch.eye(len(y), dtype=torch.bool)
    others = (y[:, None] == y) & ~itself
    log_p = (z @ z.T / TEMPERATURE).masked_fill(itself, -torch.inf).log_softmax(1).masked_fill(~others, 0.0)
    paired = others.any(1)
    return (-log_p.sum(1)[paired] / others.sum(1)[paired]).sum() / max(1, int(paired.sum()))


def turn(image: Tensor, generator: torch.Generator) -> Tensor:
    """Return an image [C, H, W] turned by a random number of quarters, and flipped half of the time."""
    quarters, flipped = torch.randint(4, (2,), generator=generator).tolist()
    image = image.rot90(quarters, (1, 2))
    return image.flip(2) if flipped < 2 else image
