"""Which labelled examples are held out of a fit, and which are read where there are many."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

MOST, MOST_HELD_OUT = 5000, 1000  # examples that are cross-validated whole; held out where there are more


def hold_out(
    fit: Callable[[Tensor, Tensor], list[tuple[Tensor, Tensor]]], x: Tensor, y: Tensor, fold: Tensor
) -> list[Tensor]:
    """Return the logits [H, N] of the H examples that have a fold, by linear models without it; [] without folds.

    Args:
        fit: from features and labels to a weight [N, D] and bias [N] for each of several models.
        x: [n, D]; y: [n] labels, each with an example outside every fold; fold: [n], -1 being none.
    """
    logits: list[Tensor] = []
    for i in range(int(fold.max()) + 1):
        out = fold == i
        models = fit(x[~out], y[~out])
        logits = logits or [x.new_zeros(len(x), len(bias)) for _, bias in models]
        for z, (weight, bias) in zip(logits, models, strict=True):
            z[out] = F.linear(x[out], weight, bias)
    return [z[fold >= 0] for z in logits]


def stratified_folds(y: Tensor, generator: torch.Generator, folds: int = 3) -> Tensor | None:
    """Return the fold of every example [S], with each class spread evenly; None if no class has two examples.

    The only example of a class is in no fold, -1, and so in every training part. Of more than MOST examples one fold
    of MOST_HELD_OUT is enough, and the rest are in none.
    """
    counts = torch.bincount(y)[y.unique()]
    if counts.max() < 2:
        return None
    folds = min(folds, int(counts.max()))
    fold = torch.full_like(y, -1)
    for c in y.unique():
        index = (y == c).nonzero()[:, 0]
        if len(index) > 1:
            order = torch.randperm(len(index), generator=generator, device="cpu").to(y.device)
            fold[index[order]] = torch.arange(len(index), device=y.device) % folds
    if len(y) > MOST:
        first = (fold == 0).nonzero()[:, 0]
        kept = first[torch.randperm(len(first), generator=generator)[:MOST_HELD_OUT]]
        fold = torch.full_like(y, -1).index_fill(0, kept, 0)
    return fold


def sample_rows(y: Tensor, size: int, generator: torch.Generator) -> Tensor:
    """Return so many rows of labels [S] by chance, in ascending order, with one of every class at least."""
    if len(y) <= size:
        return torch.arange(len(y), device=y.device)
    order = torch.randperm(len(y), generator=generator, device="cpu").to(y.device)
    classes, of = y[order].unique(return_inverse=True)
    place = torch.arange(len(y), device=y.device)
    first = torch.full_like(classes, len(y)).scatter_reduce(0, of, place, "amin")
    other = torch.ones_like(y, dtype=torch.bool).index_fill(0, first, False).nonzero()[:, 0]
    return order[torch.cat([first, other[: max(0, size - len(first))]])].sort().values
