"""Regimes of the stock market, and the temporal splits that walk through each: what is known, adapts and is judged."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from domains.errors import UserError
from domains.market.labels import HORIZON
from domains.market.returns import YEAR
from domains.market.windows import Window

#: Days of a support; days judged after the first support of a regime, and after each later one.
SUPPORT, QUERY, STEP = 60, 120, 20

#: Regimes as histories of the market date them.
REGIMES = (
    Window("dot-com", "the fall of technology stocks", "2000-03-10", "2002-10-09", "target"),
    Window("calm", "quiet years", "2003-06-01", "2007-06-30", "target"),
    Window("crisis", "the financial crisis", "2007-10-09", "2009-03-09", "target"),
    Window("bull", "the long rise of the 2010s", "2012-01-01", "2018-09-30", "target"),
    Window("covid", "the Covid crash and rebound", "2020-02-19", "2020-06-30", "target"),
    Window("rates", "the year of rising rates", "2022-01-01", "2022-12-28", "target"),
)


@dataclass(frozen=True)
class TemporalSplit:
    """A temporal split, as rising positions of days: ``source`` [n], ``support`` [SUPPORT] and ``query`` [m].

    The outcome of a day is known HORIZON days later. An embargo keeps the parts apart: the outcomes of the source are
    known before the regime begins, those of the support before the first day of the query.
    """

    source: np.ndarray
    support: np.ndarray
    query: np.ndarray

    @property
    def first(self) -> int:
        """The position of the regime's first day."""
        return len(self.source) + HORIZON

    @classmethod
    def at(cls, first: int, query: int, length: int, last: int) -> "TemporalSplit":
        """Split days at the regime's ``first`` day and at the first of at most ``length`` query days up to ``last``."""
        known = query - HORIZON
        return cls(
            np.arange(max(first - HORIZON, 0)),
            np.arange(known - SUPPORT, known),
            np.arange(query, min(query + length, last + 1)),
        )


def first_split(dates: pd.DatetimeIndex, regime: Window) -> TemporalSplit:
    """Return the split of one adaptation: the regime's first SUPPORT days, HORIZON left out, the next QUERY days.

    A short regime is over before the query is: the days that follow it are judged too.

    Args:
        dates: [T] trading days with features.

    Raises:
        UserError: the dates do not reach from a year of sources to the end of the support.
    """
    first, _ = _inside(dates, regime)
    cut = TemporalSplit.at(first, first + SUPPORT + HORIZON, QUERY, len(dates) - 1 - HORIZON)
    if not len(cut.query):
        raise UserError(f"{regime.name}: no day after the first {SUPPORT + HORIZON}; give prices up to a later date")
    return cut


def walk(dates: pd.DatetimeIndex, regime: Window) -> list[TemporalSplit]:
    """Return the splits of a walk through the regime, which adapts every STEP days to the last SUPPORT labelled days.

    Queries follow each other without a gap, from the first that ``first_split`` judges to the regime's last day whose
    outcome is in the table. Sources stay those before the regime.

    Raises:
        UserError: as ``first_split``.
    """
    first, last = _inside(dates, regime)
    last = min(last, len(dates) - 1 - HORIZON)
    return [TemporalSplit.at(first, query, STEP, last) for query in range(first + SUPPORT + HORIZON, last + 1, STEP)]


def _inside(dates: pd.DatetimeIndex, regime: Window) -> tuple[int, int]:
    """Return the positions of the regime's first and last day."""
    first = int(dates.searchsorted(pd.Timestamp(regime.start), side="left"))
    end = int(dates.searchsorted(pd.Timestamp(regime.end), side="right"))
    if first < YEAR + HORIZON or first >= end:
        raise UserError(
            f"{regime.name}: a year of days with features is needed before {regime.start}, and days after; there are "
            f"{dates[0]:%Y-%m-%d} to {dates[-1]:%Y-%m-%d}"
        )
    return first, end - 1
