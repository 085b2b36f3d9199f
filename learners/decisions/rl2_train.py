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
from learners.decisions.playing import Player, Recurrent, play, sample
from learners.decisions.ppo import Rollout, gae, horizon, imitation_loss, ppo_loss
from learners.decisions.rl2 import RL2
from learners.meta_train import Diverged
from learners.optimisers import Adam

SEEDS = 2**31


@dataclass(frozen=True)
class Imitation:
    """How a policy is taught by a player before it learns from rewards.

    In every iteration the policy plays, and learns what the teacher would have done where it went. The teacher plays
    the trials of the first iteration itself, and a share of those of the first half that falls to nothing.

    Args:
        iterations: of playing ``envs.num_envs`` trials and learning from them; 0: nobody teaches.
        epochs, minibatches, rate: as in ``PPO``.
    """

    iterations: int = 0
    epochs: int = 1
    minibatches: int = 4
    rate: float = 1e-3

    def shown(self, iteration: int) -> float:
        """Return the share of trials that the teacher plays, 1 to 0."""
        return max(0.0, 1 - 2 * iteration / self.iterations)

    def left(self, iteration: int) -> float:
        """Return the share of iterations that is left, 1 to 0."""
        return 1 - iteration / self.iterations


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
        imitation: what comes before.
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
    imitation: Imitation = Imitation()

    @property
    def total(self) -> int:
        """Iterations of both kinds."""
        return self.imitation.iterations + self.iterations

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
    teacher: Player | None = None,
) -> Curve:
    """Train a policy in place and leave it with its best parameters on the validation trials.

    All that is random comes from one generator: it draws actions, minibatches and, for every iteration, the seed that
    ``envs`` are reset with. With a ``path``, an interrupted call goes on from the last validation to the same end, bit
    for bit on the same machine and number of threads, as one that was never stopped.

    Args:
        envs, validation: ``gymnasium.vector.VectorEnv`` of which a reset begins new trials. Nothing may be random in
            them that their seed does not fix.
        progress: called with the number of iterations done since its last call.
        teacher: who is imitated for ``how.imitation.iterations``.

    Raises:
        ValueError: there are iterations of imitation, but no teacher.
        Diverged: the loss or its gradient is not finite.
    """
    if teacher is None and how.imitation.iterations:
        raise ValueError(f"{how.imitation.iterations} iterations of imitation need a teacher")
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
    for iteration in range(done, how.total):
        taught = iteration < how.imitation.iterations
        if iteration == how.imitation.iterations:
            optimiser.state.clear()  # another objective begins
        rollout = collect(policy, envs, how, generator, teacher if taught else None, iteration)
        rewards.append(rollout.rewards.sum(0).mean().item())
        learn(policy, rollout, how, optimiser, generator, iteration)
        progress(1)
        if (iteration + 1) % how.every == 0 or iteration + 1 == how.total:
            _validate(policy, validation, how, curve, iteration + 1, sum(rewards) / len(rewards))
            rewards.clear()
            if curve.validation_reward[-1] >= max(curve.validation_reward):
                best = {name: value.clone() for name, value in policy.state_dict().items()}
            if path is not None:
                run.keep(path, best, {"iteration": iteration + 1, "curve": asdict(curve)})
    policy.load_state_dict(best)
    return curve


