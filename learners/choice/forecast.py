"""What more labels would give: a learning curve of few points, carried on to twice the labels."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from domains.episode import draw_support

FEWEST = 3  # labels a class, below which the points of a curve say nothing about its shape
SHARES = (0.25, 0.5, 0.75, 1.0)  # of the labels a class, at which a curve is measured
EXPONENTS = torch.arange(0.1, 2.01, 0.05)
USUAL = (0.5, 0.5)  # exponent of curves on frozen features, and how far its logarithm strays
RESAMPLES = 400


@dataclass(frozen=True)
class Forecast:
    """The accuracy to expect at ``size`` labels a class, and its 90 % interval."""

    size: int
    accuracy: float
    low: float
    high: float


def learning_curve(
    score: Callable[[Tensor], float], y: Tensor, shots: int, draws: int, generator: torch.Generator
) -> tuple[list[int], Tensor]:
    """Return sizes [m] in labels a class, and accuracies [draws, m] from nested supports of these sizes.

    Args:
        score: takes the rows [S] of a support; returns the accuracy, on other examples, of what is adapted to it.
        y: [n] labels to draw supports from; shots: the largest size.
    """
    sizes = sorted({max(1, round(share * shots)) for share in SHARES})
    curves = []
    for _ in range(draws):
        rows = draw_support(y, shots, generator)
        order = torch.cat([torch.arange(int(count)) for count in y[rows].unique_consecutive(return_counts=True)[1]])
        curves.append([score(rows[order < size]) for size in sizes])
    return sizes, torch.tensor(curves)


def forecast(sizes: Sequence[int], accuracies: Tensor, tests: int, seed: int = 0) -> Forecast | None:
    """Return the accuracy at twice the largest size, by an inverse power law through a learning curve.

        acc(n) = a - b n^-c,  b >= 0, a <= 1

    (Cortes et al., "Learning Curves: Asymptotic Values and Rate of Convergence", NeurIPS 1993; Figueroa et al.,
    "Predicting sample size required for classification performance", BMC Medical Informatics 2012). A few points
    hardly fix c, so a log-normal prior around USUAL holds it. The interval has the spread of the draws (bootstrap), and
    the chance in a new set of as many test examples.

    Args:
        sizes: [m] labels a class, ascending; accuracies: [draws, m]; tests: examples each was measured on.

    Returns:
        None where it is unknown: under FEWEST labels a class, or fewer than two sizes or draws.
    """
    draws = len(accuracies)
    if draws < 2 or len(sizes) < 2 or sizes[-1] < FEWEST:
        return None
    generator = torch.Generator().manual_seed(seed)
    accuracies = accuracies.double()
    spread = accuracies.std(0) / draws**0.5
    noise = float((spread.square().mean() + 0.25 / tests / draws).sqrt())
    means = [accuracies.mean(0)]
    means += [accuracies[torch.randint(draws, (draws,), generator=generator)].mean(0) for _ in range(RESAMPLES)]
    ahead = _fit(torch.tensor(sizes).double(), torch.stack(means), noise, generator)
    best = float(ahead[0])
    chance = (best * (1 - best) / tests) ** 0.5 * torch.randn(RESAMPLES, generator=generator, dtype=torch.double)
    low, high = torch.quantile((ahead[1:] + chance).clamp(0, 1), torch.tensor([0.05, 0.95]).double()).tolist()
    return Forecast(2 * sizes[-1], best, min(low, best), max(high, best))


def _fit(n: Tensor, curves: Tensor, noise: float, generator: torch.Generator) -> Tensor:
    """Return the accuracies [k] of curves [k, m] at twice the last n [m].

    The first is at the mean over exponents, weighted by their posterior; every other at one exponent drawn from it.
    """
    found, losses = [], []
    for exponent in EXPONENTS.tolist():
        x, end = n**-exponent, float((2 * n[-1]) ** -exponent)
        centred = x - x.mean()
        slope = ((curves @ centred) / centred.square().sum()).clamp_max(0)  # -b
        top = (curves.mean(1) - slope * x.mean()).clamp_max(1)  # a
        losses.append((top[:, None] + slope[:, None] * x - curves).square().sum(1) / (2 * noise**2))
        found.append(top + slope * end)
    prior = ((EXPONENTS / USUAL[0]).log() / USUAL[1]).square() / 2
    weights = torch.softmax(-(torch.stack(losses, 1) + prior), 1)
    values = torch.stack(found, 1)
    drawn = torch.multinomial(weights, 1, generator=generator)
    every = values.gather(1, drawn)[:, 0]
    every[0] = (weights[0] * values[0]).sum()
    return every
