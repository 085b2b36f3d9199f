"""Trials of decisions: one task a trial, episodes inside it, and spaces that a policy can use."""

import numpy as np
import pytest
from gymnasium.spaces import Box, Discrete, MultiDiscrete

from domains.decisions.bandit import Bandits
from domains.decisions.mdp import TabularMDPs
from domains.decisions.trials import Trials, sizes
from domains.errors import UserError


class Other(Bandits):
    """A bandit with spaces of its own."""

    def __init__(self, observations: Box | Discrete, actions: object = None) -> None:
        Trials.__init__(self, 2, 3, observations, 2)
        if actions is not None:
            self.single_action_space = actions  # type: ignore[assignment]


def test_a_seed_fixes_tasks_and_rewards() -> None:
    env, actions = Bandits(50, 3, 10), np.zeros(50, int)
    env.reset(seed=1)
    chance, first = env.chance, env.step(actions)[1]
    env.reset(seed=1)
    assert np.array_equal(chance, env.chance)
    assert np.array_equal(first, env.step(actions)[1])
    env.reset()
    assert not np.array_equal(chance, env.chance)


def test_an_arm_pays_as_often_as_its_chance() -> None:
    env = Bandits(20, 2, 4000)
    env.reset(seed=0)
    paid = np.mean([env.step(np.ones(20, int))[1] for _ in range(4000)], axis=0)
    assert np.abs(paid - env.chance[:, 1]).max() < 0.04


def test_episodes_end_after_the_horizon_and_go_on_from_the_first_state_of_the_same_task() -> None:
    env = TabularMDPs(8, episodes=3)
    env.reset(seed=0)
    task, ends = env.reward, []
    for _ in range(env.steps):
        state, _, ended, cut, _ = env.step(np.zeros(8, int))
        assert not cut.any()
        ends.append(ended.all())
        assert not ended.all() or not state.any()
    assert np.flatnonzero(ends).tolist() == [9, 19, 29]
    assert task is env.reward


def test_transitions_are_those_of_the_task() -> None:
    env = TabularMDPs(4000, episodes=1)
    env.reset(seed=0)
    env.transition[:] = env.transition[:1]
    state = env.step(np.full(4000, 2))[0]
    assert np.abs(np.bincount(state, minlength=10) / 4000 - env.transition[0, 0, 2]).max() < 0.04


def test_spaces_become_sizes_or_one_line() -> None:
    assert sizes(Bandits(1, 3, 1)) == (1, 3)
    assert sizes(Other(Box(-1, 1, (4,)))) == (4, 2)
    with pytest.raises(UserError, match=r"observations are Box\(2, 2\); a Discrete space"):
        sizes(Other(Box(-1, 1, (2, 2))))
    with pytest.raises(UserError, match="actions are MultiDiscrete"):
        sizes(Other(Discrete(1), MultiDiscrete([2, 2])))
    with pytest.raises(UserError, match="0 trials"):
        Bandits(0, 2, 5)
