"""Prediction sets that hold the true label as often as stated, from few held-out examples.

Everywhere p is [n, N], calibrated probabilities, and y is [n], the index of the true label. A label is in the set of
an example where it is at least as probable as a threshold: of all rules of one coverage this gives the smallest sets
(Sadinle, Lei & Wasserman, "Least Ambiguous Set-Valued Classifiers with Bounded Error Levels", JASA 2019).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

COVERAGE = 0.9  # of the sets that are kept with a model


@dataclass(frozen=True)
class PredictionSets:
    """The sets of one classifier.

    Attributes:
        threshold: labels at least as probable as this are in the set; at 0 all of them are.
        coverage: the share of new examples whose set is to hold the true label.
    """

    threshold: float
    coverage: float = COVERAGE

    def sets(self, probabilities: Tensor) -> Tensor:
        """Return whether each label is in the set of each example [n, N]; the most probable label always is.

        Where the most probable label alone is right more often than ``coverage``, sets cover that much more.
        """
        inside = probabilities >= self.threshold
        return inside.scatter(1, probabilities.argmax(1, keepdim=True), True)


def held_out_threshold(probabilities: Tensor, y: Tensor, coverage: float = COVERAGE) -> float:
    """Return the threshold for new examples like n labelled ones that were predicted by models without them.

    With the probabilities p_i[y_i] of the true labels in ascending order, a_1 <= ... <= a_n, a new example's is below
    a_k with probability k / (n + 1) (Vovk et al. 2005), so that the threshold is a_k at k = (n + 1) (1 - coverage).
    Between two ranks it is interpolated (Hutson 1999): rounded down, 15 examples would cover 94 % for 90 %. Below the
    first rank, under 9 examples at 90 %, nothing smaller than all labels is safe and the threshold is 0.

    This holds on average over draws of the examples: one draw of 30 covers 90 % give or take 5 points. Models without
    an example are not quite the final one (cross-conformal prediction: Vovk, Annals of Mathematics and Artificial
    Intelligence 2015). They know less, so that sets cover more than stated; where a learner is surer of itself the more
    examples it has, as logistic regression is, sets cover less. On text features with 5 to 20 labels a class, a third
    of them left out, 90 % stated are 87 to 93 %; with half of 2 labels left out, 81 to 94 %.
    """
    true = _of_true_labels(probabilities, y).sort().values
    rank = round((len(true) + 1) * (1 - coverage), 9)  # rounded, for 10 * (1 - 0.9) < 1
    whole = int(rank)
    if whole < 1:
        return 0.0
    low, high = true[whole - 1], true[min(whole, len(true) - 1)]
    return float(low + (rank - whole) * (high - low))


def episodes_threshold(probabilities: Sequence[Tensor], y: Sequence[Tensor], coverage: float = COVERAGE) -> float:
    """Return the threshold for a task like source episodes, in multiples of chance: of 1 / N, for N labels.

    The quantile of N p[y] at 1 - coverage where every episode weighs the same, for the next task is one more of them
    (pooled distributions: Dunn, Wasserman & Ramdas, "Distribution-Free Prediction Sets for Two-Layer Hierarchical
    Models", JASA 2022). A multiple of chance carries over between numbers of labels; a probability does not.

    Raises:
        ValueError: no episodes.
    """
    if not probabilities:
        raise ValueError("a threshold needs at least one episode")
    true = [p.shape[1] * _of_true_labels(p, target) for p, target in zip(probabilities, y, strict=True)]
    weights = torch.cat([t.new_full((len(t),), 1 / len(t) / len(true)) for t in true])
    values, order = torch.cat(true).sort()
    below = weights[order].cumsum(0)
    return float(values[min(int((below < 1 - coverage).sum()), len(values) - 1)])


def _of_true_labels(probabilities: Tensor, y: Tensor) -> Tensor:
    return probabilities.double().gather(1, y[:, None])[:, 0]
