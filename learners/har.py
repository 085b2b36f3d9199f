"""Volatility forecast from that of the last day, week and month."""

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr

LEAST = 1e-4  # daily volatility that a logarithm is taken of: a day without a move is no day without risk


@dataclass(frozen=True)
class HAR:
    """log v_{t,h} = b_0 + b_1 log v_t(1) + b_2 log v_t(5) + b_3 log v_t(22) + s e, pooled over assets.

    v_{t,h} is the realised volatility of the next h days, v_t(d) that of the last d. F. Corsi. A simple approximate
    long-memory model of realized volatility. Journal of Financial Econometrics 7, 2009, in logarithms.

    Attributes:
        coefficients: b [4]; spread: s, the deviation of the residuals.
    """

    coefficients: np.ndarray
    spread: float

    @classmethod
    def fit(cls, past: np.ndarray, coming: np.ndarray) -> "HAR":
        """Fit by least squares to volatilities past [n, 3] and coming [n].

        Raises:
            ValueError: fewer than ten examples, or one is not a number.
        """
        x, y = _design(past), np.log(np.maximum(coming, LEAST))
        if len(y) < 10 or not np.isfinite(x).all() or not np.isfinite(y).all():
            raise ValueError(f"HAR needs ten or more finite volatilities, not {len(y)}, of which some may be missing")
        coefficients = np.linalg.lstsq(x, y, rcond=None)[0]
        return cls(coefficients, float((y - x @ coefficients).std(ddof=x.shape[1])))

    def log_volatility(self, past: np.ndarray) -> np.ndarray:
        """Return the expected log volatility [n] of the next days."""
        return _design(past) @ self.coefficients

    def variance(self, past: np.ndarray) -> np.ndarray:
        """Return E[v^2] [n] = exp(2 mu + 2 s^2), as v is log-normal."""
        return np.exp(2 * self.log_volatility(past) + 2 * self.spread**2)

    def states(self, past: np.ndarray, terciles: np.ndarray) -> np.ndarray:
        """Return the probabilities [n, 3] that v lies below, between and above two terciles [n, 2]."""
        return state_probabilities(self.log_volatility(past), self.spread, terciles)


def state_probabilities(mean: np.ndarray, spread: float | np.ndarray, terciles: np.ndarray) -> np.ndarray:
    """Return P [n, 3] that a log-normal quantity, its log of mean [n] and a deviation, is in each third."""
    below = ndtr((np.log(np.maximum(terciles, LEAST)) - mean[:, None]) / np.reshape(spread, (-1, 1)))
    return np.stack([below[:, 0], below[:, 1] - below[:, 0], 1 - below[:, 1]], 1)


def _design(past: np.ndarray) -> np.ndarray:
    return np.column_stack([np.ones(len(past)), np.log(np.maximum(past, LEAST))])
