"""Another regime of a market, noticed as the days come: cumulative sums of how unlike the year before they are.

E. S. Page. Continuous inspection schemes. Biometrika 41, 1954. There is one sum a number of ``Days`` and direction, with a
limit each; together they raise one false alarm in a hundred quiet years. What was tried beside it: docs/drift.md.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from domains.errors import UserError
from domains.market.days import MANY, Days
from domains.market.returns import YEAR

REFERENCE = 60  # days that a day is held against, at least; at most a year of them
SOON = 60  # days before a day that it is not held against: a regime is to be noticed within so many
ALLOWANCE = 0.75  # deviations a day that are not added up
MOST = 3.0  # deviations that one day counts at most
LEAST = 1e-3  # of a deviation, so that prices that never move raise no alarm
#: Sums that raise an alarm, upwards and downwards; from ``acclimate bench drift --domains limits`` (docs/drift.md).
LIMITS: dict[bool, dict[str, tuple[float, float]]] = {
    True: {"dispersion": (26.6, 21.8), "common movement": (25.0, 16.1), "return": (38.8, 22.2)},
    False: {"volatility": (42.0, 50.3), "return": (28.8, 28.2)},
}
#: After how many days half of all changes, and nine of ten, are noticed: by how many times returns are larger, or how much
#: higher five-day returns are, in units of their volatility. Of many assets and of one, from ``acclimate bench drift``.
DELAYS: dict[bool, dict[float, tuple[float, float]]] = {
    True: {3.0: (0, 0), 2.0: (0, 0), 1.5: (0, 0), 1 / 1.5: (0, 0), 1 / 2: (0, 0), 1 / 3: (0, 0)},
    False: {3.0: (0, 0), 2.0: (0, 0), 1.5: (0, 0), 1 / 1.5: (0, 0), 1 / 2: (0, 0), 1 / 3: (0, 0)},
}
RETURN_DELAYS: dict[bool, dict[float, tuple[float, float]]] = {True: {}, False: {}}


@dataclass(frozen=True)
class Alarm:
    """A day on which a market was found to have moved.

    Attributes:
        day: the day of the alarm, as it would have been raised on it; at: its position among the days.
        by: the number that moved, as ``Days`` calls it.
        began: the day from which on it was added up, an estimate of the first of the new regime.
        change: the mean of the number since then less that of the reference before: of ``return`` in units of the
            year's volatility of five days, of all others the log of a ratio.
    """

    day: pd.Timestamp
    at: int
    by: str
    began: pd.Timestamp
    change: float

    def in_words(self) -> str:
        """Return what moved, and by how much."""
        if self.by == "return":
            return f"return {self.change:+.2f} a week, in units of the volatility of a week"
        return f"{self.by} {np.exp(self.change):.2f} times that of the days before"


def notice(days: Days, limits: dict[str, tuple[float, float]] | None = None) -> tuple[Alarm, ...]:
    """Return all alarms in order of time; after each, all sums begin at 0 again.

    With z the deviations of a day (``deviations``), a sum is S_t = max(0, S_{t-1} + z_t - ALLOWANCE), and another of -z;
    one above its limit raises an alarm. An alarm depends on days up to its own only.

    Raises:
        UserError: there are not more than REFERENCE days.
    """
    if len(days.dates) <= REFERENCE:
        raise UserError(
            f"{len(days.dates)} days of a market; to notice another regime takes more than {REFERENCE}, which the days "
            "after them are held against"
        )
    limits = LIMITS[days.assets >= MANY] if limits is None else limits
    names = [name for name in days.numbers for _ in (1, -1)]
    z = np.stack([sign * deviations(days.numbers[name])[0] for name in days.numbers for sign in (1, -1)], axis=1)
    limit = np.array([limits[name][side] for name in days.numbers for side in (0, 1)])
    steps = np.where(np.isnan(z), 0.0, z - ALLOWANCE)
    sums, began, alarms = np.zeros(len(limit)), np.zeros(len(limit), int), list[Alarm]()
    for t, step in enumerate(steps):
        began[sums == 0] = t
        sums = np.maximum(sums + step, 0)
        if (sums > limit).any():
            which = int((sums / limit).argmax())
            first, series = int(began[which]), days.numbers[names[which]]
            change = float(np.nanmean(series[first : t + 1]) - deviations(series)[1][first])
            alarms.append(Alarm(days.dates[t], t, names[which], days.dates[first], change))
            sums = np.zeros_like(sums)
    return tuple(alarms)


def expected_delay(alarm: Alarm, many: bool) -> tuple[float, float]:
    """Return after how many days half of all changes of the size found, and nine of ten, are noticed; inf: not in a year.

    Of sizes between those of DELAYS, on a logarithmic scale; of others, of the nearest.
    """
    sizes, found = DELAYS[many], alarm.change
    if alarm.by == "return":
        sizes, found = RETURN_DELAYS[many], abs(alarm.change)
    else:
        sizes = {float(np.log(times)): delays for times, delays in sizes.items() if (times > 1) == (found > 0)}
    known = sorted(sizes)
    half, most = (float(np.interp(found, known, [sizes[size][which] for size in known])) for which in (0, 1))
    return half, most


def usual_delays(many: bool) -> str:
    """Return in words how late an alarm is expected to be, while there is none."""
    twice, half_more = DELAYS[many][2.0][0], DELAYS[many][1.5][0]
    return f"one after returns twice as large is expected {twice:.0f} days late, one after half as large again {half_more:.0f}"


def deviations(series: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return z [T], within plus and minus MOST, and the mean [T] of the reference that it is taken from.

    The reference of a day is the year of days that ends SOON days before it, so that a new regime is not held against
    itself; of early days, the first REFERENCE days. Both are NaN where the reference has numbers on fewer than half of
    REFERENCE days, z also where the day has none.
    """
    known = np.isfinite(series)
    filled = np.where(known, series, 0.0)
    at = np.arange(len(series))
    end = np.maximum(at - SOON, REFERENCE)
    start = np.maximum(end - YEAR, 0)

    def total(values: np.ndarray) -> np.ndarray:
        sums = np.concatenate([[0.0], values.cumsum()])
        return np.where(at >= REFERENCE, sums[np.minimum(end, len(series))] - sums[start], np.nan)

    count = total(known.astype(float))
    count[~(count >= REFERENCE / 2)] = np.nan
    mean = total(filled) / count
    spread = np.sqrt(np.maximum(total(filled**2) / count - mean**2, LEAST**2))
    return np.clip((series - mean) / spread, -MOST, MOST), mean
