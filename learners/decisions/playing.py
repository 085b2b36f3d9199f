"""Players of trials, and the rewards that they get: one loop for learned policies and plain strategies."""

from typing import Any, Protocol

import numpy as np
import torch

from learners.decisions.rl2 import RL2


class Player(Protocol):
    """What plays E trials side by side, and is told what each step gave.

    It may watch another player, as a teacher does: ``act`` says what it would do, ``learn`` is told what the other did.
    """

    def begin(self, trials: int, steps: int) -> None:
        """Forget everything: new trials of so many steps begin."""

    def act(self, observation: np.ndarray) -> np.ndarray:
        """Return the actions [E] for observations [E, ...]."""

    def learn(self, action: np.ndarray, reward: np.ndarray, done: np.ndarray, observation: np.ndarray) -> None:
        """Take in what actions [E] gave: rewards [E], whether an episode ended [E], and what is observed then."""


def play(envs: Any, player: Player, steps: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return rewards [T, E] and actions [T, E] of one trial in every environment.

    Args:
        envs: a ``gymnasium.vector.VectorEnv`` whose reset begins new trials, with autoreset in the same step.
        seed: fixes the trials, so that players can be compared on the same.
    """
    observation, _ = envs.reset(seed=seed, options={"trial": True})
    player.begin(envs.num_envs, steps)
    rewards, actions = [], []
    for _ in range(steps):
        action = player.act(observation)
        observation, reward, ended, cut, _ = envs.step(action)
        player.learn(action, reward, ended | cut, observation)
        rewards.append(reward)
        actions.append(action)
    return np.stack(rewards), np.stack(actions)


class Recurrent:
    """Plays with a trained policy: the most probable action, or one drawn from the policy with a ``generator``."""

    def __init__(self, policy: RL2, generator: torch.Generator | None = None) -> None:
        self.policy, self.generator = policy, generator

    def begin(self, trials: int, steps: int) -> None:
        self.state, self.before = self.policy.begin(trials, steps)
        self.logits = torch.zeros(trials, self.policy.actions)

    @torch.no_grad()
    def act(self, observation: np.ndarray) -> np.ndarray:
        x = self.policy.encode(observation, self.before)
        logits, _, self.state = self.policy(x[None], self.state)
        self.observation, self.logits = observation, logits[0].cpu()
        chosen = self.logits.argmax(1) if self.generator is None else sample(self.logits, self.generator)
        return chosen.numpy()

    def learn(self, action: np.ndarray, reward: np.ndarray, done: np.ndarray, observation: np.ndarray) -> None:
        taken = torch.from_numpy(action)
        self.before = self.policy.after(self.before, self.observation, taken, reward, done)


class Uniform:
    """Plays at random."""

    def __init__(self, actions: int, seed: int = 0) -> None:
        self.actions, self.rng = actions, np.random.default_rng(seed)

    def begin(self, trials: int, steps: int) -> None:
        self.trials = trials

    def act(self, observation: np.ndarray) -> np.ndarray:
        return self.rng.integers(self.actions, size=self.trials)

    def learn(self, action: np.ndarray, reward: np.ndarray, done: np.ndarray, observation: np.ndarray) -> None:
        pass


def sample(logits: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Return an action [E] drawn from the softmax of logits [E, A], by its distribution function."""
    edges = logits.softmax(-1).cumsum(-1)
    u = torch.rand(len(logits), 1, generator=generator)
    return (edges < u * edges[:, -1:]).sum(-1)
