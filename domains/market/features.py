"""What is known about an asset on a day: sixteen numbers without units, from prices up to that day only."""

import numpy as np
import pandas as pd

from domains.errors import UserError
from domains.market.returns import YEAR, log, log_prices, realised_volatility, terciles

#: Name and meaning of every feature, in the order of ``x``. "Vol" is the realised volatility of the trailing
#: 252 days; a log ratio is log(quantity / vol).
FEATURES: tuple[tuple[str, str], ...] = (
    ("vol_5", "log ratio of the realised volatility of the last 5 days to vol"),
    ("vol_10", "the same of the last 10 days"),
    ("vol_20", "the same of the last 20 days"),
    ("vol_60", "the same of the last 60 days"),
    ("rank_5", "rank of the 5-day volatility among those of the trailing year, -1 (lowest) to 1 (highest)"),
    ("low_tercile", "log ratio of the lower tercile of the trailing year's 5-day volatilities to vol"),
    ("high_tercile", "log ratio of their upper tercile to vol"),
    ("return_5", "log return over 5 days, divided by vol and the root of 5"),
    ("return_20", "the same over 20 days"),
    ("return_60", "the same over 60 days"),
    ("largest_20", "log ratio of the largest absolute daily return of the last 20 days to vol"),
    ("downside_20", "share of falling days in the squared returns of the last 20 days, -1 (none) to 1 (all)"),
    ("drawdown", "log distance below the 252-day high, divided by vol and the root of 252; 0 at the high"),
    ("market_vol_5", "mean of vol_5 over all assets that day"),
    ("market_vol_20", "mean of vol_20 over all assets that day"),
    ("market_return_5", "mean of return_5 over all assets that day"),
)

#: Rows before the first one with features: five returns make the first of 252 five-day volatilities.
WARM_UP = YEAR + 4

#: Features are cut off at plus and minus this many.
LIMIT = 4.0

#: Least ratio to vol that a logarithm is taken of, so that a week of unchanged prices is finite.
LEAST_RATIO = 0.05

#: Least daily vol: an asset that did not move for a year has features of 0 or at a limit, not NaN.
LEAST_VOL = 1e-8

#: Decimals that are kept, so that another processor's last bits do not change the bytes of a domain.
DECIMALS = 5


def features(prices: pd.DataFrame) -> pd.DataFrame:
    """Return x float32 [(dates - WARM_UP) * assets, 16], indexed by (date, asset), columns named by FEATURES.

    A row depends on prices up to and including its date only. All values are finite, unchanged when an
    asset's prices are all multiplied by a constant, and within plus and minus LIMIT.

    Args:
        prices: closing prices [dates, assets], see ``check_prices``.

    Raises:
        UserError: the prices are not usable, or there are not more than WARM_UP dates.
    """
    logs = log_prices(prices)
    returns = logs.diff()
    if len(prices) <= WARM_UP:
        raise UserError(
            f"prices: {len(prices)} dates, features need {WARM_UP + 1} or more; add a year of earlier prices"
        )
    vol = realised_volatility(returns, YEAR).clip(lower=LEAST_VOL)
    volatility = {days: realised_volatility(returns, days) for days in (5, 10, 20, 60)}
    squares, falls = (part.pow(2).rolling(20).sum() for part in (returns, returns.clip(upper=0)))

    def log_ratio(quantity: pd.DataFrame) -> pd.DataFrame:
        return log((quantity / vol).clip(lower=LEAST_RATIO))

    def scaled_return(days: int) -> pd.DataFrame:
        return logs.diff(days) / vol / np.sqrt(days)

    lower, upper = terciles(volatility[5])
    columns = {f"vol_{days}": log_ratio(volatility[days]) for days in volatility} | {
        "rank_5": 2 * volatility[5].rolling(YEAR).rank(pct=True) - 1,
        "low_tercile": log_ratio(lower),
        "high_tercile": log_ratio(upper),
        **{f"return_{days}": scaled_return(days) for days in (5, 20, 60)},
        "largest_20": log_ratio(returns.abs().rolling(20).max()),
        "downside_20": 2 * falls / squares.clip(lower=LEAST_VOL**2) - 1,
        "drawdown": (logs - logs.rolling(YEAR).max()) / vol / np.sqrt(YEAR),
    }
    columns |= {f"market_{name}": _market_mean(columns[name]) for name in ("vol_5", "vol_20", "return_5")}
    x = np.stack([columns[name].to_numpy()[WARM_UP:] for name, _ in FEATURES], axis=-1)
    x = np.round(np.clip(x, -LIMIT, LIMIT), DECIMALS).astype(np.float32) + np.float32(0)  # no negative zeros
    rows = pd.MultiIndex.from_product([prices.index[WARM_UP:], prices.columns], names=["date", "asset"])
    return pd.DataFrame(x.reshape(-1, len(FEATURES)), rows, [name for name, _ in FEATURES])


def feature_cube(prices: pd.DataFrame) -> tuple[pd.DatetimeIndex, tuple[str, ...], np.ndarray]:
    """Return dates [T], the first WARM_UP left out, assets [A] and their features, float32 [T, A, F].

    Raises:
        UserError: as ``features``.
    """
    x = features(prices).to_numpy()
    dates, assets = pd.DatetimeIndex(prices.index[WARM_UP:]), tuple(map(str, prices.columns))
    return dates, assets, x.reshape(len(dates), len(assets), -1)


def _market_mean(column: pd.DataFrame) -> pd.DataFrame:
    """Return the mean over assets, the same in every asset's column [dates, assets]."""
    mean = column.clip(-LIMIT, LIMIT).to_numpy().mean(axis=1, keepdims=True)
    return pd.DataFrame(np.broadcast_to(mean, column.shape), column.index, column.columns)
