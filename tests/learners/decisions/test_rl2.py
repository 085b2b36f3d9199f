"""RL2: what its hidden state keeps, what is estimated and learned, and that a stopped training ends as promised."""

import json
import math
from dataclasses import replace

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from safetensors.torch import load_file, save_file

from domains.decisions.bandit import Bandits
from domains.decisions.mdp import TabularMDPs
from learners import checkpoint
from learners.decisions.bandits import Greedy
from learners.decisions.playing import Recurrent, Uniform, play, sample
from learners.decisions.policies import Policies
from learners.decisions.ppo import gae, horizon, ppo_loss
from learners.decisions.rl2 import RL2
from learners.decisions.rl2_train import PPO, Imitation, collect, learn, train
from learners.meta_train import Diverged

HOW = PPO(iterations=7, steps=6, epochs=2, minibatches=2, every=3, seed=4)


def new(observations=1, actions=3, hidden=8, memory="gru"):
    with torch.random.fork_rng():
        torch.manual_seed(1)
        policy = RL2(observations, actions, hidden, memory)
        torch.nn.init.normal_(policy.policy.weight)
    return policy


def run(policy, path=None, progress=lambda n: None, how=HOW, envs=Bandits):
    return train(policy, envs(20, 3), envs(30, 3), how, path, progress)


def same(one, other):
    mine, theirs = one.state_dict(), other.state_dict()
    return all(torch.equal(mine[name], theirs[name]) for name in mine)


# The policy


@pytest.mark.parametrize("memory", ["gru", "attention", "slots"])
def test_memory_is_kept_across_the_episodes_of_a_trial_and_is_empty_where_a_trial_begins(memory):
    policy, envs = new(10, 5, memory=memory), TabularMDPs(4, horizon=3)
    player = Recurrent(policy)
    play(envs, player, 3, seed=0)  # to the end of an episode
    assert (player.before.done == 1).all()
    assert (player.before.place == 0).all()
    later = player.act(np.zeros(4, int)), player.logits
    empty = policy(policy.encode(np.zeros(4, int), player.before)[None])[0][0]
    assert not torch.allclose(later[1], empty, atol=1e-4)
    player.begin(4, 3)
    assert player.state == ()


def test_without_memory_only_the_last_step_counts():
    for memory in ("gru", "attention", "slots", "none"):
        policy = new(memory=memory)
        rollout = collect(policy, Bandits(2, 3), replace(HOW, steps=5), torch.Generator().manual_seed(0))
        other = rollout.inputs.clone()
        other[:4] = collect(policy, Bandits(2, 3), replace(HOW, steps=5), torch.Generator().manual_seed(1)).inputs[:4]
        with torch.no_grad():
            assert torch.equal(policy(rollout.inputs)[0][4], policy(other)[0][4]) == (memory == "none")


@pytest.mark.parametrize("memory", ["gru", "attention", "slots"])
def test_a_step_knows_nothing_of_later_ones(memory):
    policy = new(10, 5, memory=memory)
    inputs = collect(policy, TabularMDPs(3, horizon=4), replace(HOW, steps=9), torch.Generator().manual_seed(0)).inputs
    with torch.no_grad():
        whole, part = policy(inputs)[0][:5], policy(inputs[:5])[0]
    assert torch.allclose(whole, part, atol=1e-5)


def test_slots_treat_actions_alike_whatever_their_order_and_number():
    policy, order = new(2, 4, memory="slots"), torch.tensor([2, 0, 3, 1])
    inputs = torch.randn(6, 5, 2 * 2 + 2 + 16 + 3, generator=torch.Generator().manual_seed(0))
    taken = torch.eye(4)[torch.randint(4, (6, 5), generator=torch.Generator().manual_seed(1))]
    with torch.no_grad():
        logits, values, _ = policy(torch.cat([inputs, taken], -1))
        shuffled, same_values, _ = policy(torch.cat([inputs, taken[..., order]], -1))
        more = policy(torch.cat([inputs, taken, torch.zeros(6, 5, 3)], -1))[0]
    assert torch.allclose(logits[..., order], shuffled, atol=1e-6)
    assert torch.allclose(values, same_values, atol=1e-6)
    assert more.shape[-1] == 7


def test_a_step_reads_the_observation_and_the_action_reward_and_end_before_it():
    policy = new(observations=2)
    first = policy.begin(1, 9)[1]
    assert policy.encode(np.array([1]), first).tolist() == [[0, 1, *[0] * 8]]
    later = policy.after(first, np.array([1]), torch.tensor([2]), np.array([0.5]), np.array([True]))
    assert policy.encode(np.array([0]), later).tolist() == [[1, 0, 0, 0, 1, 0, 0, 0.5, 0.5, 1]]
    box = policy.encode(np.array([[0.25, -3.0]]), first)
    assert box.tolist() == [[0.25, -3, *[0] * 8]]


