"""Random tabular decision processes: ten states, five actions, episodes of ten steps, as in Duan et al. 2016."""

from typing import Any

import numpy as np
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from domains.decisions.actions import CREDIT, check_actions
from domains.errors import UserError


class TabularMDPs(VectorEnv):
    """Many decision processes side by side, stepped by one array operation.

    A trial is one draw of P(. | s, a) ~ Dirichlet(1, ..., 1) and of mean rewards m(s, a) ~ N(1, 1); a step pays
    N(m(s, a), 1). Episodes begin in state 0 and end after ``horizon`` steps, and the next one begins in the same step.
    All that happens until the next reset is fixed by its seed and the actions.

    Attributes:
        transitions: [E, S, A, S]; means: [E, S, A].
    """

    metadata = {"autoreset_mode": AutoresetMode.SAME_STEP}  # noqa: RUF012 (gymnasium's own declaration)

    def __init__(self, num_envs: int, states: int = 10, actions: int = 5, horizon: int = 10) -> None:
        if min(num_envs, states, horizon) < 1 or actions < 2:
            raise UserError(
                f"{num_envs} processes of {states} states, {actions} actions and {horizon} steps: at least 1 process "
                "of 1 state, 2 actions and 1 step is needed"
            )
        self.num_envs, self.states, self.actions, self.horizon = num_envs, states, actions, horizon
        self.single_observation_space, self.single_action_space = spaces.Discrete(states), spaces.Discrete(actions)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self.transitions = np.full((num_envs, states, actions, states), 1 / states)
        self.means = np.ones((num_envs, states, actions))
        self._every = np.arange(num_envs)
        self._begin()

    def _begin(self) -> None:
        self._state, self._t = np.zeros(self.num_envs, np.int64), 0

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Draw new processes; the observation [E] is the state."""
        super().reset(seed=seed)
        gamma = self.np_random.standard_exponential(self.transitions.shape)
        self.transitions = gamma / gamma.sum(-1, keepdims=True)
        self.means = self.np_random.normal(1, 1, self.means.shape)
        self._edges = self.transitions.cumsum(-1)
        self._short = self._shortfalls()
        self._begin()
        return self._state.copy(), {}

    def step(self, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """Act [E] in every process; rewards [E] are real numbers, the credit Q*(s, a) - V*(s)."""
        at = self._every, self._state, check_actions(actions, self.num_envs, self.actions)
        rewards = self.np_random.normal(self.means[at], 1).astype(np.float32)
        credit = self._short[self._t][at]
        u = self.np_random.random((self.num_envs, 1))
        self._state = (self._edges[at][:, :-1] < u).sum(1)
        self._t += 1
        over = self._t == self.horizon
        if over:
            self._begin()
        ended = np.full(self.num_envs, over)
        return self._state.copy(), rewards, ended, np.zeros(self.num_envs, bool), {CREDIT: credit}

    def _shortfalls(self) -> np.ndarray:
        """Return Q*(s, a) - V*(s) at each step of an episode [T, E, S, A], by backward induction."""
        short, value = np.empty((self.horizon, *self.means.shape), np.float32), np.zeros(self.means.shape[:2])
        for t in reversed(range(self.horizon)):
            q = self.means + np.einsum("esaz,ez->esa", self.transitions, value)
            value = q.max(-1)
            short[t] = q - value[..., None]
        return short
