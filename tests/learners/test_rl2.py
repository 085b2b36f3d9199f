"""RL2 and what it is compared with: what memory is for, advantages, indices, and resuming to the bit."""

from pathlib import Path

import numpy as np
import pytest
import torch

from domains.decisions.bandit import Bandits
from domains.decisions.mdp import TabularMDPs
from learners.bandits import RULES, indices, play
from learners.ppo import PPO, advantages, collect, train
from learners.psrl import best_policy, play_psrl
from learners.rl2 import RL2


def policy(memory: bool = True, seed: int = 0) -> RL2:
    torch.manual_seed(seed)
    return RL2(1, 2, hidden=16, memory=memory)


def test_one_step_after_another_is_the_whole_trial() -> None:
    made, x = policy(), torch.rand(7, 3, 5, generator=torch.Generator().manual_seed(0))
    logits, value, last = made(x)
    h, found = None, []
    for step in x:
        one, _, h = made(step[None], h)
        found.append(one[0])
    assert torch.allclose(torch.stack(found), logits, atol=1e-6)
    assert torch.allclose(h, last, atol=1e-6)
    assert value.shape == (7, 3)


@pytest.mark.parametrize("memory", [True, False])
def test_what_was_earned_before_is_remembered_with_memory_only(memory: bool) -> None:
    made, x = policy(memory), torch.zeros(4, 2, 5)
    x[0, 1, 3] = 1.0  # the second trial was paid once, at its start
    logits = made(x)[0]
    assert torch.equal(logits[-1, 0], logits[-1, 1]) is not memory


def test_no_action_before_the_first_is_no_one_hot_number() -> None:
    x = policy().seen(torch.zeros(2, dtype=torch.int64), torch.tensor([-1, 1]), torch.tensor([0.0, 1.0]), torch.ones(2))
    assert x.tolist() == [[1, 0, 0, 0, 1], [1, 0, 1, 1, 1]]


def test_advantages_are_the_sum_of_the_formula() -> None:
    generator = torch.Generator().manual_seed(0)
    reward, value = torch.rand(6, 2, generator=generator), torch.rand(6, 2, generator=generator)
    after = torch.cat([value[1:], torch.zeros(1, 2)])
    delta = reward + 0.9 * after - value
    slow = [sum((0.9 * 0.5) ** (later - t) * delta[later] for later in range(t, 6)) for t in range(6)]
    assert torch.allclose(advantages(reward, value, 0.9, 0.5), torch.stack(slow), atol=1e-6)


def test_a_few_seconds_of_training_find_which_arm_pays() -> None:
    env, how, test = Bandits(400, 2, 6), PPO(updates=30, epochs=6, rate=1e-2, minibatches=4), Bandits(4000, 2, 6)
    made = policy()
    train(made, env, env.steps, how)
    assert collect(made, test, test.steps, seed=99).reward.sum(0).mean() > 3.3  # Gittins' index earns 3.53, chance 3


def test_a_training_that_was_stopped_ends_as_one_that_was_not(tmp_path: Path) -> None:
    env, how = Bandits(50, 2, 4), PPO(updates=6, minibatches=2)
    whole, stopped, resumed = policy(), policy(), policy(seed=1)
    returns = train(whole, env, 4, how).returns

    def stop(updates: int) -> None:
        stop.done = getattr(stop, "done", 0) + updates  # type: ignore[attr-defined]
        if stop.done == 5:  # type: ignore[attr-defined]
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(stopped, env, 4, how, tmp_path / "one.checkpoint", stop, every=2)
    assert train(resumed, env, 4, how, tmp_path / "one.checkpoint", every=2).returns == returns
    for mine, theirs in zip(resumed.parameters(), whole.parameters(), strict=True):
        assert torch.equal(mine, theirs)


def test_the_index_of_an_arm_is_its_mean_at_the_last_pull_and_more_before() -> None:
    table = indices(3)
    for successes in range(3):
        for failures in range(3 - successes):
            mean = (successes + 1) / (successes + failures + 2)
            assert table[0][successes, failures] == pytest.approx(mean, abs=1e-9)
    assert table[1][0, 0] == pytest.approx(5 / 9, abs=1e-6)  # 1/2 - c + (2/3 - c)/2 = 0
    assert table[2][0, 0] > table[1][0, 0] > table[0][0, 0]


def test_rules_meet_the_same_arms_and_the_index_is_the_best_of_them() -> None:
    env = Bandits(3000, 5, 10)
    earned = {name: play(make(10), env, seed=3).mean() for name, make in RULES.items()}
    assert env.chance.mean() == pytest.approx(0.5, abs=0.01)
    assert max(earned, key=earned.__getitem__) == "Gittins"
    assert earned["Gittins"] == pytest.approx(6.65, abs=0.15)
    assert all(value > 5.0 for value in earned.values())


def test_the_best_policy_of_a_chain_waits_for_what_pays_at_its_end() -> None:
    reward, transition = np.zeros((1, 3, 2)), np.zeros((1, 3, 2, 3))
    reward[0, 0, 0], reward[0, 2, :] = 0.1, 1.0  # stay for a little, or walk to the end
    for state in range(3):
        transition[0, state, 0, state] = transition[0, state, 1, min(state + 1, 2)] = 1
    plan = best_policy(reward, transition, 4)
    assert [step[0, 0] for step in plan] == [1, 1, 0, 0]


def test_posterior_sampling_learns_within_a_trial() -> None:
    short, long = (play_psrl(TabularMDPs(60, episodes), seed=5).mean() / episodes for episodes in (1, 20))
    assert long > short + 2