def test_attention_reads_what_was_paid_in_the_place_of_observation_and_action():
    policy = new(observations=2, memory="attention")
    before = policy.begin(1, 9)[1]
    for done in (False, False, True, False):
        before = policy.after(before, np.array([1]), torch.tensor([2]), np.array([0.5]), np.array([done]))
    x = policy.encode(np.array([0]), before)[0]
    seen, last, reward, done, place, logs, taken, pair, paid = x.split([2, 2, 1, 1, 16, 3, 3, 6, 6])
    assert seen.tolist() == [1, 0]
    assert last.tolist() == [0, 1]
    assert (reward, done) == (0.5, 0)
    assert place.argmax() == 1
    assert torch.allclose(logs * 5, torch.tensor([2.0, 5, 6]).log())
    assert taken.tolist() == [0, 0, 1]
    assert pair.tolist() == [0, 0, 0, 0, 0, 1]
    assert paid.tolist() == [0, 0, 0, 0, 0, 0.5]


@pytest.mark.parametrize("memory", ["gru", "attention", "slots", "none"])
def test_playing_step_by_step_and_learning_from_the_whole_trial_see_the_same_probabilities(memory):
    policy = new(10, 5, memory=memory)
    how = replace(HOW, steps=150)  # more than a cache has room for at first
    rollout = collect(policy, TabularMDPs(7, horizon=20), how, torch.Generator().manual_seed(0))
    logits, values, _ = policy(rollout.inputs)
    log_p = logits.log_softmax(-1).gather(-1, rollout.actions[..., None]).squeeze(-1)
    assert torch.allclose(log_p, rollout.log_p, atol=1e-5)
    assert torch.allclose(values, rollout.values, atol=1e-5)


def test_actions_are_drawn_as_often_as_they_are_probable():
    logits = torch.tensor([0.0, 1.0, -1.0, -math.inf])
    drawn = sample(logits.expand(20_000, 4), torch.Generator().manual_seed(0))
    share = torch.bincount(drawn, minlength=4) / len(drawn)
    assert torch.allclose(share, logits.softmax(0), atol=0.012)


# The objective


@pytest.mark.parametrize(("discount", "trace"), [(0.9, 0.3), (1.0, 1.0), (0.99, 0.0)])
def test_advantages_are_those_of_the_definition(discount, trace):
    generator = torch.Generator().manual_seed(0)
    rewards, values = torch.randn(2, 7, 3, generator=generator)
    found, after = gae(rewards, values, discount, trace), torch.cat([values, torch.zeros(1, 3)])
    for t in range(7):
        slow = sum(
            (discount * trace) ** (i - t) * (rewards[i] + discount * after[i + 1] - after[i]) for i in range(t, 7)
        )
        assert torch.allclose(found[t], slow, atol=1e-6)


def test_with_a_trace_of_1_advantages_are_returns_less_values():
    rewards, values = torch.randn(2, 5, 2, generator=torch.Generator().manual_seed(0))
    returns = torch.stack([sum(0.9 ** (i - t) * rewards[i] for i in range(t, 5)) for t in range(5)])
    assert torch.allclose(gae(rewards, values, 0.9, 1.0), returns - values, atol=1e-6)


def test_the_horizon_is_the_return_of_a_reward_of_1_a_step():
    assert torch.allclose(horizon(3, 0.5), torch.tensor([1.75, 1.5, 1.0]))
    assert torch.allclose(gae(torch.ones(9, 1), torch.zeros(9, 1), 0.9, 1.0)[:, 0], horizon(9, 0.9))


def test_the_gradient_at_the_old_policy_is_the_policy_gradient():
    policy = new()
    rollout = collect(policy, Bandits(50, 3), HOW, torch.Generator().manual_seed(0))
    advantages = torch.randn(6, 50, generator=torch.Generator().manual_seed(1))
    ppo_loss(policy, rollout, advantages, rollout.values, 0.2, 0.0, 0.0).backward()
    clipped = policy.policy.weight.grad.clone()
    policy.zero_grad()
    log_p = policy(rollout.inputs)[0].log_softmax(-1).gather(-1, rollout.actions[..., None]).squeeze(-1)
    (-(advantages * log_p).mean()).backward()
    assert torch.allclose(clipped, policy.policy.weight.grad, atol=1e-6)


