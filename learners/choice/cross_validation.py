"""Cross-validation inside a support set."""

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor

from learners.base import Learner
from learners.choice.all_labels import adapt_to_all_labels
from learners.examples import Examples
from learners.representation.sharing import share_results
from learners.support import Support

MOST, MOST_HELD_OUT = 5000, 1000  # examples that are cross-validated whole; held out where there are more
FOLD_POOL = 1000  # pool examples that cross-validation reads, to save time; fewer would hide what uneven pools do


def cross_validate(strategies: Mapping[str, Learner], support: Support, fold: Tensor | None) -> dict[str, Tensor]:
    """Return held-out logits [H, N] by strategy, of the H examples that have a fold, -1 being none; {} without folds.

    Of a pool of more than FOLD_POOL every second, third ... example is read.
    """
    if fold is None:
        return {}
    x, pool_x = support.x, support.pool_x
    pool_x = None if pool_x is None else pool_x[:: max(1, -(-len(pool_x) // FOLD_POOL))]
    logits = {name: x.new_zeros(len(x), support.ways) for name in strategies}
    for i in range(int(fold.max()) + 1):
        out, rest = fold == i, replace(support.select(fold != i), pool_x=pool_x)
        examples = x[out] if support.ngrams is None else Examples(x, support.ngrams)[out]
        with share_results():
            for name, learner in strategies.items():
                logits[name][out] = adapt_to_all_labels(learner, rest).logits(examples)
    return {name: z[fold >= 0] for name, z in logits.items()}


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
            fold[index[torch.randperm(len(index), generator=generator)]] = torch.arange(len(index)) % folds
    if len(y) > MOST:
        first = (fold == 0).nonzero()[:, 0]
        kept = first[torch.randperm(len(first), generator=generator)[:MOST_HELD_OUT]]
        fold = torch.full_like(y, -1).index_fill(0, kept, 0)
    return fold
