"""Prediction sets hold the true label as often as stated, and are never empty."""

import pytest
import torch
from torch.nn import functional as F

from learners.choice.conformal import PredictionSets, episodes_threshold, held_out_threshold
from learners.choice.portfolio import Prior, choose
from learners.plain.logistic import Logistic
from learners.plain.prototype import NearestPrototype
from learners.support import Support

DIM = 16


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def gaussians(ways, counts, seed, spread=0.7):
    """Examples of ``ways`` classes around centres of their own, one set for each of ``counts`` examples a class."""
    generator = seeded(seed)
    centres = 1.5 * F.normalize(torch.randn(ways, DIM, generator=generator), dim=1)
    found = []
    for count in counts:
        y = torch.arange(ways).repeat_interleave(count)
        found.append((centres[y] + spread * torch.randn(len(y), DIM, generator=generator), y))
    return found


def covered(sets, y):
    return sets.gather(1, y[:, None]).double().mean().item()


# Coverage


@pytest.mark.parametrize("coverage", [0.8, 0.9])
@pytest.mark.parametrize("n", [12, 15, 20, 39, 100])
def test_sets_cover_as_often_as_stated_whatever_the_number_of_labelled_examples(n, coverage):
    generator, found = seeded(n), []
    for _ in range(400):
        p = F.softmax(1.5 * torch.randn(n + 100, 6, generator=generator), 1)
        y = torch.multinomial(p, 1, generator=generator)[:, 0]
        threshold = held_out_threshold(p[:n], y[:n], coverage)
        found.append(covered(PredictionSets(threshold, coverage).sets(p[n:]), y[n:]))
    assert sum(found) / len(found) == pytest.approx(coverage, abs=0.02)


@pytest.mark.parametrize("learner", [Logistic(DIM), NearestPrototype(DIM)], ids=lambda learner: learner.name)
def test_a_model_adapted_from_ten_labels_a_class_covers_within_two_points_of_90_percent(learner):
    found, sizes = [], []
    for seed in range(100):
        (x, y), (test_x, test_y) = gaussians(8, (10, 50), seed)
        model = choose({"logistic": learner}, Support(x, y, ways=8), Prior(), seeded(seed)).classifier
        sets = PredictionSets(model.threshold).sets(model.predict_proba(test_x))
        found.append(covered(sets, test_y))
        sizes.append(sets.sum(1).double().mean().item())
    assert sum(found) / len(found) == pytest.approx(0.9, abs=0.02)
    assert sum(sizes) / len(sizes) < 4


def test_sets_are_larger_where_the_stated_coverage_is():
    p = F.softmax(torch.randn(200, 5, generator=seeded()), 1)
    y = torch.multinomial(p, 1, generator=seeded(1))[:, 0]
    sizes = [PredictionSets(held_out_threshold(p, y, c), c).sets(p).sum() for c in (0.5, 0.8, 0.9, 0.99)]
    assert sizes == sorted(sizes)
    assert sizes[0] < sizes[-1]


# The threshold


def test_the_threshold_is_the_rank_of_true_labels_that_one_in_ten_falls_below():
    p = torch.linspace(0.05, 0.95, 19)
    both = torch.stack([p, 1 - p], 1)[torch.randperm(19, generator=seeded())]
    assert held_out_threshold(both, torch.zeros(19, dtype=torch.int64)) == pytest.approx(p[1].item())  # 20 * 0.1 = 2
    between = held_out_threshold(both[both[:, 0] > 0.22], torch.zeros(15, dtype=torch.int64))
    assert between == pytest.approx(p[4].item() + 0.6 * 0.05)  # 16 * 0.1 = 1.6


@pytest.mark.parametrize(("n", "every"), [(1, True), (8, True), (9, False), (30, False)])
def test_under_nine_labelled_examples_a_set_of_90_percent_is_every_label(n, every):
    p = F.softmax(torch.randn(n, 4, generator=seeded()), 1)
    threshold = held_out_threshold(p, p.argmax(1))
    assert (threshold == 0) == every
    assert PredictionSets(threshold).sets(torch.tensor([[0.0, 1.0, 0.0, 0.0]])).all() == every


@pytest.mark.parametrize("threshold", [0.0, 0.3, 0.9, 1.0, 2.0])
def test_a_set_is_never_empty_and_holds_the_most_probable_label(threshold):
    p = F.softmax(torch.randn(50, 7, generator=seeded()), 1)
    sets = PredictionSets(threshold).sets(p)
    assert sets.shape == p.shape
    assert sets.gather(1, p.argmax(1, keepdim=True)).all()
    assert torch.equal(sets | (p >= threshold), sets)
    assert (sets.sum(1) >= 1).all()


# From source episodes


def episodes(ways, seeds):
    found = []
    for seed in seeds:
        (x, y), (test_x, test_y) = gaussians(ways, (1, 20), seed, spread=0.6)
        found.append((F.softmax(NearestPrototype(DIM).adapt(Support(x, y)).logits(test_x), 1), test_y))
    return tuple(zip(*found, strict=True))


@pytest.mark.parametrize("ways", [3, 5, 8, 12])
def test_a_threshold_of_source_episodes_carries_over_to_another_number_of_labels(ways):
    source = [episodes(n, range(100 * n, 100 * n + 20)) for n in (4, 6, 10)]
    times_chance = episodes_threshold(*(sum(part, ()) for part in zip(*source, strict=True)))
    sets = PredictionSets(times_chance / ways)
    found = [covered(sets.sets(p), y) for p, y in zip(*episodes(ways, range(40)), strict=True)]
    assert sum(found) / len(found) == pytest.approx(0.9, abs=0.05)


def test_source_episodes_weigh_the_same_however_many_queries_they_have():
    def episode(true, queries):
        return torch.tensor([[true, 1 - true]]).repeat(queries, 1), torch.zeros(queries, dtype=torch.int64)

    few, many = episode(0.2, 3), episode(0.7, 1000)
    assert episodes_threshold(*zip(few, many, strict=True), coverage=0.4) == pytest.approx(1.4)
    assert episodes_threshold(*zip(few, many, strict=True), coverage=0.6) == pytest.approx(0.4)


def test_no_episodes_are_an_error_that_says_so():
    with pytest.raises(ValueError, match="at least one episode"):
        episodes_threshold([], [])
