"""Confident learning, held against its formula by hand."""

import numpy as np

from learners.label_errors import confident_labels, rank_label_errors


def test_a_label_is_confident_where_it_reaches_the_mean_of_its_own():
    p = np.array([[0.9, 0.1], [0.7, 0.3], [0.2, 0.8], [0.45, 0.55], [0.15, 0.85], [0.35, 0.65]])
    y = np.array([0, 0, 0, 1, 1, 1])
    # t_0 = (0.9 + 0.7 + 0.2) / 3 = 0.6, t_1 = (0.55 + 0.85 + 0.65) / 3 = 0.683: row 3 and row 5 reach neither
    assert confident_labels(p, y).tolist() == [0, 0, 1, 1, 1, 1]


def test_the_least_probable_given_label_comes_first_and_of_two_confident_ones_the_more_probable_is_likely():
    p = np.array([[0.5, 0.3, 0.2], [0.6, 0.2, 0.2], [0.05, 0.6, 0.35], [0.1, 0.55, 0.35], [0.1, 0.5, 0.4], [0.8, 0.1, 0.1]])
    y = np.array([0, 0, 0, 1, 2, 2])
    # t = (0.383, 0.55, 0.25)
    order, likely = rank_label_errors(p, y)
    assert order.tolist() == [2, 5]
    assert likely.tolist() == [1, 0]


def test_a_label_without_an_example_is_never_likely():
    order, _ = rank_label_errors(np.array([[0.1, 0.1, 0.8], [0.1, 0.2, 0.7]]), np.array([0, 1]))
    assert order.tolist() == []
