"""Cross-validation inside a support set."""

from collections.abc import Mapping
from dataclasses import replace

from torch import Tensor

from learners.base import Learner
from learners.choice.all_labels import adapt_to_all_labels
from learners.classifier import Classifier
from learners.folds import stratified_folds as stratified_folds
from learners.representation.sharing import share_results
from learners.support import Support

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
