"""What the environments of this package share: many trials side by side, each on a task of its own.

A trial is ``steps`` steps on one task, cut into episodes (Duan et al. 2016, RL2). ``reset`` draws new tasks; the end of
an episode inside a trial shows in ``terminations`` and starts the next one on the same task.
"""

from abc import ABC, abstractmethod
from typing import Any

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Discrete
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from domains.errors import UserError


class Trials(VectorEnv[Any, Any, Any], ABC):
    """Trials of one kind of task.

    Args:
        trials: how many run side by side.
        steps: of one trial.
        observations: what is seen; a number below ``n``, or a vector.
        actions: how many there are.
    """

    metadata = {"autoreset_mode": AutoresetMode.SAME_STEP}  # noqa: RUF012 (Gymnasium's)

    def __init__(self, trials: int, steps: int, observations: Discrete | Box, actions: int) -> None:
        if min(trials, steps) < 1 or actions < 2:
            raise UserError(f"{trials} trials of {steps} steps with {actions} actions: 1, 1 and 2 are the least")
        self.num_envs, self.steps = trials, steps
        self.single_observation_space, self.single_action_space = observations, Discrete(actions)
        self.observation_space = batch_space(observations, trials)
        self.action_space = batch_space(self.single_action_space, trials)
        self._rng = np.random.default_rng()

    def reset(self, *, seed: int | list[int | None] | None = None, options: dict[str, Any] | None = None) -> Any:
        """Draw a new task for every trial; returns observations [trials, ...] and no more."""
        if seed is not None:
            self._rng = np.random.default_rng(seed)  # type: ignore[arg-type]
        return self.draw(), {}

    def step(self, actions: Any) -> Any:
        """Return observations, rewards [trials], whether an episode ended [trials], and whether one was cut off."""
        observed, rewards, ended = self.act(np.asarray(actions))
        return observed, rewards, ended, np.zeros(self.num_envs, bool), {}

    @abstractmethod
    def draw(self) -> np.ndarray:
        """Draw the tasks and return what is seen first."""

    @abstractmethod
    def act(self, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Do the actions [trials] and return observations, rewards and whether an episode ended."""


def sizes(env: VectorEnv[Any, Any, Any]) -> tuple[int, int]:
    """Return the length of an observation as a vector (a number below n is one-hot) and the number of actions.

    Raises:
        UserError: the spaces are others than a policy over actions can use.
    """
    seen, done = env.single_observation_space, env.single_action_space
    if not isinstance(done, Discrete):
        raise UserError(f"actions are {_named(done)}; a policy here chooses one of n: a Discrete space is needed")
    if isinstance(seen, Discrete):
        return int(seen.n), int(done.n)
    if isinstance(seen, Box) and len(seen.shape) == 1:
        return seen.shape[0], int(done.n)
    raise UserError(f"observations are {_named(seen)}; a Discrete space or a Box with one dimension is needed")


def _named(space: gymnasium.Space[Any]) -> str:
    return f"{type(space).__name__}{space.shape if isinstance(space, Box) else ''}"
