"""Temperature scaling: probabilities that can be believed."""

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

GRID = np.logspace(-1.3, 1.3, 61).tolist()
DEVIATION = 0.3  # of the logarithm of a temperature around what source tasks let expect; chosen on source tasks


def doubt_of(n: int) -> float:
    """Return the share of labels to spread over all where a temperature is to be found on n examples.

    That all n were right leaves the doubt 1 / (n + 2), by Laplace's rule of succession. It is three times that, at most
    a half: the log-loss of new examples is lower so, as a few right ones by chance cost more than too much doubt does.
    """
    return min(0.5, 3 / (n + 2))


def best_temperature(
    logits: Sequence[Tensor],
    y: Sequence[Tensor],
    *,
    doubt: float = 0.0,
    around: float | None = None,
    deviation: float = DEVIATION,
) -> float:
    """Return the temperature in [0.05, 20] that minimises the mean log-loss (Guo et al. 2017), of those of GRID.

    The loss is convex in 1 / temperature, so that the sign of its slope there leads to the best one by bisection.

    Args:
        doubt: share of each label that is spread over all, as frequent as they are (label smoothing): of a few examples
            all may be right by chance, and of them alone the best temperature would be none.
        around: what is expected of it before the examples are seen: log T ~ N(log around, deviation^2), so that the
            most probable temperature after them is returned. Give one tensor of logits then.
    """
    exact = [z.double() for z in logits]
    expected_log, pull = (0.0, 0.0) if around is None else (math.log(around), 1 / (deviation**2 * len(exact[0])))
    pairs = [(z, _expected(z, labels, doubt)) for z, labels in zip(exact, y, strict=True)]

    def falls(temperature: float) -> bool:
        """Whether the loss falls where the temperature does: the sign of its derivative by 1 / T."""
        slopes = [(F.softmax(z / temperature, 1) * z).sum(1).mean() - expected for z, expected in pairs]
        return float(torch.stack(slopes).sum()) < pull * temperature * (math.log(temperature) - expected_log)

    def loss(temperature: float) -> float:
        losses = [(z / temperature).logsumexp(1).mean() - expected / temperature for z, expected in pairs]
        return float(torch.stack(losses).sum()) + pull * (math.log(temperature) - expected_log) ** 2 / 2

    low, high = 0, len(GRID) - 1  # of the lowest temperature of the grid where it falls
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if falls(GRID[middle]) else (middle + 1, high)
    return min(GRID[max(0, low - 1) : low + 1], key=loss)


def _expected(z: Tensor, y: Tensor, doubt: float) -> Tensor:
    """Return the mean logit of the labels [n] among z [n, N], of which ``doubt`` is spread as frequent as they are.

    Every label counts once more than it comes, as the only example of a label is held out of nothing.
    """
    right = z.gather(1, y[:, None]).mean()
    frequent = torch.bincount(y, minlength=z.shape[1]).double() + 1
    return (1 - doubt) * right + doubt * (z @ (frequent / frequent.sum())).mean()
