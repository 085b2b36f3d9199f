"""Planners of decision processes: the best plan by other means, what each is paid for, and orders that must hold."""

import itertools

import numpy as np
import pytest
from scipy.optimize import linprog

from domains.decisions.mdp import TabularMDPs
from learners.decisions.bonuses import BEB, BonusPlanner
from learners.decisions.planning import EpsilonGreedyPlanner, Planner, Posterior, action_values, normalised
from learners.decisions.playing import Uniform, play
from learners.decisions.psrl import PSRL, OptimisticPSRL
from learners.decisions.ucrl2 import UCRL2, optimistic_values

ABOUT = 10, 5, 10


def gains(player, episodes, trials=300, seed=7):
    """What a player gains [E]. The trials are not those of the player's own seed, which could draw the truth."""
    return play(TabularMDPs(trials), player, 10 * episodes, seed)[0].sum(0)


def actions(player, episodes=5):
    return play(TabularMDPs(40), player, 10 * episodes, seed=7)[1]


def put(player, visits, reward=5.0):
    """Make a player see action 1 in state 0 so many times in every trial, which leads to state 1."""
    player.begin(3000, 9)
    for _ in range(visits):
        state = np.zeros(3000, int)
        player.act(state)
        player.learn(np.ones(3000, int), np.full(3000, reward), np.zeros(3000, bool), state + 1)
    return player.known


def drawn(seed=3, states=4, trials=2):
    """Random transitions [A, S, S', E] and rewards [A, S, E] of two actions."""
    rng = np.random.default_rng(seed)
    return normalised(rng.exponential(size=(2, states, states, trials))), rng.normal(size=(2, states, trials))


def test_backward_induction_finds_the_best_of_all_policies():
    envs = TabularMDPs(1, states=2, actions=2, horizon=2)
    envs.reset(seed=3)
    p, m = envs.transitions[0], envs.means[0]
    values = [
        m[0, first] + sum(p[0, first, s] * m[s, (low, high)[s]] for s in range(2))
        for first, low, high in itertools.product(range(2), repeat=3)
    ]
    q = action_values(p.transpose(1, 0, 2)[..., None], m.T[..., None], 2)
    assert q[1, :, 0].max() == pytest.approx(max(values))
    assert np.array_equal(q[0, ..., 0], m.T)


def test_the_posterior_is_that_of_conjugate_priors():
    known = put(Planner(2, 2, 1), 3)
    assert known.rewards[:, 0, 0] == pytest.approx([1, (1 + 15) / 4])
    assert known.deviations[:, 0, 0] == pytest.approx([1, 1 / 2])
    assert known.transitions[1, 0, :, 0] == pytest.approx([1 / 5, 4 / 5])
    assert Posterior.prior(3, 2, 2, mean=-1).rewards == pytest.approx(-1)


def test_an_end_of_an_episode_teaches_no_transition():
    player = Planner(2, 2, 1)
    player.begin(2, 9)
    player.act(np.zeros(2, int))
    player.learn(np.ones(2, int), np.ones(2), np.array([False, True]), np.ones(2, int))
    assert player.known.weights[1, 0].T.tolist() == [[1, 2], [1, 1]]
    assert player.known.counts[1, 0].tolist() == [2, 2]


def test_posterior_sampling_draws_around_the_posterior_mean():
    player = PSRL(2, 2, 1)
    transitions, means = player.process(put(player, 3))
    assert means[1, 0].mean() == pytest.approx((1 + 15) / 4, abs=0.05)
    assert means[1, 0].std() == pytest.approx(0.5, abs=0.05)
    assert transitions[1, 0, 1].mean() == pytest.approx(4 / 5, abs=0.02)


def test_bonuses_fall_with_visits_as_their_papers_say():
    for kind, expected in ((BonusPlanner, 0.6 / 4**0.5), (BEB, 0.6 / 4)):
        player = kind(2, 2, 1, beta=0.6)
        known = put(player, 3)
        bonus = (player.rewards(known) - known.rewards)[:, 0, 0]
        assert bonus == pytest.approx([0.6, expected])


