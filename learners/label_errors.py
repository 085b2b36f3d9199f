"""Which labels are probably wrong: confident learning, on what is said of examples by models that lacked them.

C. G. Northcutt, L. Jiang and I. L. Chuang. Confident learning: estimating uncertainty in dataset labels. Journal of
Artificial Intelligence Research 70, 2021. https://doi.org/10.1613/jair.1.12125
"""

import numpy as np


def confident_labels(p: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return the label [n] that each example confidently has; its given one where none is confident.

    A label j is confident for an example i where it is as probable as for the examples that are given it, on average:

        p_ij >= t_j,    t_j = mean of p_kj over the k with y_k = j;

    of several the most probable one is taken. Counted by given and confident label these are the confident joint. A
    label that no example is given is never confident.

    Args:
        p: [n, N] probabilities of held-out examples; y: [n] given labels.
    """
    n, ways = p.shape
    given = np.zeros((n, ways))
    given[np.arange(n), y] = 1
    counts = given.sum(0)
    thresholds = np.where(counts > 0, (given * p).sum(0) / counts.clip(1), np.inf)
    reached = np.where(p >= thresholds, p, -1.0)
    best = reached.argmax(1)
    return np.where(reached[np.arange(n), best] >= 0, best, y)


def rank_label_errors(p: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the examples [e] whose label is probably wrong, the surest first, and the label [e] that each likely has.

    First comes the one whose given label is least probable (the paper's self-confidence).
    """
    likely = confident_labels(p, y)
    suspects = np.flatnonzero(likely != y)
    order = suspects[np.argsort(p[suspects, y[suspects]], kind="stable")]
    return order, likely[order]
