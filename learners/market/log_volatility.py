"""Forecast of log volatility and of how sure it is: linear, and what boosted trees add."""

from dataclasses import dataclass

import numpy as np
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.linear_model import Ridge
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from learners.market.har import thirds

PENALTY = 100.0  # of ridge regression
LEAST_SQUARE = 0.01  # added to squared residuals before their logarithm


@dataclass(frozen=True)
class LogVolatility:
    """z = a'u + f(x) + exp(b'u) e, with u the standardised features, f boosted trees, e as residuals have been.

    z is the log volatility to come relative to a level that is known, so that one model holds for all assets. First a,
    by ridge regression, then f on what is left, then b, by ridge regression of the log squared residuals (A. Harvey.
    Estimating regression models with multiplicative heteroscedasticity. Econometrica 44, 1976).

    Attributes:
        residuals: those of the fit divided by their scale, rising.
    """

    linear: Pipeline
    trees: HistGradientBoostingRegressor
    scale: Pipeline
    residuals: np.ndarray

    @classmethod
    def fit(cls, x: np.ndarray, z: np.ndarray, leaf: int = 500) -> "LogVolatility":
        """Fit to features [n, D] and log volatilities [n]; ``leaf``: fewest examples of one."""
        linear = make_pipeline(StandardScaler(), Ridge(PENALTY)).fit(x, z)
        trees = HistGradientBoostingRegressor(
            max_iter=60,
            learning_rate=0.05,
            max_leaf_nodes=6,
            min_samples_leaf=leaf,
            l2_regularization=5.0,
            early_stopping=False,
        ).fit(x, z - linear.predict(x))
        rest = z - linear.predict(x) - trees.predict(x)
        scale = make_pipeline(StandardScaler(), Ridge(PENALTY)).fit(x, np.log(rest**2 + LEAST_SQUARE) / 2)
        return cls(linear, trees, scale, np.sort(rest / np.exp(scale.predict(x))))

    def states(self, x: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
        """Return P [n, 3] that z lies below, between and above thresholds [n, 2]."""
        mean, spread = self.linear.predict(x) + self.trees.predict(x), np.exp(self.scale.predict(x))
        return thirds(self.residuals, (thresholds - mean[:, None]) / spread[:, None])
