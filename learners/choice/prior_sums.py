"""The prior over strategies from sums: what several sites measured adds up to the prior of all their episodes.

A Bayesian ridge regression reads its data through moments only, and moments add. With z = (1, phi, g) of an episode
(its description and a strategy's gain), a site sends the sum of z z' over its episodes, the same over the means of its
domains, and what temperatures, tables and thresholds need: some kilobytes a strategy, whatever the number of episodes.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import reduce

import numpy as np
import torch
from torch import Tensor

from learners.choice.conformal import COVERAGE
from learners.choice.prior import (
    SHOTS,
    SMALLEST_SPREAD,
    UNKNOWN_SPREAD,
    Gain,
    Heat,
    Measured,
    Prior,
    Regression,
)
from learners.choice.unseen import Unseen, describe_confidence, step, sums_of_tasks
from learners.temperature import GRID

FEATURES = 18  # of a description of a task, see ``describe_support``
BINS = 512  # of probabilities of the true label, in multiples of chance
LOWEST, HIGHEST = 1e-4, 1e3
TOLERANCE, MOST_STEPS = 1e-3, 300  # where the regression's iteration stops: as sklearn's does
SHRINK = 1e-6  # both parameters of its Gamma priors, as there

AVERAGE, UNSEEN = "average of strategies", "unseen"

Arrays = dict[str, np.ndarray]


@dataclass(frozen=True)
class Sums:
    """What one strategy did on some episodes, as sums. ``a + b`` is of the episodes of both, if they share no domain.

    Attributes:
        episodes: [F + 2, F + 2] sum of z z' over episodes.
        domains: [F + 2, F + 2] the same over the means of z in every domain.
        noise: [] sum of the variances of gains from their few queries.
        shots: [len(SHOTS), 3] number, sum and sum of squares of gains, by shots.
        losses: [len(SHOTS), len(GRID) + 1] sums of log-losses by shots and temperature, and how many at the end.
        counts: [2] episodes that it could not adapt to, and all.
    """

    episodes: np.ndarray
    domains: np.ndarray
    noise: np.ndarray
    shots: np.ndarray
    losses: np.ndarray
    counts: np.ndarray

    @classmethod
    def shapes(cls, features: int) -> dict[str, tuple[int, ...]]:
        """Return the shape of every sum, for descriptions of that length."""
        square = features + 2, features + 2
        return {
            "episodes": square,
            "domains": square,
            "noise": (),
            "shots": (len(SHOTS), 3),
            "losses": (len(SHOTS), len(GRID) + 1),
            "counts": (2,),
        }

    def __add__(self, other: "Sums") -> "Sums":
        return Sums(*(getattr(self, name) + getattr(other, name) for name in self.shapes(0)))

    def rounded(self) -> "Sums":
        """Return the sums without the rounding of an encryption: whole counts, symmetric squares, no negative noise."""
        episodes, domains = ((m + m.T) / 2 for m in (self.episodes, self.domains))
        shots, losses = self.shots.copy(), self.losses.copy()
        for counts in (episodes[0, :1], domains[0, :1], shots[:, 0], losses[:, -1]):
            np.rint(counts, out=counts)
        return Sums(episodes, domains, np.maximum(self.noise, 0), shots, losses, np.rint(self.counts))

    def arrays(self) -> Arrays:
        """Return the sums by name."""
        return {name: np.asarray(getattr(self, name)) for name in self.shapes(0)}

    def wrong(self, features: int, most: int, bounded: bool) -> str | None:
        """Return in one line why no honest site could send these sums; None: it could.

        Args:
            most: how many episodes were asked for.
            bounded: gains are of accuracies, so none is beyond -1 or 1.
        """
        for name, shape in self.shapes(features).items():
            value = getattr(self, name)
            if value.shape != shape:
                return f"{name} is {list(value.shape)}, not {list(shape)}"
            if not np.isfinite(value).all():
                return f"{name} is not finite"
        n, d = float(self.episodes[0, 0]), float(self.domains[0, 0])
        if not (0 <= d <= n <= most and float(self.shots[:, 0].sum()) == n and (self.counts >= 0).all()):
            return f"{n:g} episodes of {d:g} domains, where at most {most} were asked for"
        if max(*self.counts, self.losses[:, -1].sum() / 2) > most or not 0 <= self.noise <= max(n, 1) * (
            1 if bounded else 1e6
        ):
            return "counts or noise are out of range"
        for name in ("episodes", "domains"):
            moments = getattr(self, name)
            lowest = float(np.linalg.eigvalsh((moments + moments.T) / 2)[0])
            if not np.allclose(moments, moments.T) or lowest < -1e-6 * max(1.0, float(np.trace(moments))):
                return f"{name} is no sum of squares"
            if bounded and moments[-1, -1] > moments[0, 0] + 1e-6:
                return f"{name}: gains beyond 1"
        return None

    def regression(self) -> Regression:
        """Return the regression of all these episodes, as ``Regression.fit`` returns it.

        D. J. C. MacKay. Bayesian interpolation. Neural Computation 4, 1992. https://doi.org/10.1162/neco.1992.4.3.415
        """
        n, sums = self.episodes[0, 0], self.episodes
        mean = sums[0] / n
        centred = sums - n * np.outer(mean, mean)
        xx, xy, yy = centred[1:-1, 1:-1], centred[1:-1, -1], max(0.0, float(centred[-1, -1]))
        values, vectors = np.linalg.eigh(xx)
        values = values.clip(0)
        alpha, ridge = 1 / (yy / n + np.finfo(float).eps), 1.0

        def solve() -> tuple[np.ndarray, float]:
            weights = vectors @ (vectors.T @ xy / (values + ridge / alpha))
            return weights, max(0.0, float(yy - 2 * weights @ xy + weights @ xx @ weights))

        before = None
        for _ in range(MOST_STEPS):
            weights, error = solve()
            known = float(np.sum(alpha * values / (ridge + alpha * values)))
            ridge = (known + 2 * SHRINK) / (float(weights @ weights) + 2 * SHRINK)
            alpha = (n - known + 2 * SHRINK) / (error + 2 * SHRINK)
            if before is not None and float(np.abs(before - weights).sum()) < TOLERANCE:
                break
            before = weights
        weights, _ = solve()
        covariance = (vectors / (alpha * values + ridge)) @ vectors.T
        intercept = float(mean[-1])
        spread = max(1 / alpha - float(self.noise) / n, SMALLEST_SPREAD**2) + self._between(mean, weights)
        return Regression(mean[1:-1].tolist(), weights.tolist(), intercept, covariance.tolist(), float(spread) ** 0.5)

    def _between(self, mean: np.ndarray, weights: np.ndarray) -> float:
        """Return the variance of the domains' mean residuals, as it counts for a new domain."""
        d = self.domains[0, 0]
        if d < 2:
            return UNKNOWN_SPREAD**2
        residual = np.concatenate([[weights @ mean[1:-1] - mean[-1]], -weights, [1.0]])  # . z is what is not explained
        total, squares = residual @ self.domains[0], residual @ self.domains @ residual
        return max(0.0, float(squares - total**2 / d) / (d - 1)) * (1 + 1 / d)