def test_a_ratio_beyond_the_clip_has_no_gradient():
    policy = new()
    rollout = collect(policy, Bandits(5, 3), HOW, torch.Generator().manual_seed(0))
    moved = replace(rollout, log_p=rollout.log_p - 1)
    ppo_loss(policy, moved, torch.ones(6, 5), rollout.values, 0.2, 0.0, 0.0).backward()
    assert not policy.policy.weight.grad.any()


# Training


def test_rl2_learns_to_explore_a_small_bandit_in_seconds():
    how = PPO(iterations=60, steps=6, epochs=4, minibatches=4, every=20, rate=1e-2, trace=0.9)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        policy = RL2(1, 2, 16)
    curve = train(policy, Bandits(200, 2), Bandits(500, 2), how)
    envs = Bandits(3000, 2)
    mine, random = (play(envs, player, 6, seed=9)[0].sum(0) for player in (Recurrent(policy), Uniform(2)))
    assert mine.mean() > random.mean() + 5 * np.std(mine - random) / 3000**0.5
    assert mine.mean() > 3.4  # chance is 3.0, the best possible about 3.6
    assert max(curve.validation_reward) > curve.validation_reward[0]


class Guess(gymnasium.Env):
    """An environment as a user writes it, stepped one by one."""

    observation_space, action_space = spaces.Box(-1, 1, (2,), np.float32), spaces.Discrete(3)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        if (options or {}).get("trial"):
            self.pays = int(self.np_random.integers(3))
        return np.zeros(2, np.float32), {}

    def step(self, action):
        paid = float(action == self.pays) + 0.1 * self.np_random.normal()
        return np.ones(2, np.float32), paid, bool(self.np_random.random() < 0.5), False, {}


def guesses(number, actions):
    return SyncVectorEnv([Guess] * number, autoreset_mode=AutoresetMode.SAME_STEP)


class Maze(gymnasium.Env):
    """A sign says left or right; a corridor later a door has to be chosen, which pays if the sign said so."""

    observation_space, action_space = spaces.Discrete(4), spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.sign, self.at = int(self.np_random.integers(2)), 0
        return self.sign, {}

    def step(self, action):
        self.at += 1
        return min(self.at + 1, 3), float(self.at == 3 and action == self.sign), self.at == 3, False, {}


@pytest.mark.parametrize(("memory", "learns"), [("gru", True), ("attention", True), ("slots", False), ("none", False)])
def test_an_environment_of_the_users_own_that_needs_memory_is_learned_without_a_teacher(memory, learns):
    def mazes(number):
        return SyncVectorEnv([Maze] * number, autoreset_mode=AutoresetMode.SAME_STEP)

    policy = new(4, 2, 16, memory)
    torch.nn.init.normal_(policy.policy.weight, std=0.01, generator=torch.Generator().manual_seed(0))
    how = PPO(iterations=25, steps=9, epochs=4, minibatches=4, rate=1e-2, discount=0.9, trace=0.9, every=25)
    train(policy, mazes(64), mazes(64), how)
    reward = play(mazes(200), Recurrent(policy), 9, seed=9)[0].sum(0).mean()
    assert (reward > 2.4) == learns  # of 3; 1.5 without memory, or where actions are alike
    assert reward > 1.2


# Teaching


@pytest.mark.parametrize("memory", ["gru", "slots"])
def test_a_policy_learns_what_its_teacher_would_do_where_it_goes_itself(memory):
    imitation = Imitation(iterations=60, epochs=2, minibatches=4, rate=1e-2)
    how = PPO(iterations=0, steps=8, every=60, imitation=imitation)
    policy, envs, teacher = new(hidden=16, memory=memory), Bandits(1000, 3), Greedy(3)
    train(policy, Bandits(200, 3), Bandits(200, 3), how, teacher=teacher)
    rollout = collect(policy, envs, how, torch.Generator().manual_seed(5), teacher, iteration=60)
    log_p = policy(rollout.inputs)[0].log_softmax(-1)
    agrees = (log_p.argmax(-1) == rollout.taught).float().mean()
    assert agrees > 0.9
    assert (rollout.actions != rollout.taught).any()  # it played itself


def test_the_teacher_plays_at_first_and_then_only_says_what_it_would_do():
    policy, how = new(), replace(HOW, imitation=Imitation(iterations=10))
    shares = []
    for iteration in (0, 3, 5, 9):
        rollout = collect(policy, Bandits(400, 3), how, torch.Generator().manual_seed(0), Greedy(3), iteration)
        shares.append((rollout.actions == rollout.taught).all(0).float().mean().item())
    assert shares[0] == 1
    assert shares[1] == pytest.approx(0.4, abs=0.1)
    assert shares[2] < 0.05
    assert shares[3] < 0.05


