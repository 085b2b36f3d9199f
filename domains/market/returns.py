"""Log prices, their differences, and realised volatility: what every feature and label is made of."""

import numpy as np
import pandas as pd

from domains.market.prices import check_prices

#: Trading days in the trailing year that volatility is measured against.
YEAR = 252


def log(table: pd.DataFrame) -> pd.DataFrame:
    """Return the natural logarithm of every cell."""
    return pd.DataFrame(np.log(table.to_numpy()), table.index, table.columns)


def log_prices(prices: pd.DataFrame) -> pd.DataFrame:
    """Return log(p_t) [dates, assets]; its ``diff()`` are the log returns.

    Raises:
        UserError: the prices are not usable (see ``check_prices``).
    """
    return log(check_prices(prices))


def coming_returns(logs: pd.DataFrame, days: int) -> pd.DataFrame:
    """Return log(p_{t+days} / p_t) [dates, assets] of log prices; NaN on the last ``days`` dates."""
    return logs.shift(-days) - logs


def terciles(volatility: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the lower and upper tercile of a volatility's trailing year [dates, assets]."""
    past_year = volatility.rolling(YEAR)
    return past_year.quantile(1 / 3), past_year.quantile(2 / 3)


def realised_volatility(returns: pd.DataFrame, days: int) -> pd.DataFrame:
    """Return sqrt(mean of r^2 over the last ``days`` days) [dates, assets]: daily, around zero.

    Each window is summed by itself: a value depends on no return outside of its window, not even by rounding.
    """
    squares = returns.to_numpy() ** 2
    total = np.full_like(squares, np.nan)
    if len(squares) >= days:
        total[days - 1 :] = np.lib.stride_tricks.sliding_window_view(squares, days, axis=0).sum(axis=-1)
    return pd.DataFrame(np.sqrt(total / days), returns.index, returns.columns)