def _empty(features: int) -> Sums:
    return Sums(*(np.zeros(shape) for shape in Sums.shapes(features).values()))


def sums_of(measured: Measured) -> dict[str, Sums]:
    """Return what a site sends first: the sums of every strategy on its episodes."""
    features, found = measured.descriptions.shape[1], {}
    for name, scores in measured.scores.items():
        counts = np.array([len(measured.reasons.get(name, ())), len(measured.descriptions)], float)
        if not scores:
            found[name] = Sums(**(_empty(features).arrays() | {"counts": counts}))
            continue
        rows, gains, noise = measured.gains(name)
        z = np.column_stack([np.ones(len(rows)), measured.descriptions[rows], gains])
        domains, shots = measured.domains[rows], measured.shots[rows]
        means = np.stack([z[domains == domain].mean(0) for domain in np.unique(domains)])
        table = np.array([[(shots == k).sum(), gains[shots == k].sum(), (gains[shots == k] ** 2).sum()] for k in SHOTS])
        found[name] = Sums(
            z.T @ z, means.T @ means, np.array(noise.sum()), table.astype(float), measured.losses[name], counts
        )
    return found


def histograms_of(measured: Measured, prior: Prior) -> Arrays:
    """Return what a site sends then, by the prior of all: how many true labels have which probability, [BINS].

    It is in multiples of chance, on a logarithmic scale, and every episode weighs 1. There is one of each strategy, and
    one of their average, AVERAGE, beside the sums for its temperature, UNSEEN (``sums_of_tasks``).
    """
    tasks = [task.average(prior, measured.safe) for task in measured.unseen]
    found = {AVERAGE: _histogram([task.logs.exp() for task in tasks], [task.y for task in tasks])}
    for name in prior.temperatures:
        found[name] = _histogram(*measured.said(prior, name))
    return found | {UNSEEN: sums_of_tasks(tasks)}


def wrong_histograms(answer: Arrays, most: int) -> str | None:
    """Return in one line why no honest site could answer this (``histograms_of``); None: it could.

    Args:
        most: how many episodes were asked for, harder ones included.
    """
    size = len(describe_confidence(2, None))
    for name, value in answer.items():
        if not np.isfinite(value).all():
            return f"{name} is not finite"
        if name == UNSEEN:
            if value.shape != (size + 2, size) or not 0 <= value[-1, 0] <= most:
                return f"{name}: no sums of at most {most} episodes"
            squares = value[:size]
            if not np.allclose(squares, squares.T) or np.linalg.eigvalsh(squares)[0] < -1e-6 * max(1, squares.trace()):
                return f"{name} is no sum of squares"
        elif value.shape != (BINS,) or (value < 0).any() or value.sum() > most + 1e-6:
            return f"{name}: no counts of at most {most} episodes"
    return None


