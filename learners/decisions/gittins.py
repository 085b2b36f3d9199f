"""Gittins indices of Bernoulli arms, by calibration over a finite horizon.

J. C. Gittins. Bandit processes and dynamic allocation indices. Journal of the Royal Statistical Society B 41, 1979.
https://doi.org/10.1111/j.2517-6161.1979.tb01068.x
J. Niño-Mora. Computing a classic index for finite-horizon bandits. INFORMS Journal on Computing 23, 2011.
https://doi.org/10.1287/ijoc.1100.0398
"""

import numpy as np

GRID = 200  # charges to try; the index is interpolated between the two around it
CELLS = 4_000_000  # numbers held at once, about


def gittins(steps: int, discount: float = 1.0, grid: int = GRID) -> np.ndarray:
    """Return the index [steps + 1, steps, steps] of an arm, by the pulls left s and its successes a and failures b.

    The index is the charge for a pull at which it is just worth playing on: the root in c of

        W_c(a, b, s) = p - c + discount [p V_c(a+1, b, s-1) + (1-p) V_c(a, b+1, s-1)],    V_c = max(0, W_c)

    with p = (a + 1) / (a + b + 2), the posterior mean under a uniform prior. Only a + b <= steps - s can be reached;
    other cells and s = 0 are NaN. For discount < 1 and many steps it is the index of the endless game.
    """
    index = np.full((steps + 1, steps, steps), np.nan, np.float32)
    charges = np.linspace(0, 1, grid + 1)
    at_once = max(2, CELLS // steps**2)
    for first in range(0, grid, at_once - 1):
        _calibrate(index, charges[first : first + at_once], discount)
    return index


def _calibrate(index: np.ndarray, charges: np.ndarray, discount: float) -> None:
    """Fill in the cells whose index lies between two neighbours of the charges [C]."""
    steps, c = len(index) - 1, charges[:, None, None]
    value = np.zeros((len(charges), steps + 1, steps + 1))
    a, b = np.indices((steps, steps))
    p = (a + 1) / (a + b + 2)
    for s in range(1, steps + 1):
        n = steps - s + 1  # a and b below it
        mean = p[:n, :n]
        after = mean * value[:, 1 : n + 1, :n] + (1 - mean) * value[:, :n, 1 : n + 1]
        worth = mean - c + discount * after
        positive = (worth > 0).sum(0)
        inside = (positive > 0) & (positive < len(charges)) & (a[:n, :n] + b[:n, :n] < n)
        i, j = np.nonzero(inside)
        low = positive[i, j] - 1
        above, below = worth[low, i, j], worth[low + 1, i, j]
        index[s, i, j] = charges[low] + (charges[low + 1] - charges[low]) * above / (above - below)
        value = np.maximum(worth, 0)
