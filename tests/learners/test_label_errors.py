"""Which labels are doubted, in which order, and what is likely in their place."""

import numpy as np

from learners.label_errors import rank_label_errors


def test_labels_less_than_half_as_probable_as_by_chance_are_doubted_the_least_probable_first():
    p = np.array([[0.84, 0.15, 0.01], [0.05, 0.55, 0.40], [0.10, 0.17, 0.73], [0.16, 0.14, 0.70], [0.90, 0.05, 0.05]])
    order, likely = rank_label_errors(p, np.array([1, 0, 1, 0, 2]))
    assert order.tolist() == [1, 4, 0, 3]  # 0.17 is not below 1 / 6
    assert likely.tolist() == [1, 0, 0, 2]


def test_chance_is_that_among_the_labels_in_use():
    p = np.array([[0.74, 0.26, 0.0], [0.76, 0.24, 0.0], [0.9, 0.1, 0.0]])
    order, _ = rank_label_errors(p, np.array([1, 1, 0]))
    assert order.tolist() == [1]
