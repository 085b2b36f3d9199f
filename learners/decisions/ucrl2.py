"""Upper confidence reinforcement learning, for episodes of a known length."""

from dataclasses import dataclass

import numpy as np

from learners.decisions.planning import Planner, Posterior

DELTA = 0.05  # probability that a process is outside of its confidence set, at scale 1


@dataclass(eq=False)
class UCRL2(Planner):
    """Plays what is best in the most favourable of the processes that are plausible after t steps (UCRL2).

    With n steps at (s, a), at least 1, plausible means within these distances of what was seen:

        |m(s, a) - m'(s, a)| <= sqrt(7 ln(2 S A t / delta) / (2 n))
        |P(. | s, a) - P'(. | s, a)|_1 <= sqrt(14 S ln(2 A t / delta) / n)

    Two things differ from the paper. Episodes have a length, so that its extended value iteration is backward induction
    and every episode is planned anew. And the centre of the set is the posterior mean, not the average, so that the
    strategy knows of the prior what the others do, and gains more.

    T. Jaksch, R. Ortner, P. Auer. Near-optimal regret bounds for reinforcement learning. Journal of Machine Learning
    Research 11, 2010. https://jmlr.org/papers/v11/jaksch10a.html

    Args:
        scale: of both distances. The paper's bounds hold for 1, with which all actions stay plausible in short trials.
    """

    scale: float = 0.1

    def plan(self, known: Posterior, steps: int) -> np.ndarray:
        s, a = self.states, self.actions
        seen = known.counts - 1
        n, t = np.maximum(seen, 1), seen.sum((0, 1)) + 1
        width = self.scale * np.sqrt(3.5 * np.log(2 * s * a * t / DELTA) / n)
        distance = self.scale * np.sqrt(14 * s * np.log(2 * a * t / DELTA) / n)
        return optimistic_values(known.transitions, distance, known.rewards + width, steps)


def optimistic_values(transitions: np.ndarray, distance: np.ndarray, rewards: np.ndarray, steps: int) -> np.ndarray:
    """Return Q [steps, A, S, E] as ``action_values`` does, of the best P' within an L1 distance [A, S, E] of P.

    The best P' has moved half the distance d from the worst states to the best one. Over states in order of falling
    value, v_1 >= ... >= v_S, its distribution function is min(1, d / 2 + P_1 + ... + P_j), and so

        sum_j P'_j v_j = v_S + sum_{j<S} min(1, d / 2 + P_1 + ... + P_j) (v_j - v_{j+1}).
    """
    q = np.empty((steps, *rewards.shape), rewards.dtype)
    q[0], every = rewards, np.arange(rewards.shape[-1])
    for k in range(1, steps):
        value = q[k - 1].max(0)
        order = np.argsort(-value, 0)
        value = np.take_along_axis(value, order, 0)
        q[k], mass = rewards + value[-1], distance / 2
        for j in range(len(order) - 1):
            mass += transitions[:, :, order[j], every]
            q[k] += np.minimum(1, mass) * (value[j] - value[j + 1])
    return q
