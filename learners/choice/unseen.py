"""How sure to be where nothing can be held out, with one label a class: by what the model itself says of the pool."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from learners.choice.conformal import episodes_threshold
from learners.support import Support

PULL = 0.003  # of the weights towards 0, an episode; chosen on source tasks
LEAST_BEND = 0.5  # of the curvature of a loss, as a share of the variance of the logits
MOST_POOL = 200  # pool examples that are looked at


@dataclass(frozen=True)
class UnseenTask:
    """What a model says of a source task that it was adapted to.

    Attributes:
        logs: [Q, N] log-probabilities of queries; y: [Q] their labels; pool: [U, N] the same of the pool, or None.
    """

    logs: Tensor
    y: Tensor
    pool: Tensor | None


@dataclass(frozen=True)
class Unseen:
    """The temperature of a model of one label a class, and the threshold of its prediction sets.

    log T = w . x, with x the number of labels and how sure the model is of the pool (``describe_confidence``). w is one
    Newton step from T = 1 for the log-loss of source tasks, as those are calibrated on average already.

    Attributes:
        weights: w [5]; threshold: in multiples of chance.
    """

    weights: list[float]
    threshold: float

    @classmethod
    def fit(cls, tasks: Sequence[UnseenTask]) -> "Unseen":
        """Return that of source tasks."""
        found = cls(step(sums_of_tasks(tasks)).tolist(), 0.0)
        p = [F.softmax(task.logs / found.temperature(task.logs.shape[1], task.pool), 1) for task in tasks]
        return cls(found.weights, episodes_threshold(p, [task.y for task in tasks]))

    def temperature(self, ways: int, pool: Tensor | None) -> float:
        """Return the temperature of a model of so many labels that says this of the pool [U, N] (None: no pool)."""
        log_t = float(describe_confidence(ways, pool) @ np.array(self.weights))
        return math.exp(min(max(log_t, -1.5), 1.5))


def describe_confidence(ways: int, pool: Tensor | None) -> np.ndarray:
    """Return x [5]: 1, log N / 3, whether there is a pool, and the mean confidence there and one minus the entropy.

    Both are 0 at chance and 1 where the model is sure. Without a pool they are 0.

    Args:
        pool: [U, N] log-probabilities.
    """
    if pool is None or not len(pool):
        return np.array([1.0, math.log(ways) / 3, 0.0, 0.0, 0.0])
    p = pool.double().softmax(1)
    sure = (float(p.amax(1).mean()) - 1 / ways) / (1 - 1 / ways)
    known = 1 - float(torch.special.entr(p).sum(1).mean()) / math.log(ways)
    return np.array([1.0, math.log(ways) / 3, 1.0, sure, known])


def some_of_pool(support: Support) -> Tensor | None:
    """Return up to MOST_POOL examples of a pool, evenly spread, or None."""
    pool = support.pool_x
    return None if pool is None or not len(pool) else pool[:: -(-len(pool) // MOST_POOL)]


def sums_of_tasks(tasks: Sequence[UnseenTask]) -> np.ndarray:
    """Return what the step is taken from [6, 5]: sum h x x', the sum of g x, of tasks, and their number at its end.

    g and h are the first and second derivative of a task's mean log-loss by log T, at T = 1.
    """
    size = len(describe_confidence(2, None))
    found = np.zeros((size + 2, size))
    for task in tasks:
        x, z = describe_confidence(task.logs.shape[1], task.pool), task.logs.double()
        p = z.softmax(1)
        mean = (p * z).sum(1)
        spread = (p * z.square()).sum(1) - mean.square()
        slope = z.gather(1, task.y[:, None])[:, 0] - mean
        bend = max(float((spread - slope).mean()), LEAST_BEND * float(spread.mean()), 1e-3)
        found[:size] += bend * np.outer(x, x)
        found[size] += float(slope.mean()) * x
        found[-1, 0] += 1
    return found


def step(sums: np.ndarray) -> np.ndarray:
    """Return the weights [5] of ``sums_of_tasks``, drawn to 0 but for the first."""
    *squares, slopes, count = sums
    pull = np.full(len(slopes), PULL * count[0])
    pull[0] = 1e-6
    return np.linalg.solve(np.array(squares) + np.diag(pull), -slopes)
