"""Prices for tests of the market benchmark."""

import numpy as np
import pandas as pd


def prices(days=1000, assets=3, seed=0):
    """Prices [days, assets] whose volatility comes and goes together."""
    rng = np.random.default_rng(seed)
    level = np.zeros(days)
    for t in range(1, days):
        level[t] = 0.97 * level[t - 1] + 0.12 * rng.normal()
    logs = (0.01 * np.exp(level)[:, None] * rng.normal(size=(days, assets))).cumsum(0)
    return pd.DataFrame(100 * np.exp(logs), pd.bdate_range("2001-01-01", periods=days), list("ABCDEF")[:assets])
