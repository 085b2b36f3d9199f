"""Bernoulli bandits: k arms whose chances are drawn uniformly for every trial, pulled n times."""

from typing import Any

import numpy as np
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from domains.decisions.actions import CREDIT, check_actions
from domains.errors import UserError


class Bandits(VectorEnv):
    """Many bandits side by side, stepped by one array operation.

    A trial is one draw of arms, p_a ~ U(0, 1); every pull is an episode of one step, so that all are ``terminated``.
    ``reset`` draws new arms, as an option ``{"trial": True}`` asks of any environment here; all that happens until
    the next reset is fixed by its seed and the actions: whoever pulls the same arm at the same time is paid the same.

    Attributes:
        p: [E, k] the arms' chances, for baselines that are told and for tests.
    """

    metadata = {"autoreset_mode": AutoresetMode.SAME_STEP}  # noqa: RUF012 (gymnasium's own declaration)

    def __init__(self, num_envs: int, arms: int = 5) -> None:
        if num_envs < 1 or arms < 2:
            raise UserError(f"{num_envs} bandits of {arms} arms: at least 1 bandit of 2 arms is needed")
        self.num_envs, self.arms = num_envs, arms
        self.single_observation_space, self.single_action_space = spaces.Discrete(1), spaces.Discrete(arms)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self.p = np.full((num_envs, arms), 0.5)
        self._nothing = np.zeros(num_envs, np.int64)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Draw new arms; the observation [E] is always 0."""
        super().reset(seed=seed)
        self.p = self.np_random.random((self.num_envs, self.arms))
        return self._nothing, {}

    def step(self, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """Pull an arm [E] of every bandit; rewards [E] are 0 or 1, the credit p_a - max_b p_b."""
        chance = self.p[np.arange(self.num_envs), check_actions(actions, self.num_envs, self.arms)]
        rewards = (self.np_random.random(self.num_envs) < chance).astype(np.float32)
        info = {CREDIT: (chance - self.p.max(1)).astype(np.float32)}
        return self._nothing, rewards, np.ones(self.num_envs, bool), np.zeros(self.num_envs, bool), info
