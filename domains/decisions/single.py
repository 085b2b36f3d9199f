"""One trial as an ordinary environment, for tools that know no vectorised ones."""

from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
from gymnasium.vector import VectorEnv


class TrialEnvironment(gymnasium.Env):
    """One of the environments of this package, where an episode of gymnasium is a whole trial.

    Args:
        make: makes the vectorised environment of so many trials.
        steps: of a trial, after which it is ``truncated``; episodes inside end as ``info["episode_end"]`` says.
    """

    def __init__(self, make: Callable[[int], VectorEnv], steps: int) -> None:
        self.envs, self.steps, self.done = make(1), steps, 0
        self.observation_space = self.envs.single_observation_space
        self.action_space = self.envs.single_action_space

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.done = 0
        observation, info = self.envs.reset(seed=seed, options={"trial": True})
        return self._one(observation), info

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.done += 1
        observation, reward, ended, cut, _ = self.envs.step(np.array([action]))
        info = {"episode_end": bool(ended[0] or cut[0])}
        return self._one(observation), float(reward[0]), False, self.done >= self.steps, info

    @staticmethod
    def _one(observation: np.ndarray) -> Any:
        return observation[0].copy() if observation.ndim > 1 else observation[0]
