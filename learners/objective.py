"""What a model is to be good at, and which label it names for that: accuracy, balanced accuracy or macro-F1.

The probabilities stay what they are. What differs is the label that is named: to be right most often it is the most
probable one; where every label counts the same, a rare label is named at a lower probability than a frequent one.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from domains.objective import ACCURACY, Objective

WORDS = {"accuracy": "accuracy", "balanced_accuracy": "balanced accuracy", "macro_f1": "macro-F1"}
#: Powers of the label frequencies that are tried, the best for most first: by theory it is 1 for balanced accuracy.
POWERS = {
    "accuracy": (0.0,),
    "balanced_accuracy": (1.0, 0.75, 0.5, 0.25, 0.0),
    "macro_f1": (0.5, 0.25, 0.75, 0.0, 1.0),
}


def score_each(
    objective: Objective, named: ArrayLike, y: ArrayLike, weights: ArrayLike | None = None
) -> NDArray[np.floating]:
    """Return scores [n] of examples whose mean is the objective, so that two models can be compared in pairs.

    With w_i the weights at mean 1, Y_c, P_c and T_c their sums over the examples of label c, named c, and both:

        accuracy:           s_i = w_i [named_i = y_i]
        balanced accuracy:  s_i = w_i [named_i = y_i] n / (C Y_{y_i}),  C the labels that have examples
        macro-F1:           s_i = F + n w_i / C sum_c a_ic / (Y_c + P_c),
                            a_ic = 2 [named_i = y_i = c] - F_c ([y_i = c] + [named_i = c])

    with F_c = 2 T_c / (Y_c + P_c), and F their mean over the C labels that have examples or are named. The terms beside
    F sum to 0 over the examples: they are what an example adds to F to first order, its influence (F. R. Hampel. The
    influence curve and its role in robust estimation. JASA 69, 1974. https://doi.org/10.1080/01621459.1974.10482962).

    Args:
        named, y: [n] the labels that a model names, and the true ones.
        weights: [n]; all 1 unless given.
    """
    named, y = np.asarray(named), np.asarray(y)
    n, right = len(y), named == y
    w = np.ones(n) if weights is None else np.asarray(weights, float)
    w = w / w.mean() if n else w
    if objective == ACCURACY or not n:
        return right * w
    ways = int(max(named.max(), y.max())) + 1
    of, taken, both = (np.bincount(rows, each, ways) for rows, each in ((y, w), (named, w), (y, w * right)))
    if objective == "balanced_accuracy":
        return right * w * n / ((of > 0).sum() * of[y])
    sums, there = of + taken, of + taken > 0
    f1 = np.divide(2 * both, sums, out=np.zeros(ways), where=there)
    pull = np.divide(n, sums, out=np.zeros(ways), where=there)
    influence = 2 * right * pull[y] - f1[y] * pull[y] - f1[named] * pull[named]
    return f1[there].mean() + w * influence / there.sum()


def value_of(objective: Objective, named: ArrayLike, y: ArrayLike, weights: ArrayLike | None = None) -> float:
    """Return the objective; NaN of no example."""
    each = score_each(objective, named, y, weights)
    return float(each.mean()) if len(each) else float("nan")


def majority_value(objective: Objective, y: ArrayLike, weights: ArrayLike | None = None) -> float:
    """Return what whoever always names the most frequent label reaches; NaN of no example."""
    y = np.asarray(y, int)
    return value_of(objective, np.full(len(y), np.bincount(y, weights, 1).argmax()), y, weights)


def tilt(p: NDArray[np.floating], offsets: ArrayLike | None) -> NDArray[np.floating]:
    """Return probabilities [n, N] whose logarithms have gained offsets [N]; None: as they are."""
    if offsets is None:
        return p
    logits = np.log(np.maximum(p, 1e-30)) + np.asarray(offsets, float)
    moved = np.exp(logits - logits.max(1, keepdims=True))
    return moved / moved.sum(1, keepdims=True)


def naming_offsets(
    objective: Objective,
    frequencies: NDArray[np.floating],
    p: NDArray[np.floating] | None = None,
    y: ArrayLike = (),
    weights: ArrayLike | None = None,
) -> NDArray[np.floating]:
    """Return what log-probabilities gain [N] before the greatest one's label is named.

        offset_c = -a log frequency_c

    At a = 1 probabilities become those under equal frequencies, for which naming the greatest one is best in balanced
    accuracy. Macro-F1 lies between that and accuracy. Of POWERS the ``a`` is taken that is best on held-out examples,
    and the first where there are none.

    Args:
        frequencies: [N] of the labels, above 0, as the probabilities take them to be.
        p: probabilities [H, N] of held-out examples; y: their labels [H]; weights: [H].
    """
    logs, powers = np.log(frequencies), POWERS[objective]
    if p is None:
        return -powers[0] * logs
    return -max(powers, key=lambda a: value_of(objective, tilt(p, -a * logs).argmax(1), y, weights)) * logs
