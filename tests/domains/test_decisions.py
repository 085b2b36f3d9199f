"""Environments of sequential decisions: what a trial is, what its seed fixes, and which spaces a policy can read."""

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from domains.decisions.bandit import Bandits
from domains.decisions.mdp import TabularMDPs
from domains.decisions.single import TrialEnvironment
from domains.decisions.spaces import Sizes, sizes
from domains.errors import UserError

EVERY = pytest.mark.parametrize("make", [Bandits, TabularMDPs])


class Guess(gymnasium.Env):
    """An environment as a user writes it: which of two actions pays is drawn anew where a trial begins."""

    observation_space, action_space = spaces.Box(-1, 1, (3,), np.float32), spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        if (options or {}).get("trial"):
            self.pays = int(self.np_random.integers(2))
        return np.zeros(3, np.float32), {}

    def step(self, action):
        return np.ones(3, np.float32), float(action == self.pays), True, False, {}


def play(envs, seed, steps=25):
    """The observations, rewards and ends of random actions that depend on the seed alone."""
    rng, seen = np.random.default_rng(0), [envs.reset(seed=seed)[0]]
    for _ in range(steps):
        seen += envs.step(rng.integers(envs.single_action_space.n, size=envs.num_envs))[:4]
    return seen


@EVERY
def test_a_trial_is_fixed_by_its_seed_and_the_actions(make):
    one, again, other = play(make(6), 3), play(make(6), 3), play(make(6), 4)
    assert all(np.array_equal(a, b) for a, b in zip(one, again, strict=True))
    assert not all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


@EVERY
@pytest.mark.filterwarnings("ignore")
def test_one_trial_is_an_environment_by_gymnasiums_own_check(make):
    env = TrialEnvironment(make, steps=20)
    check_env(env, skip_render_check=True)
    env.reset(seed=0)
    ends = [env.step(0)[3] for _ in range(20)]
    assert ends == [False] * 19 + [True]


@EVERY
@pytest.mark.parametrize("actions", [[0, 1], [0, 1, -1], [0, 1, 9], [0.0, 1.0, 1.0]])
def test_actions_that_do_not_fit_are_told(make, actions):
    envs = make(3)
    envs.reset(seed=0)
    with pytest.raises(UserError, match="actions"):
        envs.step(np.array(actions))


def test_a_bandit_pays_as_its_arms_chances_say():
    envs = Bandits(4, 3)
    envs.reset(seed=1)
    paid = np.mean([envs.step(np.full(4, 2))[1] for _ in range(4000)], axis=0)
    assert np.abs(paid - envs.p[:, 2]).max() < 4 * 0.5 / 4000**0.5


def test_every_pull_of_a_bandit_ends_an_episode_and_no_trial():
    envs = Bandits(2, 3)
    envs.reset(seed=1)
    before = envs.p.copy()
    _, _, ended, cut, _ = envs.step(np.array([0, 1]))
    assert ended.all()
    assert not cut.any()
    assert (envs.p == before).all()
    envs.reset(options={"trial": True})
    assert (envs.p != before).all()


def test_a_process_moves_and_pays_as_its_tables_say():
    envs = TabularMDPs(1, states=3, actions=2, horizon=20_001)
    envs.reset(seed=2)
    visits, gained = np.zeros((3, 2, 3)), np.zeros((3, 2))
    rng, state = np.random.default_rng(0), 0
    for action in rng.integers(2, size=20_000):
        after, reward, *_ = envs.step(np.array([action]))
        visits[state, action, after[0]] += 1
        gained[state, action] += reward[0]
        state = after[0]
    n = visits.sum(-1)
    assert np.abs(visits / n[..., None] - envs.transitions[0]).max() < 0.05
    assert np.abs(gained / n - envs.means[0]).max() < 0.1


def test_the_credit_of_a_bandit_is_what_the_arm_lacks_of_the_best():
    envs = Bandits(50, 3)
    envs.reset(seed=1)
    credit = envs.step(np.full(50, 2))[4]["credit"]
    assert np.allclose(credit, envs.p[:, 2] - envs.p.max(1))


def test_the_credits_of_an_episode_are_what_it_lacks_of_the_best_on_average():
    envs, episodes = TabularMDPs(1, states=3, actions=2, horizon=4), 5_000
    envs.reset(seed=2)
    value = np.zeros(3)
    for _ in range(4):
        value = (envs.means[0] + envs.transitions[0] @ value).max(1)
    rng, lacking = np.random.default_rng(0), np.empty((episodes, 4))
    for episode in range(episodes):
        for t in range(4):
            _, reward, _, _, info = envs.step(rng.integers(2, size=1))
            assert info["credit"][0] <= 0
            lacking[episode, t] = reward[0] - info["credit"][0]
    found = lacking.sum(1)
    assert abs(found.mean() - value[0]) < 4 * found.std() / episodes**0.5


def test_an_episode_of_a_process_begins_in_state_0_where_the_last_one_ended():
    envs = TabularMDPs(50, horizon=4)
    envs.reset(seed=0)
    for step in range(1, 13):
        state, _, ended, *_ = envs.step(np.zeros(50, int))
        assert ended.all() == (step % 4 == 0)
        assert (state == 0).all() == (step % 4 == 0)


def test_sizes_are_read_from_the_spaces():
    assert sizes(Bandits(2, 7)) == Sizes(1, 7)
    assert sizes(TabularMDPs(2)) == Sizes(10, 5)
    assert sizes(SyncVectorEnv([Guess] * 2, autoreset_mode=AutoresetMode.SAME_STEP)) == Sizes(3, 2)


@pytest.mark.parametrize(
    ("observation", "action", "mode", "words"),
    [
        (None, spaces.Box(-1, 1, (2,)), "SameStep", r"environment Guess: actions are Box.*Discrete\(n\)"),
        (None, spaces.Discrete(2, start=1), "SameStep", "environment Guess: actions are"),
        (spaces.Box(0, 1, (4, 4)), None, "SameStep", "environment Guess: observations are Box.*FlattenObservation"),
        (spaces.MultiDiscrete([2, 2]), None, "SameStep", "environment Guess: observations are MultiDiscrete"),
        (None, None, "NextStep", "environment Guess: autoreset mode is .*; make it with AutoresetMode.SAME_STEP"),
    ],
)
def test_an_environment_that_does_not_fit_is_named_in_one_line(observation, action, mode, words):
    class Odd(Guess):
        pass

    Odd.__name__ = "Guess"
    Odd.observation_space, Odd.action_space = observation or Guess.observation_space, action or Guess.action_space
    with pytest.raises(UserError, match=words) as told:
        sizes(SyncVectorEnv([Odd], autoreset_mode=AutoresetMode(mode)))
    assert "\n" not in str(told.value)


@pytest.mark.parametrize("make", [lambda: Bandits(0), lambda: Bandits(3, 1), lambda: TabularMDPs(3, actions=1)])
def test_an_environment_without_a_choice_is_refused(make):
    with pytest.raises(UserError, match="is needed"):
        make()
