"""Suggestions cover what no label is near, and a forecast carries on the curve it was given."""

from itertools import pairwise

import pytest
import torch

from learners.choice.forecast import forecast, learning_curve
from learners.choice.suggest import suggest
from learners.plain.prototype import NearestPrototype
from learners.support import Support

CENTRES = 4 * torch.eye(6, 16)


def pool(sizes: list[int], seed: int = 0, spread: float = 0.5) -> tuple[torch.Tensor, torch.Tensor]:
    """Gaussian classes of these sizes: features [U, 16] in no order, and labels [U]."""
    generator = torch.Generator().manual_seed(seed)
    y = torch.repeat_interleave(torch.arange(len(sizes)), torch.tensor(sizes))
    y = y[torch.randperm(len(y), generator=generator)]
    return CENTRES[y] + spread * torch.randn(len(y), 16, generator=generator), y


def test_no_example_is_suggested_twice_and_more_than_there_are_gives_all():
    x, _ = pool([8] * 3)
    for n in (1, 7, 24, 100):
        found = suggest(x, x[:2], n)
        assert len(found.rows) == len(found.stands_for) == min(n, 24)
        assert len(found.rows.unique()) == len(found.rows)


def test_every_class_without_a_label_gets_one_before_any_gets_a_second():
    x, y = pool([90, 60, 40, 30, 20, 10])
    assert sorted(y[suggest(x, x[:0], 6).rows].tolist()) == [0, 1, 2, 3, 4, 5]
    labelled = x[(y < 2).nonzero()[:6, 0]]
    assert sorted(y[suggest(x, labelled, 4).rows].tolist()) == [2, 3, 4, 5]


def test_a_suggestion_stands_for_the_examples_that_are_like_it():
    x, y = pool([5, 60, 20, 5, 5, 5], spread=0.1)
    found = suggest(x, x[:0], 6)
    assert found.stands_for.tolist() == torch.bincount(y)[y[found.rows]].tolist()


def test_an_outlier_is_not_suggested_while_there_are_groups():
    x, _ = pool([30] * 4)
    x = torch.cat([x, -9 * torch.ones(1, 16)])
    assert 120 not in suggest(x, x[:4], 8).rows


def test_a_copy_of_a_labelled_example_is_the_last():
    x, _ = pool([10] * 4)
    assert suggest(x, x[7:8], 40).rows[-1] == 7


def test_with_suggested_labels_a_model_is_better_than_with_random_ones():
    gains = []
    for seed in range(10):
        x, y = pool([150, 80, 40, 20, 10, 10], seed, spread=1.5)
        test_x, test_y = pool([40] * 6, seed + 100, spread=1.5)
        start = torch.stack([(y == c).nonzero()[0, 0] for c in range(6)])
        chosen = suggest(x, x[start], 12).rows
        random = torch.randperm(len(x), generator=torch.Generator().manual_seed(seed))[:12]
        right = []
        for more in (chosen, random):
            rows = torch.cat([start, more])
            p = NearestPrototype(16).adapt(Support(x[rows], y[rows])).predict_proba(test_x)
            right.append(float((p.argmax(1) == test_y).float().mean()))
        gains.append(right[0] - right[1])
    assert sum(gains) / len(gains) > 0.02


# The forecast


def curve(a: float, b: float, c: float, noise: float = 0.0, seed: int = 0) -> torch.Tensor:
    """Accuracies [5, 4] at 2, 5, 8 and 10 labels a class of a - b n^-c."""
    exact = a - b * torch.tensor([2.0, 5, 8, 10]) ** -c
    return exact + noise * torch.randn(5, 4, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(("a", "b", "c"), [(0.9, 0.5, 0.5), (0.8, 0.4, 1.0), (0.95, 0.6, 0.4), (0.7, 0.0, 0.5)])
def test_a_power_law_is_carried_on_and_its_interval_holds_the_truth(a: float, b: float, c: float):
    true, held = a - b * 20**-c, 0
    for seed in range(20):
        found = forecast([2, 5, 8, 10], curve(a, b, c, 0.02, seed), 1000)
        assert found is not None
        assert found.size == 20
        assert abs(found.accuracy - true) < 0.05
        held += found.low <= true <= found.high
    assert held >= 16  # 18 are meant


def test_a_forecast_never_falls_below_a_curve_that_rises_nor_above_1():
    found = forecast([2, 5, 8, 10], curve(1.0, 0.3, 0.9), 50)
    assert found is not None
    assert curve(1.0, 0.3, 0.9).max() <= found.accuracy <= found.high <= 1
    assert found.low <= found.accuracy <= found.high


def test_few_test_examples_make_the_interval_wider():
    wide, narrow = (forecast([2, 5, 8, 10], curve(0.9, 0.5, 0.5, 0.01), tests) for tests in (50, 5000))
    assert wide is not None
    assert narrow is not None
    assert wide.high - wide.low > 1.5 * (narrow.high - narrow.low)


def test_under_three_labels_a_class_or_from_one_draw_nothing_is_forecast():
    assert forecast([1, 2], torch.tensor([[0.5, 0.6]] * 5), 100) is None
    assert forecast([1, 2, 4], torch.tensor([[0.5, 0.6, 0.7]]), 100) is None
    assert forecast([4], torch.tensor([[0.5]] * 5), 100) is None


def test_supports_of_a_curve_are_nested_and_have_every_class():
    y = torch.tensor([0, 1, 2] * 12)
    seen: list[torch.Tensor] = []

    def score(rows: torch.Tensor) -> float:
        seen.append(rows)
        return len(rows) / 100

    sizes, accuracies = learning_curve(score, y, 8, 2, torch.Generator().manual_seed(0))
    assert sizes == [2, 4, 6, 8]
    assert accuracies.tolist() == [pytest.approx([0.06, 0.12, 0.18, 0.24])] * 2
    for draw in (seen[:4], seen[4:]):
        for size, rows in zip(sizes, draw, strict=True):
            assert torch.bincount(y[rows]).tolist() == [size] * 3
        assert all(set(a.tolist()) < set(b.tolist()) for a, b in pairwise(draw))
