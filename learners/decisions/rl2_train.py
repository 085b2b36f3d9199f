"""The training loop of RL2: it plays whole trials, learns from them, and resumes from checkpoints to the bit."""

import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from domains.decisions.actions import CREDIT
from learners import checkpoint
from learners.decisions.playing import Recurrent, play, sample
from learners.decisions.ppo import Rollout, gae, horizon, ppo_loss
from learners.decisions.rl2 import RL2
from learners.meta_train import Diverged
from learners.optimisers import Adam

SEEDS = 2**31


@dataclass(frozen=True)
class PPO:
    """How RL2 is trained: everything here is part of a policy's identity.

    Args:
        iterations: of playing ``envs.num_envs`` trials each and learning from them.
        steps: of a trial.
        epochs: times that the trials of an iteration are learned from; minibatches: parts they are divided into.
        rate: Adam's learning rate at the start; it falls linearly to a tenth.
        discount, trace: gamma and lambda of generalised advantage estimation.
        clip: how far a probability ratio may move; entropy, critic: weights of the loss; norm: largest of a gradient.
        every: iterations between validations (and checkpoints).
        seed: of trials, actions and minibatches.
    """

    iterations: int = 200
    steps: int = 10
    epochs: int = 3
    minibatches: int = 4
    rate: float = 2e-3
    discount: float = 0.99
    trace: float = 0.3
    clip: float = 0.2
    entropy: float = 0.01
    critic: float = 1.0
    norm: float = 1.0
    every: int = 20
    seed: int = 0

    def left(self, iteration: int) -> float:
        """Return the share of iterations that is left, 1 to 0."""
        return 1 - iteration / self.iterations


@dataclass(frozen=True)
class Curve:
    """Mean reward of a trial, one entry a validation: while training since the last, and of the most probable actions
    on the validation trials."""

    iteration: list[int] = field(default_factory=list)
    reward: list[float] = field(default_factory=list)
    validation_reward: list[float] = field(default_factory=list)


def train(
    policy: RL2,
    envs: Any,
    validation: Any,
    how: PPO,
    path: Path | None = None,
    progress: Callable[[int], None] = lambda iterations: None,
) -> Curve:
    """Train a policy in place and leave it with its best parameters on the validation trials.

    All that is random comes from one generator: it draws actions, minibatches and, for every iteration, the seed that
    ``envs`` are reset with. With a ``path``, an interrupted call goes on from the last validation to the same end, bit
    for bit on the same machine and number of threads, as one that was never stopped.

    Args:
        envs, validation: ``gymnasium.vector.VectorEnv`` of which a reset begins new trials. Nothing may be random in
            them that their seed does not fix.
        progress: called with the number of iterations done since its last call.

    Raises:
        Diverged: the loss or its gradient is not finite.
    """
    generator = torch.Generator().manual_seed(how.seed)
    optimiser = Adam(policy.parameters(), lr=how.rate)
    run = checkpoint.Run(policy, optimiser, generator)
    curve, done, rewards = Curve(), 0, []
    if found := run.restore(path):
        best, about = found
        curve, done = Curve(**about["curve"]), int(about["iteration"])
        progress(done)
    else:
        _validate(policy, validation, how, curve, 0, math.nan)
        best = {name: value.clone() for name, value in policy.state_dict().items()}
    for iteration in range(done, how.iterations):
        for group in optimiser.param_groups:
            group["lr"] = how.rate * max(how.left(iteration), 0.1)
        rollout = collect(policy, envs, how.steps, generator)
        rewards.append(rollout.rewards.sum(0).mean().item())
        learn(policy, rollout, how, optimiser, generator, iteration)
        progress(1)
        if (iteration + 1) % how.every == 0 or iteration + 1 == how.iterations:
            _validate(policy, validation, how, curve, iteration + 1, sum(rewards) / len(rewards))
            rewards.clear()
            if curve.validation_reward[-1] >= max(curve.validation_reward):
                best = {name: value.clone() for name, value in policy.state_dict().items()}
            if path is not None:
                run.keep(path, best, {"iteration": iteration + 1, "curve": asdict(curve)})
    policy.load_state_dict(best)
    return curve


@torch.no_grad()
def collect(policy: RL2, envs: Any, steps: int, generator: torch.Generator) -> Rollout:
    """Play one trial in every environment, with actions drawn from the policy."""
    seed = int(torch.randint(SEEDS, (), generator=generator))
    observation, _ = envs.reset(seed=seed, options={"trial": True})
    h, action, reward, done = policy.begin(envs.num_envs)
    kept: list[tuple[Tensor, ...]] = []
    for _ in range(steps):
        x = policy.encode(observation, action, reward, done)
        logits, value, h = policy(x[None], h)
        action = sample(logits[0], generator)
        observation, gained, ended, cut, info = envs.step(action.numpy())
        credit = torch.as_tensor(info.get(CREDIT, gained)).float()
        reward, done = torch.as_tensor(gained).float(), torch.as_tensor(ended | cut).float()
        log_p = logits[0].log_softmax(-1).gather(1, action[:, None]).squeeze(1)
        kept.append((x, action, reward, credit, log_p, value[0]))
    return Rollout(*(torch.stack(part) for part in zip(*kept, strict=True)))


def learn(
    policy: RL2,
    rollout: Rollout,
    how: PPO,
    optimiser: torch.optim.Optimizer,
    generator: torch.Generator,
    iteration: int = 0,
) -> None:
    """Take ``epochs`` x ``minibatches`` steps on the PPO loss, each on some of the trials from end to end."""
    scale = horizon(how.steps, how.discount)[:, None]
    advantages = gae(rollout.credits, rollout.values * scale, how.discount, how.trace)
    returns = advantages / scale + rollout.values
    advantages = (advantages - advantages.mean()) / (advantages.std() + 1e-8)
    entropy = how.entropy * how.left(iteration)
    for _ in range(how.epochs):
        order = torch.randperm(rollout.actions.shape[1], generator=generator)
        for part in order.chunk(how.minibatches):
            some = Rollout(*(tensor[:, part] for tensor in vars(rollout).values()))
            optimiser.zero_grad()
            loss = ppo_loss(policy, some, advantages[:, part], returns[:, part], how.clip, entropy, how.critic)
            loss.backward()
            norm = torch.nn.utils.clip_grad_norm_(policy.parameters(), how.norm).item()
            if not math.isfinite(loss.item() + norm):
                raise Diverged(
                    f"rl2: loss is {loss.item()}, its gradient's norm {norm}, at iteration {iteration + 1}, "
                    f"learning rate {how.rate}; lower it and start again"
                )
            optimiser.step()


def throughput(policy: RL2, envs: Any, how: PPO) -> float:
    """Return environment steps a second of training as it is done: played and learned from, validation left out."""
    generator = torch.Generator().manual_seed(how.seed)
    optimiser = Adam(policy.parameters(), lr=how.rate)
    learn(policy, collect(policy, envs, how.steps, generator), how, optimiser, generator)  # warm-up
    started = time.perf_counter()
    for iteration in range(how.iterations):
        learn(policy, collect(policy, envs, how.steps, generator), how, optimiser, generator, iteration)
    return how.iterations * how.steps * envs.num_envs / (time.perf_counter() - started)


def _validate(policy: RL2, validation: Any, how: PPO, curve: Curve, iteration: int, reward: float) -> None:
    gained, _ = play(validation, Recurrent(policy), how.steps, how.seed + SEEDS)
    curve.iteration.append(iteration)
    curve.reward.append(reward)
    curve.validation_reward.append(float(gained.sum(0).mean()))
