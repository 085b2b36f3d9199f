"""Which labels are probably wrong, by what is said of examples by models that lacked them."""

import numpy as np

DOUBTED = 0.5  # of the probability by chance, 1 / N, below which a given label is doubted


def rank_label_errors(p: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the examples [e] whose label is probably wrong, the surest first, and the label [e] that each likely has.

    A label is doubted that is less than half as probable as by chance, p_i[y_i] < 1 / 2N with N labels in use, and the
    least probable one comes first: the self-confidence of C. G. Northcutt, L. Jiang and I. L. Chuang. Confident
    learning: estimating uncertainty in dataset labels. JAIR 70, 2021. https://doi.org/10.1613/jair.1.12125. Their
    confident joint, which says how many to list, is at a loss where a label has few examples (docs/checks.md).

    Args:
        p: [n, N] probabilities of held-out examples; y: [n] given labels.
    """
    given = p[np.arange(len(y)), y]
    suspects = np.flatnonzero(given < DOUBTED / len(np.unique(y)))
    order = suspects[np.argsort(given[suspects], kind="stable")]
    return order, p[order].argmax(1)
