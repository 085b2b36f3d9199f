"""How far apart the prices of a file are: rules count in rows, which are days, weeks or months."""

from typing import Literal

import numpy as np
import pandas as pd

from domains.errors import UserError
from domains.market.labels import HORIZON
from domains.market.returns import YEAR

Period = Literal["day", "week", "month"]

#: Calendar days between two rows, on the median, by period.
STEPS: dict[Period, tuple[float, float]] = {"day": (0, 3), "week": (4, 10), "month": (25, 35)}

#: Calendar days of one, for checks.
LENGTHS: dict[Period, int] = {"day": 1, "week": 7, "month": 30}


def period_of(dates: pd.Index) -> Period:
    """Return the period of rising dates.

    Raises:
        UserError: they are neither daily, weekly nor monthly.
    """
    step = float(np.median(np.diff(dates.to_numpy()) / np.timedelta64(1, "D"))) if len(dates) > 1 else 1.0
    for period, (least, most) in STEPS.items():
        if least <= step <= most:
            return period
    raise UserError(f"a price every {step:.0f} days is neither daily, weekly nor monthly; give daily prices")


def period_warnings(dates: pd.Index) -> tuple[str, ...]:
    """Return what to know where rows are no days.

    Raises:
        UserError: as ``period_of``.
    """
    period = period_of(dates)
    if period == "day":
        return ()
    return (
        f"{period}ly prices: rules count {period}s, the next {HORIZON} and the trailing {YEAR}; models of daily prices "
        "mean other states",
    )


def in_words(text: str, period: Period) -> str:
    """Return a text about days as one about periods."""
    return text.replace("day", period)
