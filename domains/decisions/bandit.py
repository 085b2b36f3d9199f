"""Bandits with Bernoulli arms: y_a ~ Bernoulli(p_a), p_a ~ U(0, 1), each pull an episode (Duan et al. 2016, 3.1)."""

import numpy as np
from gymnasium.spaces import Discrete

from domains.decisions.trials import Trials


class Bandits(Trials):
    """Trials of ``pulls`` pulls; there is nothing to see but the reward.

    Attributes:
        chance: p [trials, arms] of the present tasks.
    """

    def __init__(self, trials: int, arms: int, pulls: int) -> None:
        super().__init__(trials, pulls, Discrete(1), arms)
        self.arms, self.chance = arms, np.full((trials, arms), 0.5)
        self._nothing, self._ended = np.zeros(trials, np.int64), np.ones(trials, bool)

    def draw(self) -> np.ndarray:
        self.chance = self._rng.random((self.num_envs, self.arms))
        return self._nothing

    def act(self, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        chance = np.take_along_axis(self.chance, actions[:, None], 1)[:, 0]
        return self._nothing, (self._rng.random(self.num_envs) < chance).astype(np.float32), self._ended
