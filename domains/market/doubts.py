"""What is doubtful about prices that can be used: jumps, a long run of one price, and week-ends that were filled in."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from domains.words import some

JUMP = 0.5  # of the price before, up or down
STALE = 10  # rows of one price, one after the other
FILLED = 0.9  # of the rows of week-ends repeat the price before

SATURDAY = 5

#: Kinds of doubts, and what is doubtful.
KINDS = {
    "price-jump": "a price that is more than a half above or below the one before, and at no known split",
    "stale-price": "a long run of one price",
    "filled-weekends": "Saturdays and Sundays that repeat the price before",
}


@dataclass(frozen=True)
class PriceDoubt:
    """One doubt: its kind as ``domains check`` names it, where, and how much.

    ``kind`` is one of KINDS.
    """

    kind: str
    where: str
    about: str


def doubts_about(prices: pd.DataFrame) -> tuple[PriceDoubt, ...]:
    """Return all doubts about prices [dates, assets] that have passed ``check_prices``."""
    found: list[PriceDoubt] = []
    for asset in prices.columns:
        column = prices[asset].astype(float)
        found += [*jumps(column), *stale_runs(column), *filled_weekends(column)]
    return tuple(found)


def doubts_in_words(doubts: tuple[PriceDoubt, ...]) -> tuple[str, ...]:
    """Return a line for each kind of doubt, with the first few places."""
    lines = []
    for kind, words in KINDS.items():
        if found := [f"{doubt.where} ({doubt.about})" for doubt in doubts if doubt.kind == kind]:
            lines.append(f"{words}: {some(found, 3)}")
    return tuple(lines)


def jumps(column: "pd.Series[float]") -> Iterator[PriceDoubt]:
    """Yield the rows whose price is more than a half above or below the one before."""
    change, dates = column.pct_change().to_numpy(), pd.DatetimeIndex(column.index)
    for i in np.flatnonzero(np.abs(change) > JUMP).tolist():
        yield PriceDoubt(
            "price-jump",
            f"{column.name} on {dates[i]:%Y-%m-%d}",
            f"{column.iloc[i - 1]:g} to {column.iloc[i]:g}, {100 * change[i]:+.0f} %",
        )


def stale_runs(column: "pd.Series[float]") -> Iterator[PriceDoubt]:
    """Yield the longest runs of one price, each by its first and last day."""
    run = column.ne(column.shift()).cumsum()
    for _, part in column.groupby(run):
        if len(part) >= STALE:
            yield PriceDoubt(
                "stale-price",
                f"{column.name} from {part.index[0]:%Y-%m-%d} to {part.index[-1]:%Y-%m-%d}",
                f"{part.iloc[0]:g} on {len(part)} dates in a row",
            )


def filled_weekends(column: "pd.Series[float]") -> Iterator[PriceDoubt]:
    """Yield one doubt if week-ends repeat the price before, and other days do not."""
    same = column.eq(column.shift())
    weekend = pd.DatetimeIndex(column.index).weekday >= SATURDAY
    if weekend.sum() >= STALE and same[weekend].mean() >= FILLED and same[~weekend].mean() < 0.5:
        first = column.index[weekend & same][0]
        yield PriceDoubt(
            "filled-weekends",
            f"{column.name} from {first:%Y-%m-%d}",
            f"{int((weekend & same).sum()):,} days",
        )
