"""The constants of ``learners/shift/accuracy_estimate.py``, from shifts of source domains."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize, nnls

from tasks.bench.drift.shifted import NEW_CLASSES, ShiftTrial

TAIL = 0.025  # on either side of an interval


@dataclass(frozen=True)
class Constants:
    """As in ``learners/shift/accuracy_estimate.py``."""

    doubt: float
    unlike: float
    spread: float
    growth: float
    below: float
    above: float

    def line(self) -> str:
        """Say them in a line."""
        return ", ".join(f"{name.upper()} {value:.2f}" for name, value in vars(self).items())


def calibrate(trials: Sequence[ShiftTrial]) -> Constants:
    """Return the constants that fit trials of several domains.

    The coefficients are the least-squares ones that are not negative, of all shifts. The errors behind the interval are
    of estimates by the coefficients of the other domains, each domain counting as much as another; new classes, which
    nothing shows, are left out. SPREAD and GROWTH are the most likely ones of normal errors, BELOW and ABOVE the
    quantiles of the errors in these standard deviations.
    """
    terms = np.array([trial.evidence.terms for trial in trials])
    before = np.array([trial.evidence.before for trial in trials])
    noise = np.array([trial.evidence.noise for trial in trials])
    truth = np.array([trial.accuracy for trial in trials])
    domains = np.array([trial.domain for trial in trials])
    coefficients = nnls(terms, before - truth)[0]
    held_out = np.zeros(len(trials))
    for domain in np.unique(domains):
        others = domains != domain
        fitted = nnls(terms[others], (before - truth)[others])[0]
        held_out[~others] = np.clip(before - terms @ fitted, 0, 1)[~others]
    kept = np.array([trial.shift != NEW_CLASSES for trial in trials])
    error, size, noise = (truth - held_out)[kept], (np.abs(terms) @ coefficients)[kept], noise[kept]

    def deviation(logs: np.ndarray) -> np.ndarray:
        spread, growth = np.exp(logs)
        return np.sqrt(noise + spread**2 + (growth * size) ** 2)

    def loss(logs: np.ndarray) -> float:
        return float((2 * np.log(deviation(logs)) + (error / deviation(logs)) ** 2).sum())

    found = minimize(loss, np.log([0.03, 0.3]), method="Nelder-Mead").x
    low, high = np.quantile(error / deviation(found), [TAIL, 1 - TAIL])
    spread, growth = np.exp(found).tolist()
    return Constants(*coefficients.tolist(), spread, growth, float(-low), float(high))