def test_a_taught_training_that_was_stopped_ends_bit_for_bit_like_one_that_was_not(tmp_path, stopped):
    how, paths = replace(HOW, imitation=Imitation(iterations=3)), (tmp_path / "a", tmp_path / "b")

    def teach(policy, path, progress=lambda n: None):
        return train(policy, Bandits(20, 3), Bandits(30, 3), how, path, progress, Greedy(3))

    straight, resumed = new(memory="attention"), new(memory="attention")
    curve = teach(straight, paths[0])
    for stop in (2, 5):
        stopped(stop, lambda progress: teach(new(memory="attention"), paths[1], progress))
    assert repr(teach(resumed, paths[1])) == repr(curve)
    assert same(straight, resumed)


def test_imitation_without_a_teacher_is_refused():
    with pytest.raises(ValueError, match="3 iterations of imitation need a teacher"):
        run(new(), how=replace(HOW, imitation=Imitation(iterations=3)))


@pytest.mark.parametrize(("envs", "same"), [(Bandits, False), (guesses, True)])
def test_what_is_learned_from_is_the_credit_where_an_environment_gives_one(envs, same):
    policy = new(2 if same else 1)
    rollout = collect(policy, envs(5, 3), HOW, torch.Generator().manual_seed(0))
    assert torch.equal(rollout.rewards, rollout.credits) == same
    assert torch.equal(rollout.inputs[1:, :, -2], rollout.rewards[:-1])  # no policy reads it


@pytest.mark.parametrize(("envs", "observations"), [(Bandits, 1), (guesses, 2)])
def test_a_training_that_was_stopped_ends_bit_for_bit_like_one_that_was_not(envs, observations, tmp_path, stopped):
    paths = tmp_path / "straight.checkpoint", tmp_path / "stopped.checkpoint"
    straight, resumed, steps = new(observations), new(observations), []
    curve = run(straight, paths[0], envs=envs)
    for stop in (2, 4):
        stopped(stop, lambda progress: run(new(observations), paths[1], progress, envs=envs))
    assert repr(run(resumed, paths[1], steps.append, envs=envs)) == repr(curve)
    assert same(straight, resumed)
    assert steps == [3, 1, 1, 1, 1]
    (mine, _), (theirs, _) = map(checkpoint.load, paths)
    assert mine.keys() == theirs.keys()
    assert all(torch.equal(mine[key], theirs[key]) for key in mine)  # optimiser, generator and last parameters too


def test_a_finished_training_is_not_done_again_and_the_best_parameters_are_kept(tmp_path):
    path, first, again, steps = tmp_path / "run.checkpoint", new(), new(), []
    curve = run(first, path, how=replace(HOW, rate=0.5))  # far too large a rate
    run(again, path, steps.append, how=replace(HOW, rate=0.5))
    assert steps == [HOW.iterations]
    assert same(first, again)
    check = run(first, how=replace(HOW, iterations=0))
    assert check.validation_reward == [max(curve.validation_reward)]


def test_another_seed_gives_another_policy():
    one, other = new(), new()
    run(one)
    run(other, how=replace(HOW, seed=5))
    assert not same(one, other)


def test_a_loss_that_is_no_number_raises_diverged_with_iteration_and_rate():
    policy = new()
    generator, optimiser = torch.Generator().manual_seed(0), torch.optim.Adam(policy.parameters())
    rollout = collect(policy, Bandits(4, 3), HOW, generator)
    rollout.credits[0, 0] = math.inf
    with pytest.raises(Diverged, match=r"rl2: loss is nan, .* at iteration 3, learning rate 0\.002"):
        learn(policy, rollout, HOW, optimiser, generator, iteration=2)


def test_policies_come_back_whole_as_tensors_and_words(tmp_path):
    kept = Policies({"a": new(), "b": new(2, 4, memory="slots")}, {"a": {"reward": 1.5}})
    kept.save(tmp_path)
    found = Policies.load(tmp_path)
    assert sorted(path.suffix for path in tmp_path.iterdir()) == [".json", ".safetensors"]
    assert found.about == kept.about
    assert all(same(found.policies[name], kept.policies[name]) for name in ("a", "b"))
    about = json.loads((tmp_path / "policies.json").read_text("utf-8"))
    about["policies"]["a"]["memory"] = True  # as 0.10 wrote it
    (tmp_path / "policies.json").write_text(json.dumps(about), "utf-8")
    tensors = load_file(tmp_path / "policies.safetensors")
    old = {name.replace("a/core.", "a/"): value for name, value in tensors.items()}
    save_file(old, tmp_path / "policies.safetensors")
    assert same(Policies.load(tmp_path).policies["a"], kept.policies["a"])
    assert found.policies["b"].config == {"observations": 2, "actions": 4, "hidden": 8, "memory": "slots"}
