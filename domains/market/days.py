"""A market day by day: how far its assets are apart, how far they move together, and where they go.

All of it is taken from the features of a domain, which keeps no prices; every number of a day is of that day and
earlier.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from domains.domain import Domain, Split
from domains.errors import UserError
from domains.market.features import FEATURES
from domains.market.labels import HORIZON

MANY = 5  # assets from which on their dispersion is measured
APART = 4  # week-days from one day to the next, at most: with more between, the difference is not that of a day
LEAST_SPREAD = 0.1  # of which a logarithm is taken at least, in units of ``return_5``
_COLUMN = {name: i for i, (name, _) in enumerate(FEATURES)}


@dataclass(frozen=True)
class Days:
    """Numbers of a market by day.

    Attributes:
        dates: [T] days.
        assets: how many there are.
        numbers: series [T] by name, see ``numbers_of``; NaN where a day has none.
    """

    dates: pd.DatetimeIndex
    assets: int
    numbers: dict[str, np.ndarray]

    @classmethod
    def of(cls, dates: Sequence[str], assets: Sequence[str], x: np.ndarray) -> "Days":
        """Take the features [n, 16] of assets on days, in any order.

        Raises:
            UserError: the features are not those of this project, or one is not a number.
        """
        check_features(dates, x)
        days, row = np.unique(np.asarray(dates, dtype="datetime64[D]"), return_inverse=True)
        names, column = np.unique(np.asarray(assets, dtype=str), return_inverse=True)
        cube = np.full((len(days), len(names), len(FEATURES)), np.nan)
        cube[row, column] = x
        return cls(pd.DatetimeIndex(days.astype("datetime64[ns]")), len(names), numbers_of(cube, days))

    @classmethod
    def after(cls, before: Domain, dates: Sequence[str], assets: Sequence[str], x: np.ndarray) -> "Days":
        """Take features as ``of`` does, and those that a domain has of the same assets on earlier days.

        Raises:
            UserError: as ``of``.
        """
        old_dates, old_assets, old = read_examples(before)
        there, first = set(assets), min(dates)
        kept = [
            i
            for i, (day, asset) in enumerate(zip(old_dates, old_assets, strict=True))
            if day < first and asset in there
        ]
        if x.ndim == 2 and x.shape[1] == old.shape[1]:
            x = np.concatenate([old[kept], x])
            dates = [*(old_dates[i] for i in kept), *dates]
            assets = [*(old_assets[i] for i in kept), *assets]
        return cls.of(dates, assets, x)


def check_features(dates: Sequence[str], x: np.ndarray) -> None:
    """Raise UserError where the examples [n, 16] of days are not this project's features, or hold what is no number."""
    if x.ndim != 2 or x.shape[1] != len(FEATURES):
        raise UserError(f"market features: {len(FEATURES)} numbers an example are needed, found shape {x.shape}")
    bad = ~np.isfinite(x).all(1)
    if bad.any():
        raise UserError(
            f"market features: the example of {dates[int(bad.argmax())]} has a feature that is not a number; correct "
            "its prices and build the domain again"
        )


def read_examples(domain: Domain) -> tuple[list[str], list[str], np.ndarray]:
    """Return days, assets and features [n, F] of all examples of a market domain, without labels."""
    splits: tuple[Split, ...] = ("train", "pool", "test")
    paths = [domain.path / f"{split}.parquet" for split in splits if domain.has(split)]
    table = pd.concat([pq.read_table(path, columns=["date", "asset", "x"]).to_pandas() for path in paths])
    return table["date"].tolist(), table["asset"].tolist(), np.array(table["x"].tolist(), float)


def numbers_of(cube: np.ndarray, days: np.ndarray) -> dict[str, np.ndarray]:
    """Return series [T] by name from features [T, A, 16], NaN where an asset has none on a day.

    With means over assets, r the five-day return of an asset, and m half the sum of its tercile features, so that
    exp(m) is its usual five-day volatility of the year before, in units of the year's volatility as r is:
    ``return`` is mean r, and

    - of fewer than MANY assets, ``volatility``: mean log five-day volatility - mean m;
    - of others what they share and what they do not, apart. ``dispersion``: log mean |d - median d| - mean m, where
      d = r_t - r_{t-1} is the return of the day less that of the fifth day before; ``common movement``: the above
      volatility less the mean ``dispersion`` of the last five days.
    """
    terciles = cube[:, :, [_COLUMN["low_tercile"], _COLUMN["high_tercile"]]]
    usual = np.nanmean(terciles.reshape(len(cube), -1), axis=1)
    volatility = np.nanmean(cube[:, :, _COLUMN["market_vol_5"]], axis=1) - usual
    returns = np.nanmean(cube[:, :, _COLUMN["market_return_5"]], axis=1)
    if cube.shape[1] < MANY:
        return {"return": returns, "volatility": volatility}
    apart = dispersion(cube, days) - usual
    last = pd.Series(apart).rolling(HORIZON, min_periods=1).mean().to_numpy()
    return {"return": returns, "dispersion": apart, "common movement": volatility - last}


def dispersion(cube: np.ndarray, days: np.ndarray) -> np.ndarray:
    """Return log mean |d - median d| [T]; NaN on days that fewer than MANY assets share with the day before."""
    change = np.diff(cube[:, :, _COLUMN["return_5"]], axis=0)
    far = np.busday_count(days[:-1], days[1:]) > APART
    few = (np.isfinite(change).sum(1) < MANY) | far
    change[few] = 0.0
    spread = np.nanmean(np.abs(change - np.nanmedian(change, axis=1, keepdims=True)), axis=1)
    logs = np.log(np.maximum(spread, LEAST_SPREAD))
    logs[few] = np.nan
    return np.concatenate([[np.nan], logs])
