"""Posterior sampling for reinforcement learning, and its optimistic variant."""

from dataclasses import dataclass

import numpy as np

from learners.decisions.planning import Planner, Posterior, action_values, normalised


class PSRL(Planner):
    """Draws a process from its posterior for every episode, and plays what is best in it.

    I. Osband, D. Russo, B. Van Roy. (More) efficient reinforcement learning via posterior sampling. NeurIPS 2013.
    https://arxiv.org/abs/1306.0940
    """

    def process(self, known: Posterior) -> tuple[np.ndarray, np.ndarray]:
        drawn = normalised(self.rng.standard_gamma(known.weights, dtype=np.float32))
        noise = self.rng.standard_normal(known.counts.shape, np.float32)
        return drawn, known.rewards + noise * known.deviations


@dataclass(eq=False)
class OptimisticPSRL(PSRL):
    """Draws K processes for every episode, and takes the highest of their values, max_k Q^k(s, a) (OPSRL).

    I. Osband, B. Van Roy. Why is posterior sampling better than optimism for reinforcement learning? ICML 2017.
    https://arxiv.org/abs/1607.00215; as in the code of its authors, https://github.com/iosband/TabulaRL, where mean
    rewards are expected to be 0.

    Args:
        draws: K; with 1 it is PSRL.
    """

    draws: int = 10

    def plan(self, known: Posterior, steps: int) -> np.ndarray:
        q = action_values(*self.process(known), steps)
        for _ in range(self.draws - 1):
            np.maximum(q, action_values(*self.process(known), steps), out=q)
        return q
