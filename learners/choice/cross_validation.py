"""Cross-validation inside a support set."""

from collections.abc import Callable, Mapping
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn import functional as F

from learners.base import Learner
from learners.choice.all_labels import adapt_to_all_labels
from learners.classifier import Classifier
from learners.representation.sharing import share_results
from learners.support import Support

MOST, MOST_HELD_OUT = 5000, 1000  # examples that are cross-validated whole; held out where there are more
FOLD_POOL = 1000  # pool examples that cross-validation reads, to save time; fewer would hide what uneven pools do


def cross_validate(strategies: Mapping[str, Learner], support: Support, fold: Tensor | None) -> dict[str, Tensor]:
    """Return held-out logits [H, N] by strategy, of the H examples that have a fold, -1 being none; {} without folds.

    Of a pool of more than FOLD_POOL every second, third ... example is read.
    """
    return {name: logits for name, (logits, _) in fit_folds(strategies, support, fold).items()}


def fit_folds(
    strategies: Mapping[str, Learner], support: Support, fold: Tensor | None
) -> dict[str, tuple[Tensor, Classifier]]:
    """Return what ``cross_validate`` does, and each strategy's classifier that was fitted without the last fold."""
    if fold is None:
        return {}
    if not any(learner.capabilities.needs_ngrams for learner in strategies.values()):
        support = replace(support, ngrams=None, pool_ngrams=None)
    pool_x, inside = support.pool_x, fold >= 0
    pool_x = None if pool_x is None else pool_x[:: max(1, -(-len(pool_x) // FOLD_POOL))]
    found: dict[str, tuple[Tensor, Classifier]] = {}
    place = inside.cumsum(0) - 1  # of each example among those that have a fold
    for i in range(int(fold.max()) + 1):
        out, rest = fold == i, replace(support.select(fold != i), pool_x=pool_x)
        examples = support.select(out).examples
        with share_results():
            for name, learner in strategies.items():
                classifier = adapt_to_all_labels(learner, rest)
                z = classifier.logits(examples)
                logits = found[name][0] if name in found else z.new_zeros(int(inside.sum()), support.ways)
                logits[place[out]] = z
                found[name] = logits, classifier
    return found


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
    folds = min(folds, int(counts[counts > 1].min()))
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
