"""Distances between domains, and the map of them."""

import numpy as np
import torch

from learners.shift.similarity import class_means, domain_distances, layout, nearest

EYE = torch.eye(4)


def test_domains_of_the_same_classes_lie_at_0_and_of_unlike_ones_at_1_however_many_there_are():
    apart = domain_distances([EYE[:2], EYE[[1, 0, 0]] * 3, EYE[2:]], standardise=False)
    assert np.allclose(apart, [[0, 0, 1], [0, 0, 1], [1, 1, 0]])


def test_a_distance_is_the_mean_of_both_ways():
    apart = domain_distances([EYE[:1], EYE[:2]], standardise=False)
    assert np.isclose(apart[0, 1], (0 + 0.5) / 2)


def test_the_scale_of_a_feature_counts_for_nothing_where_features_are_standardised():
    x = torch.randn(6, 4, generator=torch.Generator().manual_seed(0))
    parts = [x[:2], x[2:4], x[4:]]
    scaled = [part * torch.tensor([1.0, 100, 0.01, 5]) + 7 for part in parts]
    assert np.allclose(domain_distances(parts, True), domain_distances(scaled, True), atol=1e-4)
    assert not np.allclose(domain_distances(parts, False), domain_distances(scaled, False), atol=1e-1)


def test_class_means_count_only_classes_with_examples():
    means = class_means(torch.tensor([[2.0, 0], [0, 4], [0, 8]]), torch.tensor([3, 7, 7]), unit=True)
    assert torch.equal(means, torch.tensor([[1.0, 0], [0, 1]]))
    raw = class_means(torch.tensor([[2.0, 0], [0, 4], [0, 8]]), torch.tensor([3, 7, 7]), unit=False)
    assert torch.equal(raw, torch.tensor([[2.0, 0], [0, 6]]))


def test_distances_in_a_plane_come_back_as_they_are():
    at = np.array([[0.0, 0], [3, 0], [0, 4], [3, 4]])
    apart = np.linalg.norm(at[:, None] - at[None], axis=-1)
    places, shown = layout(apart)
    assert np.allclose(np.linalg.norm(places[:, None] - places[None], axis=-1), apart)
    assert np.isclose(shown, 1)


def test_few_domains_and_equal_ones_have_places_too():
    assert np.allclose(layout(np.zeros((2, 2)))[0], 0)
    assert layout(np.zeros((1, 1)))[0].shape == (1, 2)


def test_the_nearest_come_first_and_a_domain_is_not_near_to_itself():
    apart = np.array([[0, 0.5, 0.1], [0.5, 0, 0.2], [0.1, 0.2, 0]])
    assert nearest(apart, 0, [0, 1, 2]) == [2, 1]
    assert nearest(apart, 0, [1, 2], 1) == [2]
