"""Episodes are disjoint, of the shape asked for, and the same for the same seed."""

from dataclasses import replace

import pytest
import torch

from domains.episode import ALL, NATURAL, Pile, Shape, draw, draw_support

SHAPE = Shape(ways=(3, 5), shots=(1, 4), queries=6, pool=(0, 40), imbalance=(1.0, float("inf")))


def pile(sizes, name="d", shared=False):
    """Feature 0 is the number of the example, so that it can be found again; feature 1 is its class."""
    y = torch.arange(len(sizes)).repeat_interleave(torch.tensor(sizes))
    y = y[torch.randperm(len(y), generator=torch.Generator().manual_seed(0))]
    return Pile(name, torch.stack([torch.arange(len(y)), y], dim=1).float(), y, shared)


def series(days=40, assets=5, labels=3):
    """A pile in time: the feature 0 of an example is its number, the feature 1 its day."""
    time = torch.arange(days).repeat_interleave(assets) * 7 + 10_000
    y = torch.arange(len(time)) % labels
    return Pile("market", torch.stack([torch.arange(len(time)), time], dim=1).float(), y, True, time)


def episodes(piles, shape=SHAPE, n=60, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [draw(piles, shape, generator) for _ in range(n)]


def numbers(x):
    return set() if x is None else set(x[:, 0].tolist())


@pytest.mark.parametrize("piles", [[pile([30] * 8), pile([10, 50, 7, 30])], [series()]], ids=["classes", "time"])
def test_support_query_and_pool_share_no_example_and_repeat_none(piles):
    for episode in episodes(piles):
        parts = [episode.support_x, episode.query_x, episode.pool_x]
        sets = [numbers(part) for part in parts]
        assert [len(s) for s in sets] == [0 if part is None else len(part) for part in parts]
        assert len(set.union(*sets)) == sum(len(s) for s in sets)


def test_an_episode_has_the_shape_asked_for_and_labels_from_0():
    seen = set()
    for episode in episodes([pile([60] * 9)], n=150):
        counts, queries = torch.bincount(episode.support_y), torch.bincount(episode.query_y)
        shots, pool = int(counts[0]), 0 if episode.pool_x is None else len(episode.pool_x)
        assert 3 <= episode.ways <= 5
        assert counts.tolist() == [shots] * episode.ways
        assert queries.tolist() == [6] * episode.ways
        assert episode.support_x.shape == (shots * episode.ways, 2)
        assert pool == 0 or 40 - episode.ways <= pool <= 40 + episode.ways
        seen.add((episode.ways, shots, pool > 0))
    assert len(seen) == 3 * 2 * 2  # every combination comes


def test_one_label_stands_for_one_class_of_one_domain():
    for episode in episodes([pile([30] * 8), pile([30] * 4)]):
        classes = [set(episode.support_x[episode.support_y == c, 1].tolist()) for c in range(episode.ways)]
        assert all(len(c) == 1 for c in classes)
        assert len(set.union(*classes)) == episode.ways
        for c in range(episode.ways):
            assert set(episode.query_x[episode.query_y == c, 1].tolist()) == classes[c]
        if episode.pool_x is not None:
            assert set(episode.pool_x[:, 1].tolist()) <= set.union(*classes)


def test_every_domain_class_and_example_has_its_turn():
    one, other = pile([12] * 6), pile([12] * 6)
    other = replace(other, x=other.x + 1000)
    drawn = [numbers(e.support_x) | numbers(e.query_x) for e in episodes([one, other], n=150)]
    assert len(set.union(*drawn)) == 2 * 72


def test_the_same_seed_gives_the_same_episodes_and_another_others():
    piles = [pile([30] * 8), pile([10, 50, 7, 30])]
    one, same, other = (episodes(piles, n=5, seed=seed) for seed in (1, 1, 2))
    for a, b in zip(one, same, strict=True):
        for mine, theirs in zip(a.tensors, b.tensors, strict=True):
            assert (mine is None and theirs is None) or torch.equal(mine, theirs)
    assert not any(torch.equal(a.support_x, b.support_x) for a, b in zip(one, other, strict=True))


def test_the_sampler_goes_on_from_a_saved_state():
    generator = torch.Generator().manual_seed(0)
    piles = [pile([30] * 8)]
    draw(piles, SHAPE, generator)
    state = generator.get_state()
    one = draw(piles, SHAPE, generator)
    generator.set_state(state)
    assert torch.equal(draw(piles, SHAPE, generator).support_x, one.support_x)


def test_a_balanced_pool_has_as_many_examples_of_every_class():
    shape = replace(SHAPE, pool=(40,), imbalance=(float("inf"),))
    for episode in episodes([pile([60] * 9)], shape):
        counts = episode.pool_x[:, 1].unique(return_counts=True)[1]
        assert len(counts) == episode.ways
        assert counts.max() == counts.min() == round(40 / episode.ways)


def test_a_dirichlet_pool_is_imbalanced_and_its_mean_is_balanced():
    shape = replace(SHAPE, ways=(4, 4), shots=(1,), pool=(100,), imbalance=(1.0,))
    drawn = [torch.bincount(e.pool_x[:, 1].long(), minlength=4) for e in episodes([pile([300] * 4)], shape, n=200)]
    shares = torch.stack(drawn).double() / 100
    assert shares.amax(1).mean() > 0.4  # of Dirichlet(1, 1, 1, 1) the largest is (1 + 1/2 + 1/3 + 1/4) / 4 = 0.52
    assert shares.amax(1).mean() < 0.6
    assert (shares.mean(0) - 0.25).abs().max() < 0.05
    assert (shares.std(0) - (0.25 * 0.75 / 5) ** 0.5).abs().max() < 0.04


def test_the_order_of_a_pool_does_not_tell_its_classes():
    """The reference learner looks at the first examples of a pool: they must be like the rest."""
    shape = replace(SHAPE, ways=(4, 4), shots=(1,), pool=(200,), imbalance=(float("inf"),))
    for episode in episodes([pile([300] * 4)], shape, n=10):
        assert len(episode.pool_x[:40, 1].unique()) == 4


def test_small_classes_are_left_out_and_keep_a_query_where_they_are_not():
    for episode in episodes([pile([4, 6, 40, 40, 5])], replace(SHAPE, shots=(4,))):
        assert 0 not in episode.support_x[:, 1]  # 4 examples, 4 shots: nothing to ask
        assert 4 not in episode.support_x[:, 1]
        assert torch.bincount(episode.query_y).min() >= 1


@pytest.mark.parametrize("sizes", [[5, 5, 5], [40, 5]])
def test_too_few_examples_are_an_error_that_names_the_domain_and_the_number_needed(sizes):
    with pytest.raises(ValueError, match="domain tiny: fewer than 2 classes have the 6 examples that 4 shots need"):
        draw([pile(sizes, "tiny")], replace(SHAPE, shots=(4,)), torch.Generator())


# Label sets as users have them


def counts_of(x, classes):
    return torch.bincount(x[:, 1].long(), minlength=classes)


def test_an_uneven_support_has_as_many_examples_on_average_and_every_class_at_least_one():
    shape = replace(SHAPE, ways=(4, 4), shots=(10,), pool=(0,), support_imbalance=(1.0,))
    counts = torch.stack([counts_of(e.support_x, 4) for e in episodes([pile([400] * 4)], shape, n=200)])
    assert counts.min() == 1
    assert counts.max() > 25
    assert (counts.double().mean(0) - 10).abs().max() < 1.5
    assert (counts.sum(1) - 40).abs().max() <= 4  # rounding


def test_a_natural_support_and_pool_are_as_frequent_as_the_pile_and_so_are_queries_that_are_alike():
    shape = Shape((3, 3), (20,), 20, (100,), (NATURAL,), support_imbalance=(NATURAL,), alike=1.0)
    for e in episodes([pile([300, 90, 30])], shape, n=5):
        sizes = torch.tensor([300, 90, 30])
        for x, n in ((e.support_x, 60), (e.query_x, 60), (e.pool_x, 100)):
            assert (counts_of(x, 3) - n * sizes / 420).abs().max() <= 1


def test_queries_are_as_frequent_as_the_pool_for_the_share_asked_for_and_even_without_one_as_the_support():
    shape = replace(SHAPE, ways=(4, 4), shots=(4,), queries=20, pool=(80,), imbalance=(1.0,), alike=0.5)
    even, same = 0, 0
    for e in episodes([pile([400] * 4)], shape, n=100):
        queries, pool = counts_of(e.query_x, 4), counts_of(e.pool_x, 4)
        even += queries.tolist() == [20] * 4
        same += bool((queries - pool).abs().max() <= 1)
    assert even + same == 100
    assert 35 < same < 65
    for e in episodes([pile([400] * 4)], replace(shape, support_imbalance=(1.0,), alike=1.0), n=10):
        assert (counts_of(e.pool_x, 4) - 5 * counts_of(e.support_x, 4)).abs().max() <= 10  # of 80 and about 16
    alone = replace(shape, pool=(0,), support_imbalance=(1.0,), alike=1.0)
    for e in episodes([pile([400] * 4)], alone, n=10):
        assert (counts_of(e.query_x, 4) - 5 * counts_of(e.support_x, 4)).abs().max() <= 5 * 1


def test_at_most_k_shots_leave_a_third_and_two_for_query_and_pool():
    for k, expected in ((5, {5: 3, 4: 1, 1: 1}), (ALL, {20: 1, 40: 1, 6: 1, 4: 1, 1: 1})):
        shape = replace(SHAPE, ways=(5, 5), shots=(k,), at_most=True)
        for e in episodes([pile([3, 6, 9, 30, 60])], shape, n=5):
            found = counts_of(e.support_x, 5).tolist()
            assert {n: found.count(n) for n in set(found)} == expected
            assert len(e.query_x)
    with pytest.raises(ValueError, match="fewer than 2 classes have the 3 examples"):
        draw([pile([2, 2, 30])], replace(SHAPE, at_most=True), torch.Generator())


def test_one_shot_is_even_whatever_the_imbalance():
    for e in episodes([pile([30] * 8)], replace(SHAPE, shots=(1,), support_imbalance=(1.0,))):
        assert torch.bincount(e.support_y).tolist() == [1] * e.ways


def test_all_kinds_of_label_sets_are_drawn_disjointly_and_again_by_the_same_seed():
    shape = replace(
        SHAPE, shots=(1, 4, 20, ALL), imbalance=(1.0, float("inf"), NATURAL), alike=0.5, at_most=True,
        support_imbalance=(1.0, float("inf"), NATURAL),
    )  # fmt: skip
    piles = [pile([30] * 8), pile([10, 50, 7, 300])]
    for e, again in zip(episodes(piles, shape, n=150), episodes(piles, shape, n=150), strict=True):
        parts = [x for x in (e.support_x, e.query_x, e.pool_x) if x is not None]
        assert len(set.union(*map(numbers, parts))) == sum(map(len, parts))
        assert set(e.support_y.tolist()) == set(range(e.ways)) >= set(e.query_y.tolist())
        assert torch.equal(e.support_x, again.support_x)
        assert torch.equal(e.query_x, again.query_x)


def test_shared_labels_keep_their_index_and_are_all_used():
    for episode in episodes([pile([30, 30, 30], shared=True)], replace(SHAPE, ways=(2, 2))):
        assert torch.equal(episode.support_x[:, 1].long(), episode.support_y)
        assert torch.equal(episode.query_x[:, 1].long(), episode.query_y)
        assert episode.ways == 3


def test_a_shared_label_with_too_few_examples_is_left_out_and_the_others_keep_their_index():
    for episode in episodes([pile([30, 2, 30], shared=True)], replace(SHAPE, shots=(1, 4))):
        assert set(episode.support_y.tolist()) == {0, 2}
        assert torch.equal(episode.support_x[:, 1].long(), episode.support_y)


def test_in_time_the_query_lies_after_the_support_with_a_date_in_between():
    shape = Shape(shots=(2,), queries=8, pool=(0, 20), days=12)
    starts = set()
    for episode in episodes([series()], shape):
        first, last, after = episode.support_x[:, 1].min(), episode.support_x[:, 1].max(), episode.query_x[:, 1]
        assert last - first <= 7 * 11
        assert after.min() >= last + 2 * 7  # dates are 7 days apart
        assert after.max() - after.min() <= 7 * 11
        assert len(episode.query_y) == 8 * 3
        if episode.pool_x is not None:
            assert (episode.pool_x[:, 1] < after.min() - 7).all()
        starts.add(first.item())
    assert len(starts) > 5


def test_in_time_all_shots_are_all_that_a_span_has():
    for episode in episodes([series()], Shape(shots=(ALL,), pool=(0,), days=12), n=5):
        assert len(episode.support_y) == 12 * 5


def test_in_time_every_label_has_its_shots_where_the_span_has_them():
    for episode in episodes([series()], Shape(shots=(3,), pool=(0,), days=12)):
        assert torch.bincount(episode.support_y).tolist() == [3, 3, 3]


def test_in_time_a_support_has_at_least_two_labels_and_the_query_only_labels_of_the_pile():
    time = torch.arange(60).repeat_interleave(4)
    y = (time // 20) % 3  # regimes longer than a span
    regimes = Pile("regimes", torch.randn(len(y), 2), y, True, time)
    for episode in episodes([regimes], Shape(shots=(1, 5), pool=(0,), days=12)):
        assert len(episode.support_y.unique()) >= 2
        assert set(episode.query_y.tolist()) <= {0, 1, 2}
    with pytest.raises(ValueError, match="domain regimes: hardly ever two labels within 1 dates"):
        draw([regimes], Shape(shots=(1,), pool=(0,), days=1), torch.Generator())


def test_a_series_that_is_too_short_is_an_error_that_says_how_long_it_has_to_be():
    with pytest.raises(ValueError, match="domain market: 24 dates, an episode needs 25"):
        draw([series(days=24)], Shape(days=12), torch.Generator())
    assert draw([series(days=25)], Shape(days=12), torch.Generator())


def test_a_pile_of_some_classes_keeps_their_labels_and_days():
    part = series().only(torch.tensor([0, 2]))
    assert set(part.y.tolist()) == {0, 2}
    assert len(part.x) == len(part.time) == len(part.y)
    assert torch.equal(part.x[:, 1].long(), part.time)
    assert part.shared
    assert pile([3, 4, 5]).only(torch.tensor([1])).time is None


def test_a_support_takes_at_most_k_examples_of_every_class_and_all_of_a_rare_one():
    y = torch.tensor([0] * 10 + [1] * 2 + [3] * 10)
    index = draw_support(y, 4, torch.Generator().manual_seed(0))
    assert len(index.unique()) == len(index)
    assert torch.bincount(y[index]).tolist() == [4, 2, 0, 4]
    again = draw_support(y, 4, torch.Generator().manual_seed(0))
    assert torch.equal(index, again)
