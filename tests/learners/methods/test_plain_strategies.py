"""Plain strategies for bandits: indices of known value, and orders that must hold."""

import itertools

import numpy as np
import pytest

from domains.decisions.bandit import Bandits
from learners.decisions.bandits import UCB1, EpsilonGreedy, Gittins, Greedy, Thompson
from learners.decisions.gittins import gittins
from learners.decisions.playing import Uniform, play


def gain(envs, player, steps, seed=5):
    return play(envs, player, steps, seed)[0].sum(0).mean()


def test_the_index_of_the_last_pull_is_the_mean_and_earlier_ones_are_worth_more():
    index = gittins(4)
    assert index[1, 0, 0] == pytest.approx(1 / 2, abs=1e-4)
    assert index[1, 2, 1] == pytest.approx(3 / 5, abs=1e-4)
    assert index[2, 0, 0] == pytest.approx(5 / 9, abs=1e-4)  # the root of 1/2 - c + (2/3 - c) / 2
    assert (np.diff(index[1:, 0, 0]) > 0).all()


def test_over_a_long_discounted_horizon_the_index_is_the_one_of_gittins_tables():
    assert gittins(70, 0.9, grid=100)[70, 0, 0] == pytest.approx(0.7029, abs=1e-3)


def test_cells_that_cannot_be_reached_have_no_index():
    index = gittins(5)
    assert np.isnan(index[0]).all()
    assert np.isnan(index[3, 2, 1])
    assert np.isfinite([index[3, 1, 1], index[1, 4, 0]]).all()


def best_possible(k, n):
    """What the Bayes-optimal player gains, by enumeration of all states of k arms."""

    def value(state, left):
        if left == 0:
            return 0.0
        found = []
        for arm, (a, b) in enumerate(state):
            p = (a + 1) / (a + b + 2)
            won, lost = list(state), list(state)
            won[arm], lost[arm] = (a + 1, b), (a, b + 1)
            found.append(p * (1 + memo(tuple(sorted(won)), left - 1)) + (1 - p) * memo(tuple(sorted(lost)), left - 1))
        return max(found)

    known = {}

    def memo(state, left):
        if (state, left) not in known:
            known[state, left] = value(state, left)
        return known[state, left]

    return memo(((0, 0),) * k, n)


def test_the_finite_horizon_index_comes_within_one_percent_of_the_bayes_optimal_player():
    envs = Bandits(20_000, 3)
    envs.reset(seed=5)
    assert gain(envs, Gittins(3), 6) == pytest.approx(best_possible(3, 6), rel=0.01)


def test_strategies_rank_as_in_the_paper():
    envs = Bandits(4000, 5)
    found = [gain(envs, p, 30) for p in (Gittins(5), Thompson(5), EpsilonGreedy(5, 0.5), Uniform(5))]
    assert all(better > worse + 0.5 for better, worse in itertools.pairwise(found))
    assert found[0] > gain(envs, Greedy(5), 30)
    assert gain(envs, UCB1(5, 0.2), 30) > gain(envs, Greedy(5), 30)


def test_a_player_forgets_when_new_trials_begin():
    envs, player = Bandits(50, 3), Thompson(3, seed=1)
    one, again = play(envs, player, 8, seed=0), play(envs, player, 8, seed=0)
    assert np.array_equal(one[0], again[0])
    assert np.array_equal(one[1], again[1])
