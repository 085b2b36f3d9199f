"""How good forecasts over time are, and how sure of that one may be where days hang together: pure numpy."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import rankdata

BLOCK = 20  # days that stay together in a resample: four times the horizon of a label
RESAMPLES = 2000


def qlike(realised: ArrayLike, forecast: ArrayLike) -> NDArray[np.float64]:
    """Return r / f - log(r / f) - 1 for variances, element by element: 0 where the forecast is right.

    Robust to noise in the realised variance (A. Patton. Volatility forecast comparison using imperfect volatility
    proxies. Journal of Econometrics 160, 2011).

    Raises:
        ValueError: a variance is not positive.
    """
    ratio = np.asarray(realised, float) / np.asarray(forecast, float)
    if not (np.isfinite(ratio) & (ratio > 0)).all():
        raise ValueError("QLIKE needs variances above zero on both sides")
    return ratio - np.log(ratio) - 1


def information_coefficients(score: ArrayLike, outcome: ArrayLike, ranks: bool = False) -> NDArray[np.float64]:
    """Return the correlation [T] over assets, day by day, of scores and outcomes [T, A] (R. Grinold, 1989).

    ``ranks``: Spearman's. A day whose scores or outcomes are all equal counts as 0.
    """
    a, b = np.asarray(score, float), np.asarray(outcome, float)
    if ranks:
        a, b = rankdata(a, axis=1), rankdata(b, axis=1)
    a, b = a - a.mean(1, keepdims=True), b - b.mean(1, keepdims=True)
    scale = np.sqrt(np.square(a).sum(1) * np.square(b).sum(1))
    return (a * b).sum(1) / np.where(scale > 1e-12, scale, np.inf)


def block_interval(
    days: Sequence[ArrayLike], rng: np.random.Generator, block: int = BLOCK, resamples: int = RESAMPLES
) -> tuple[float, float, float]:
    """Return the mean of series' means, and its 95 % percentile interval by the moving-block bootstrap.

    Args:
        days: a series [T] of daily values for each period, in order of time; each is resampled by itself, in blocks of
            days that follow each other (H. Künsch. The jackknife and the bootstrap for general stationary observations.
            Annals of Statistics 17, 1989), and periods count alike.

    Returns:
        ``(mean, low, high)``.

    Raises:
        ValueError: there is no series, or one is empty.
    """
    series = [np.asarray(values, float) for values in days]
    if not series or not all(len(values) for values in series):
        raise ValueError("a block bootstrap needs one day or more of every period")
    means = np.mean([_resample_means(values, rng, block, resamples) for values in series], axis=0)
    low, high = np.quantile(means, (0.025, 0.975))
    return float(np.mean([values.mean() for values in series])), float(low), float(high)


def _resample_means(
    values: NDArray[np.float64], rng: np.random.Generator, block: int, resamples: int
) -> NDArray[np.float64]:
    """Return the means [resamples] of series as long as the given one [T], put together from its blocks."""
    length = min(block, len(values))
    sums = np.convolve(values, np.ones(length), "valid")  # of every block
    count = -(-len(values) // length)
    starts = rng.integers(len(sums), size=(resamples, count))
    return sums[starts].mean(1) / length