@torch.no_grad()
def collect(
    policy: RL2, envs: Any, how: PPO, generator: torch.Generator, teacher: Player | None = None, iteration: int = 0
) -> Rollout:
    """Play one trial in every environment, with actions drawn from the policy; a teacher says what it would do."""
    seed, trials = int(torch.randint(SEEDS, (), generator=generator)), envs.num_envs
    observation, _ = envs.reset(seed=seed, options={"trial": True})
    state, before = policy.begin(trials, how.steps)
    kept: list[tuple[Tensor, ...]] = []
    if teacher is not None:
        teacher.begin(trials, how.steps)
        shown = torch.rand(trials, generator=generator) < how.imitation.shown(iteration)
    for _ in range(how.steps):
        x = policy.encode(observation, before)
        logits, value, state = policy(x[None], state)
        action = sample(logits[0].cpu(), generator)
        taught = torch.full_like(action, -1)
        if teacher is not None:
            taught = torch.from_numpy(teacher.act(observation))
            action = torch.where(shown, taught, action)
        seen, gained, ended, cut, info = envs.step(action.numpy())
        if teacher is not None:
            teacher.learn(action.numpy(), gained, ended | cut, seen)
        before = policy.after(before, observation, action, gained, ended | cut)
        observation = seen
        action = action.to(x.device)
        log_p = logits[0].log_softmax(-1).gather(1, action[:, None]).squeeze(1)
        credit = torch.as_tensor(info.get(CREDIT, gained), dtype=torch.float32, device=x.device)
        kept.append((x, action, before.reward, credit, log_p, value[0], taught.to(x.device)))
    return Rollout(*(torch.stack(part) for part in zip(*kept, strict=True)))


def learn(
    policy: RL2,
    rollout: Rollout,
    how: PPO,
    optimiser: torch.optim.Optimizer,
    generator: torch.Generator,
    iteration: int = 0,
) -> None:
    """Take ``epochs`` x ``minibatches`` steps on the loss of an iteration, each on some of the trials from end to end.

    Where a teacher has said what it would do, that is imitated; else the loss is that of PPO.
    """
    teaching = bool((rollout.taught >= 0).all())
    now: Imitation | PPO = how.imitation if teaching else how
    left = now.left(iteration if teaching else iteration - how.imitation.iterations)
    for group in optimiser.param_groups:
        group["lr"] = now.rate * max(left, 0.1)
    scale = horizon(how.steps, how.discount)[:, None].to(rollout.values.device)
    advantages = gae(rollout.credits, rollout.values * scale, how.discount, how.trace)
    returns = advantages / scale + rollout.values
    advantages = (advantages - advantages.mean()) / (advantages.std() + 1e-8)
    for _ in range(now.epochs):
        order = torch.randperm(rollout.actions.shape[1], generator=generator)
        for part in order.chunk(now.minibatches):
            some = rollout.part(part.to(rollout.values.device))
            optimiser.zero_grad()
            if teaching:
                loss = imitation_loss(policy, some, returns[:, part], how.critic)
            else:
                entropy = how.entropy * left
                loss = ppo_loss(policy, some, advantages[:, part], returns[:, part], how.clip, entropy, how.critic)
            loss.backward()
            norm = torch.nn.utils.clip_grad_norm_(policy.parameters(), how.norm).item()
            if not math.isfinite(loss.item() + norm):
                raise Diverged(
                    f"rl2: loss is {loss.item()}, its gradient's norm {norm}, at iteration {iteration + 1}, "
                    f"learning rate {now.rate}; lower it and start again"
                )
            optimiser.step()


def throughput(policy: RL2, envs: Any, how: PPO) -> float:
    """Return environment steps a second of training as it is done: played and learned from, validation left out."""
    generator = torch.Generator().manual_seed(how.seed)
    optimiser = Adam(policy.parameters(), lr=how.rate)
    learn(policy, collect(policy, envs, how, generator), how, optimiser, generator)  # warm-up
    started = time.perf_counter()
    for iteration in range(how.iterations):
        learn(policy, collect(policy, envs, how, generator), how, optimiser, generator, iteration)
    return how.iterations * how.steps * envs.num_envs / (time.perf_counter() - started)


def _validate(policy: RL2, validation: Any, how: PPO, curve: Curve, iteration: int, reward: float) -> None:
    gained, _ = play(validation, Recurrent(policy), how.steps, how.seed + SEEDS)
    curve.iteration.append(iteration)
    curve.reward.append(reward)
    curve.validation_reward.append(float(gained.sum(0).mean()))
