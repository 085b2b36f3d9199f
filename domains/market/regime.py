"""Where a market changed its regime: the last day on which return or volatility moved to another level.

R. Killick, P. Fearnhead, I. Eckley. Optimal detection of changepoints with a linear computational cost. JASA 107, 2012,
as the library ruptures has it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from domains.domain import Domain
from domains.errors import UserError
from domains.market.days import check_features, read_examples
from domains.market.features import FEATURES

WEEK = 5  # trading days; volatilities of five days that do not overlap
SHORTEST = 8  # weeks of a regime
PERSISTENCE = 0.6  # correlation of a market's volatility with that of the week before
#: What a change must gain, in squares of the series' scale; set on block-bootstrapped returns (docs/drift.md).
PENALTY = 20.0
_NAMES = [name for name, _ in FEATURES]
VOLATILITY, RETURN = _NAMES.index("market_vol_5"), _NAMES.index("market_return_5")


@dataclass(frozen=True)
class Weeks:
    """A market week by week.

    Attributes:
        dates: the last day [n] of each week.
        volatility: [n] log ratio of the week's realised volatility to that of the trailing year, mean over assets.
        returns: [n] return of the week in units of the trailing year's volatility, mean over assets.
    """

    dates: pd.DatetimeIndex
    volatility: np.ndarray
    returns: np.ndarray

    @classmethod
    def of(cls, dates: Sequence[str], x: np.ndarray) -> "Weeks":
        """Take every fifth day, counted back from the last, of the features [n, 16] of assets on days.

        Days that are a week apart, as those of sources are, are all taken.

        Raises:
            UserError: the features are not those of this project, or one is not a number.
        """
        check_features(dates, x)
        days, first = np.unique(np.asarray(dates, dtype="datetime64[D]"), return_index=True)
        step = WEEK if len(days) > 1 and np.median(np.diff(days).astype(int)) < WEEK else 1
        ends = first[::-1][::step][::-1]
        index = pd.DatetimeIndex(np.asarray(dates, dtype="datetime64[D]")[ends].astype("datetime64[ns]"))
        return cls(index, x[ends, VOLATILITY].astype(float), x[ends, RETURN].astype(float))

    @classmethod
    def read(cls, domain: Domain) -> "Weeks":
        """Read all days of a market domain, without its labels."""
        dates, _, x = read_examples(domain)
        return cls.of(dates, x)


@dataclass(frozen=True)
class Regime:
    """The last change of a market, or none.

    Attributes:
        weeks: the series.
        changes: the first week [k] of every new regime.
    """

    weeks: Weeks
    changes: tuple[int, ...]

    @property
    def last(self) -> pd.Timestamp | None:
        """The end of the first week of the present regime, where it is not the first."""
        return self.weeks.dates[self.changes[-1]] if self.changes else None

    def levels(self) -> dict[str, float]:
        """Return mean return and volatility (a multiple of the trailing year's) before and after the last change."""
        if not self.changes:
            return {}
        start = self.changes[-2] if len(self.changes) > 1 else 0
        at, found = self.changes[-1], dict[str, float]()
        for name, part in (("before", slice(start, at)), ("after", slice(at, None))):
            found[f"return_{name}"] = float(self.weeks.returns[part].mean())
            found[f"volatility_{name}"] = float(np.exp(self.weeks.volatility[part].mean()))
        return found


def find_regime(weeks: Weeks, penalty: float = PENALTY) -> Regime:
    """Find the changes of the levels of a market's return and volatility.

    A change is where the squared distances from the levels, in units of :func:`scale_levels`, fall by more than
    ``penalty``; no regime is shorter than SHORTEST weeks.

    Raises:
        UserError: there are fewer than 2 SHORTEST weeks.
    """
    import ruptures

    if len(weeks.dates) < 2 * SHORTEST:
        raise UserError(f"{len(weeks.dates)} weeks of a market; a change of regime takes {2 * SHORTEST} to tell")
    signal = scale_levels(weeks)
    ends = ruptures.Pelt(model="l2", min_size=SHORTEST, jump=1).fit(signal).predict(pen=penalty)
    return Regime(weeks, tuple(ends[:-1]))


def scale_levels(weeks: Weeks) -> np.ndarray:
    """Return volatility and return [n, 2] in units of what their mean over many weeks varies by, times root of weeks.

    Of volatility that is taken from the median absolute change from week to week, which a few changes of level leave
    alone, as for an autoregression with PERSISTENCE; of returns from their median absolute deviation.
    """
    change = _deviation(np.diff(weeks.volatility)) / np.sqrt(2 * (1 - PERSISTENCE))
    long_run = change * np.sqrt((1 + PERSISTENCE) / (1 - PERSISTENCE))
    return np.stack([weeks.volatility / long_run, weeks.returns / _deviation(weeks.returns)], axis=1)


def _deviation(values: np.ndarray) -> float:
    """Return the standard deviation that the median absolute deviation stands for; never 0."""
    return max(1.4826 * float(np.median(np.abs(values - np.median(values)))), 1e-6)
