"""Cross-validation inside a support set."""

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor

from learners.base import Learner
from learners.choice.all_labels import adapt_to_all_labels
from learners.representation.sharing import share_results
from learners.support import Support

FOLD_POOL = 1000  # pool examples that cross-validation reads, to save time; fewer would hide what uneven pools do


def cross_validate(strategies: Mapping[str, Learner], support: Support, fold: Tensor | None) -> dict[str, Tensor]:
    """Return held-out logits [S, N] by strategy, for folds [S] of the support's examples; {} without folds.

    Of a pool of more than FOLD_POOL every second, third ... example is read.
    """
    if fold is None:
        return {}
    x, pool_x = support.x, support.pool_x
    pool_x = None if pool_x is None else pool_x[:: max(1, -(-len(pool_x) // FOLD_POOL))]
    logits = {name: x.new_zeros(len(x), support.ways) for name in strategies}
    for i in range(int(fold.max()) + 1):
        out, rest = fold == i, replace(support.select(fold != i), pool_x=pool_x)
        with share_results():
            for name, learner in strategies.items():
                logits[name][out] = adapt_to_all_labels(learner, rest).logits(x[out])
    return logits


def stratified_folds(y: Tensor, generator: torch.Generator, folds: int = 3) -> Tensor | None:
    """Return the fold of every example [S], with each class spread evenly; None if a class has only one example."""
    folds = min(folds, int(torch.bincount(y)[y.unique()].min()))
    if folds < 2:
        return None
    fold = torch.empty_like(y)
    for c in y.unique():
        index = (y == c).nonzero()[:, 0]
        fold[index[torch.randperm(len(index), generator=generator)]] = torch.arange(len(index)) % folds
    return fold