def test_without_their_constant_planners_are_greedy():
    greedy = actions(Planner(*ABOUT))
    for player in (BonusPlanner(*ABOUT, beta=0), BEB(*ABOUT, beta=0), UCRL2(*ABOUT, scale=0)):
        assert np.array_equal(actions(player), greedy)
    assert np.array_equal(actions(EpsilonGreedyPlanner(*ABOUT, epsilon=0)), greedy)
    share = np.bincount(actions(EpsilonGreedyPlanner(*ABOUT, epsilon=1)).ravel()) / 2000
    assert share == pytest.approx(np.full(5, 0.2), abs=0.04)


def test_one_draw_is_posterior_sampling_and_more_are_more_hopeful():
    assert np.array_equal(actions(OptimisticPSRL(*ABOUT, draws=1)), actions(PSRL(*ABOUT)))
    values = []
    for draws in (1, 3, 9):
        player = OptimisticPSRL(*ABOUT, draws=draws)
        player.begin(100, 100)
        values.append(player.plan(player.known, 10).max(1).mean())
    assert values == sorted(values)


def test_optimistic_values_are_those_of_a_linear_programme():
    transitions, rewards = drawn()
    for distance in (0.1, 0.7, 1.9):
        q = optimistic_values(transitions, np.full_like(rewards, distance), rewards, 2)
        for a, s, e in itertools.product(range(2), range(4), range(2)):
            p, value = transitions[a, s, :, e], rewards[..., e].max(0)
            eye = np.eye(4)  # p' = p + up - down, with up + down <= distance in all
            best = linprog(
                np.concatenate([-value, value]),
                A_ub=np.vstack([np.ones((1, 8)), np.hstack([-eye, eye])]),
                b_ub=[distance, *p],
                A_eq=[[1] * 4 + [-1] * 4],
                b_eq=[0],
            )
            assert q[1, a, s, e] == pytest.approx(rewards[a, s, e] + p @ value - best.fun)


def test_optimism_is_none_at_distance_0_and_all_at_distance_2():
    transitions, rewards = drawn()
    none = optimistic_values(transitions, np.zeros_like(rewards), rewards, 5)
    assert none == pytest.approx(action_values(transitions, rewards, 5))
    full = optimistic_values(transitions, np.full_like(rewards, 2), rewards, 5)
    assert full[4] == pytest.approx(rewards + 4 * rewards.max((0, 1)))


def test_posterior_sampling_gains_more_in_later_episodes_and_more_than_chance():
    rewards, _ = play(TabularMDPs(200), PSRL(*ABOUT), 100, seed=7)
    episodes = rewards.reshape(10, 10, 200).sum(1).mean(1)
    assert episodes[-1] > episodes[0] + 3
    assert rewards.sum(0).mean() > gains(Uniform(5), 10).mean() + 20


def test_bonuses_and_confidence_sets_gain_more_than_greed_in_25_episodes():
    greedy = gains(Planner(*ABOUT), 25, trials=200)
    for player in (BonusPlanner(*ABOUT, beta=0.8), BEB(*ABOUT, beta=0.7), UCRL2(*ABOUT, scale=0.05)):
        assert (gains(player, 25, trials=200) - greedy).mean() > 5


def test_a_plan_at_every_step_gains_more_than_one_an_episode():
    once, always = (BonusPlanner(*ABOUT, stepwise=stepwise) for stepwise in (False, True))
    assert (gains(always, 10) - gains(once, 10)).mean() > 5


def test_only_a_stepwise_planner_heeds_what_happens_within_an_episode():
    for stepwise in (False, True):
        player = Planner(2, 2, 9, stepwise=stepwise)
        player.begin(1, 9)
        state = np.zeros(1, int)
        first = player.act(state)
        player.learn(first, np.full(1, -50.0), np.zeros(1, bool), state)
        assert (player.act(state) != first) == stepwise
