"""Random tabular decision processes: rewards ~ N(mu, 1), mu ~ N(1, 1), transitions ~ Dirichlet(1).

Duan et al. 2016, 3.2, after Osband, Russo and Van Roy, "(More) efficient reinforcement learning via posterior
sampling", NeurIPS 2013: 10 states, 5 actions, every episode starts in state 0 and has 10 steps.
"""

import numpy as np
from gymnasium.spaces import Discrete

from domains.decisions.trials import Trials


class TabularMDPs(Trials):
    """Trials of ``episodes`` episodes of ``horizon`` steps.

    Attributes:
        reward: means [trials, states, actions]; transition: [trials, states, actions, states].
    """

    def __init__(self, trials: int, episodes: int, states: int = 10, actions: int = 5, horizon: int = 10) -> None:
        super().__init__(trials, episodes * horizon, Discrete(states), actions)
        self.shape, self.horizon, self.episodes = (states, actions), horizon, episodes
        self._rows, self._t = np.arange(trials), 0

    def draw(self) -> np.ndarray:
        states, actions = self.shape
        self.reward = self._rng.normal(1, 1, (self.num_envs, states, actions))
        self.transition = self._rng.dirichlet(np.ones(states), (self.num_envs, states, actions))
        self._state, self._t = np.zeros(self.num_envs, np.int64), 0
        return self._state

    def act(self, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        at = self._rows, self._state, actions
        rewards = (self.reward[at] + self._rng.normal(size=self.num_envs)).astype(np.float32)
        below = self.transition[at].cumsum(-1) < self._rng.random((self.num_envs, 1))
        self._t += 1
        ended = self._t % self.horizon == 0
        self._state = np.zeros_like(self._state) if ended else np.minimum(below.sum(-1), self.shape[0] - 1)
        return self._state, rewards, np.full(self.num_envs, ended)
