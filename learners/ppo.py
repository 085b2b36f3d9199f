"""Proximal policy optimisation over whole trials, with generalised advantage (Schulman et al. 2017, 2016)."""

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gymnasium.vector import VectorEnv
from torch import Tensor
from torch.nn import functional as F

from learners import checkpoint
from learners.meta_train import Diverged
from learners.rl2 import RL2


@dataclass(frozen=True)
class PPO:
    """How a policy is trained.

    Args:
        updates: batches of trials that are collected.
        epochs: passes over each batch; minibatches: trials of a pass are divided into so many.
        rate: Adam's at the start; it falls to zero.
        discount: gamma, over the whole trial; smoothing: lambda of the advantage.
        clip: how far the ratio of probabilities may leave 1.
        entropy: weight of the entropy at the start; it falls to zero. value: weight of the value's error.
        norm: the largest norm of a gradient.
        seed: of tasks, actions and minibatches. What update u draws depends on (seed, u) alone.
    """

    updates: int = 200
    epochs: int = 3
    minibatches: int = 8
    rate: float = 2e-3
    discount: float = 0.99
    smoothing: float = 0.3
    clip: float = 0.2
    entropy: float = 0.02
    value: float = 0.5
    norm: float = 0.5
    seed: int = 0


@dataclass(frozen=True)
class Rollout:
    """Trials of T steps: x [T, B, I], actions, their log probabilities, values and rewards [T, B]."""

    x: Tensor
    action: Tensor
    log_p: Tensor
    value: Tensor
    reward: Tensor


@dataclass(frozen=True)
class Learning:
    """Mean return of a trial, one entry an update."""

    returns: list[float] = field(default_factory=list)


@torch.no_grad()
def collect(policy: RL2, env: VectorEnv[Any, Any, Any], steps: int, seed: int) -> Rollout:
    """Run one trial of every task of an environment; the hidden state starts at zero and lives through its episodes.

    Args:
        steps: of the trial; seed: of the tasks and actions.
    """
    generator = torch.Generator().manual_seed(seed)
    observed, _ = env.reset(seed=seed)
    n, h = env.num_envs, None
    action, reward, done = torch.full((n,), -1), torch.zeros(n), torch.zeros(n)
    kept: list[tuple[Tensor, ...]] = []
    for _ in range(steps):
        x = policy.seen(torch.as_tensor(observed), action, reward, done)
        logits, value, h = policy(x[None], h)
        log_p = F.log_softmax(logits[0], -1)
        action = torch.multinomial(log_p.exp(), 1, generator=generator)[:, 0]
        observed, got, ended, cut, _ = env.step(action.numpy())
        reward, done = torch.as_tensor(got, dtype=torch.float32), torch.as_tensor(np.logical_or(ended, cut))
        kept.append((x, action, log_p.gather(1, action[:, None])[:, 0], value[0], reward))
    return Rollout(*(torch.stack(each) for each in zip(*kept, strict=True)))


def advantages(reward: Tensor, value: Tensor, discount: float, smoothing: float) -> Tensor:
    """Return A_t = delta_t + gamma lambda A_{t+1} with delta_t = r_t + gamma V_{t+1} - V_t, all [T, B]; V_T = 0.

    An episode's end inside the trial ends nothing: what is earned after it counts.
    """
    out, after, later = torch.empty_like(reward), torch.zeros_like(reward[0]), torch.zeros_like(reward[0])
    for t in reversed(range(len(reward))):
        after = reward[t] + discount * later - value[t] + discount * smoothing * after
        out[t], later = after, value[t]
    return out


def loss_of(policy: RL2, batch: Rollout, advantage: Tensor, goal: Tensor, how: PPO, entropy: float) -> Tensor:
    """Return -E[min(rho A, clip(rho) A)] + value E[(V - R)^2] - entropy E[H(pi)] of some trials."""
    logits, value, _ = policy(batch.x)
    log_p = F.log_softmax(logits, -1)
    ratio = (log_p.gather(-1, batch.action[..., None])[..., 0] - batch.log_p).exp()
    gain = torch.minimum(ratio * advantage, ratio.clamp(1 - how.clip, 1 + how.clip) * advantage).mean()
    spread = -(log_p.exp() * log_p).sum(-1).mean()
    return -gain + how.value * F.mse_loss(value, goal) - entropy * spread


def train(
    policy: RL2,
    env: VectorEnv[Any, Any, Any],
    steps: int,
    how: PPO,
    path: Path | None = None,
    progress: Callable[[int], None] = lambda updates: None,
    every: int = 20,
) -> Learning:
    """Train a policy in place, by whole trials of ``steps`` steps. With a ``path``, a call that was killed goes on.

    It ends, bit for bit on the same machine, as one that was never stopped.

    Raises:
        Diverged: the loss or its gradient is not finite.
    """
    optimiser = torch.optim.Adam(policy.parameters(), lr=how.rate, eps=1e-5)
    learning, done = Learning(), 0
    if path is not None and (found := checkpoint.load(path)):
        done = _restore(found, policy, optimiser, learning)
        progress(done)
    for update in range(done, how.updates):
        left = 1 - update / how.updates
        for group in optimiser.param_groups:
            group["lr"] = how.rate * left
        seed = int(np.random.SeedSequence([how.seed, update]).generate_state(1)[0])
        learning.returns.append(_update(policy, optimiser, collect(policy, env, steps, seed), how, left, seed))
        progress(1)
        if path is not None and ((update + 1) % every == 0 or update + 1 == how.updates):
            _save(path, policy, optimiser, learning)
    return learning


def _update(policy: RL2, optimiser: torch.optim.Optimizer, batch: Rollout, how: PPO, left: float, seed: int) -> float:
    """Do the epochs over one batch and return its mean return."""
    advantage = advantages(batch.reward, batch.value, how.discount, how.smoothing)
    goal = advantage + batch.value
    advantage = (advantage - advantage.mean()) / (advantage.std() + 1e-8)
    generator = torch.Generator().manual_seed(seed + 1)
    for _ in range(how.epochs):
        for rows in torch.randperm(batch.x.shape[1], generator=generator).chunk(how.minibatches):
            part = Rollout(*(getattr(batch, name)[:, rows] for name in Rollout.__dataclass_fields__))
            loss = loss_of(policy, part, advantage[:, rows], goal[:, rows], how, how.entropy * left)
            optimiser.zero_grad()
            loss.backward()
            norm = torch.nn.utils.clip_grad_norm_(policy.parameters(), how.norm)
            if not math.isfinite(loss.item() + norm.item()):
                raise Diverged(f"loss {loss.item()}, gradient {norm.item()}, learning rate {how.rate}; lower it")
            optimiser.step()
    return float(batch.reward.sum(0).mean())


def _save(path: Path, policy: RL2, optimiser: torch.optim.Optimizer, learning: Learning) -> None:
    tensors = {f"policy.{name}": value for name, value in policy.state_dict().items()}
    checkpoint.save(path, tensors | checkpoint.optimiser_tensors(optimiser), asdict(learning))


def _restore(
    found: tuple[dict[str, Tensor], dict[str, Any]], policy: RL2, optimiser: torch.optim.Optimizer, learning: Learning
) -> int:
    tensors, about = found
    policy.load_state_dict({n.removeprefix("policy."): v for n, v in tensors.items() if n.startswith("policy.")})
    checkpoint.restore_optimiser(optimiser, tensors)
    learning.returns.extend(about["returns"])
    return len(learning.returns)