def histogram_shapes(strategies: Iterable[str]) -> dict[str, tuple[int, ...]]:
    """Return the shape of all that ``histograms_of`` may return, by name."""
    size = len(describe_confidence(2, None))
    return dict.fromkeys((AVERAGE, *strategies), (BINS,)) | {UNSEEN: (size + 2, size)}


def round_histograms(histograms: Arrays) -> Arrays:
    """Return histograms without the rounding of an encryption: none is negative, squares are symmetric."""
    found = {name: np.where(np.abs(value) < 1e-6, 0.0, value) for name, value in histograms.items()}
    if UNSEEN in found:
        squares = found[UNSEEN][:-2]
        squares[:] = (squares + squares.T) / 2
        found[UNSEEN][-1] = np.rint(found[UNSEEN][-1])
    return {name: value for name, value in found.items() if name in (AVERAGE, UNSEEN) or value.any()}


def _histogram(probabilities: Sequence[Tensor], y: Sequence[Tensor]) -> np.ndarray:
    counts = np.zeros(BINS)
    for p, labels in zip(probabilities, y, strict=True):
        true = p.double().gather(1, labels[:, None])[:, 0]
        place = torch.log(true * p.shape[1] / LOWEST) / math.log(HIGHEST / LOWEST) * BINS
        index = place.floor().clamp(0, BINS - 1).long().numpy()
        counts += np.bincount(index, minlength=BINS) / len(true)
    return counts


def threshold(histogram: np.ndarray, coverage: float = COVERAGE) -> float:
    """Return what ``episodes_threshold`` does, but for the width of a bin (3 %), which is rounded down."""
    below = histogram.cumsum() / histogram.sum()
    bin_ = min(int((below < 1 - coverage).sum()), BINS - 1)
    return float(LOWEST * (HIGHEST / LOWEST) ** (bin_ / BINS))


def prior_of(safe: str, sums: Mapping[str, Sums], histograms: Arrays | None = None) -> Prior:
    """Return the prior of all episodes behind sums, and behind histograms if there are any.

    The threshold of the average is that at temperature 1.
    """
    measured = {name: s for name, s in sums.items() if s.episodes[0, 0] > 0}
    regressions = {name: s.regression() for name, s in measured.items() if name != safe}
    means = {
        name: {
            k: Gain(float(total / n), max(0.0, float(squares / n - (total / n) ** 2)) ** 0.5)
            for k, (n, total, squares) in zip(SHOTS, s.shots, strict=True)
            if n > 0
        }
        for name, s in measured.items()
    }
    temperatures = {name: Heat.fit(s.losses[:, :-1], int(s.losses[:, -1].sum()), False) for name, s in measured.items()}
    left_out = {
        name: f"{s.counts[0]:g} of {s.counts[1]:g} source episodes: their sites know why"
        for name, s in sums.items()
        if s.counts[0] > 0
    }
    prior = Prior(regressions, means, temperatures, {}, left_out)
    histograms = {name: counts for name, counts in (histograms or {}).items() if counts.any()}
    thresholds = {name: threshold(counts) for name, counts in histograms.items() if name in temperatures}
    unseen = None
    if AVERAGE in histograms and UNSEEN in histograms:
        unseen = Unseen(step(histograms[UNSEEN]).tolist(), threshold(histograms[AVERAGE]))
    return replace(prior, thresholds=thresholds, unseen=unseen)


def to_arrays(sums: Mapping[str, Sums]) -> Arrays:
    """Return sums as arrays ``strategy/sum``."""
    return {f"{name}/{kind}": value for name, own in sums.items() for kind, value in own.arrays().items()}


def sum_shapes(strategies: Iterable[str]) -> dict[str, tuple[int, ...]]:
    """Return the shape of every sum of these strategies, by the names of ``to_arrays``."""
    return {f"{name}/{kind}": shape for name in strategies for kind, shape in Sums.shapes(FEATURES).items()}


def to_sums(arrays: Arrays, strategies: Iterable[str]) -> dict[str, Sums]:
    """Return the sums of these strategies that arrays hold.

    Raises:
        ValueError: one is missing; the message names it.
    """
    found: dict[str, Arrays] = {name: {} for name in strategies}
    for key, value in arrays.items():
        name, _, kind = key.rpartition("/")
        if name in found:
            found[name][kind] = np.asarray(value, np.float64)
    for name, own in found.items():
        if own.keys() != Sums.shapes(0).keys():
            raise ValueError(f"sums of {name} are missing")
    return {name: Sums(**own) for name, own in found.items()}


def add(several: Iterable[Mapping[str, Sums]]) -> dict[str, Sums]:
    """Return the sums over sites, by strategy."""
    return _merge(several, lambda a, b: a + b)


def add_histograms(several: Iterable[Arrays]) -> Arrays:
    """Return the histograms over sites, by strategy."""
    return _merge(several, lambda a, b: a + b)


def _merge(several: Iterable[Mapping[str, "Sums | np.ndarray"]], plus: Callable) -> dict:
    def merge(one: dict, other: Mapping) -> dict:
        return one | {name: plus(one[name], value) if name in one else value for name, value in other.items()}

    return reduce(merge, several, {})
