"""Volatility forecast from that of the last day, week and month."""

from dataclasses import dataclass

import numpy as np

#: Daily volatility that a logarithm is taken of at least: a day without a move is no day without risk.
LEAST = 1e-3


@dataclass(frozen=True)
class HAR:
    """log v_{t,h} = b_0 + b_1 log v_t(1) + b_2 log v_t(5) + b_3 log v_t(22) + e, pooled over assets.

    v_{t,h} is the realised volatility of the next h days, v_t(d) that of the last d. F. Corsi. A simple approximate
    long-memory model of realized volatility. Journal of Financial Econometrics 7, 2009, in logarithms.

    Attributes:
        coefficients: b [4]; residuals: e of the fit, rising.
    """

    coefficients: np.ndarray
    residuals: np.ndarray

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
        return cls(coefficients, np.sort(y - x @ coefficients))

    def log_volatility(self, past: np.ndarray) -> np.ndarray:
        """Return the expected log volatility [n] of the next days."""
        return _design(past) @ self.coefficients

    def variance(self, past: np.ndarray) -> np.ndarray:
        """Return E[v^2] [n] = exp(2 mu) E[exp(2 e)]."""
        return np.exp(2 * self.log_volatility(past)) * np.exp(2 * self.residuals).mean()

    def states(self, past: np.ndarray, terciles: np.ndarray) -> np.ndarray:
        """Return the probabilities [n, 3] that v lies below, between and above two terciles [n, 2]."""
        return state_probabilities(self.log_volatility(past), self.residuals, terciles)


def state_probabilities(mean: np.ndarray, residuals: np.ndarray, terciles: np.ndarray) -> np.ndarray:
    """Return P [n, 3] that exp(mean + e) is in each third of terciles [n, 2], e as rising residuals [m] have been."""
    return thirds(residuals, np.log(np.maximum(terciles, LEAST)) - mean[:, None])


def thirds(residuals: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Return the shares [n, 3] of rising residuals [m] below, between and above [n, 2]; half a one more at each end."""
    below = (np.searchsorted(residuals, at) + 0.5) / (len(residuals) + 1)
    return np.stack([below[:, 0], below[:, 1] - below[:, 0], 1 - below[:, 1]], 1)


def _design(past: np.ndarray) -> np.ndarray:
    return np.column_stack([np.ones(len(past)), np.log(np.maximum(past, LEAST))])
