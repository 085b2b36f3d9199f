"""Another regime of a market, noticed as the days come: cumulative sums of how unlike the year before they are.

E. S. Page. Continuous inspection schemes. Biometrika 41, 1954. There is one sum a number of ``Days`` and direction,
with a limit each; together they raise one false alarm in a hundred quiet years. What was tried beside it:
docs/drift.md.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from domains.errors import UserError
from domains.market.days import MANY, Days
from domains.market.returns import YEAR

REFERENCE = 60  # days before a day that it is held against, at least; at most a year of them
ALLOWANCE = 0.75  # deviations a day that are not added up
MOST = 3.0  # deviations that one day counts at most
LEAST = 1e-3  # of a deviation, so that prices that never move raise no alarm
NEVER = float("inf")  # not within a year
#: Sums that raise an alarm, upwards and downwards, of many assets (True) and of few; from ``acclimate bench drift
#: --domains limits`` (docs/drift.md), as are the delays.
LIMITS: dict[bool, dict[str, tuple[float, float]]] = {
    True: {"return": (37.0, 21.5), "dispersion": (24.8, 20.3), "common movement": (26.2, 20.9)},
    False: {"return": (27.8, 27.0), "volatility": (40.3, 41.4)},
}
#: By the number that moves, how far it moves, and after how many days half of such changes, and nine of ten, are
#: noticed.
Delays = dict[str, tuple[tuple[float, float, float], ...]]
DELAYS: dict[bool, Delays] = {
    True: {
        "dispersion": (
            (-0.99, 13, 16),
            (-0.62, 17, 24),
            (-0.34, 44, NEVER),
            (0.34, 58, NEVER),
            (0.59, 20, 32),
            (0.95, 13, 16),
        ),
        "common movement": ((-0.12, NEVER, NEVER), (0.16, NEVER, NEVER), (0.32, 32, 70), (0.58, 16, 27)),
        "return": (
            (-1.94, 12, 14),
            (-1.0, 20, 33),
            (-0.49, NEVER, NEVER),
            (0.51, NEVER, NEVER),
            (1.02, 36, 58),
            (1.93, 17, 22),
        ),
    },
    False: {
        "volatility": (
            (-1.01, 38, NEVER),
            (-0.65, NEVER, NEVER),
            (-0.35, NEVER, NEVER),
            (0.37, NEVER, NEVER),
            (0.63, NEVER, NEVER),
            (1.01, 36, NEVER),
        ),
        "return": (
            (-1.94, 28, 54),
            (-1.01, NEVER, NEVER),
            (-0.51, NEVER, NEVER),
            (0.51, NEVER, NEVER),
            (0.99, NEVER, NEVER),
            (1.95, 28, 54),
        ),
    },
}


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
            return f"return {self.change:+.2f} times the volatility of a week, a week"
        return f"{self.by} {np.exp(self.change):.2f} times that of the days before"


def notice(days: Days, limits: dict[str, tuple[float, float]] | None = None) -> tuple[Alarm, ...]:
    """Return all alarms in order of time; after each, all sums begin at 0 again.

    With z the deviations of a day (``deviations``), a sum is S_t = max(0, S_{t-1} + z_t - ALLOWANCE), and another
    of -z; one above its limit raises an alarm. An alarm depends on days up to its own only.

    Raises:
        UserError: there are not more than REFERENCE days.
    """
    if len(days.dates) <= REFERENCE:
        raise UserError(
            f"{len(days.dates)} days of a market; to notice another regime takes more than {REFERENCE}, which the days "
            "after them are held against"
        )
    limits = LIMITS[days.assets >= MANY] if limits is None else limits
    names = [name for name in limits for _ in (1, -1)]
    found = {name: deviations(days.numbers[name]) for name in limits}
    z = np.stack([sign * found[name][0] for name in limits for sign in (1, -1)], axis=1)
    limit = np.array([side for sides in limits.values() for side in sides])
    steps = np.where(np.isnan(z), 0.0, z - ALLOWANCE)
    sums, began, alarms = np.zeros(len(limit)), np.zeros(len(limit), int), list[Alarm]()
    for t, step in enumerate(steps):
        began[sums == 0] = t
        sums = np.maximum(sums + step, 0)
        if (sums > limit).any():
            which = int((sums / limit).argmax())
            first, series = int(began[which]), days.numbers[names[which]]
            change = float(np.nanmean(series[first : t + 1]) - found[names[which]][1][first])
            alarms.append(Alarm(days.dates[t], t, names[which], days.dates[first], change))
            sums = np.zeros_like(sums)
    return tuple(alarms)


def expected_delay(alarm: Alarm, many: bool) -> tuple[float, float]:
    """Return after how many days half of all changes of the size found, and nine of ten, are noticed; inf: never.

    Of sizes between those of DELAYS, on the scale of ``change``; of others, of the nearest. The size found at an
    alarm is on average above the true one, and so the delay below it.
    """
    return delay_of(alarm.by, alarm.change, many)


def delay_of(name: str, change: float, many: bool) -> tuple[float, float]:
    """Return ``expected_delay`` of a number that moves by ``change``."""
    known = sorted(row for row in DELAYS[many][name] if (row[0] > 0) == (change > 0))
    sizes = [row[0] for row in known]
    half, most = (float(np.interp(change, sizes, [row[which] for row in known])) for which in (1, 2))
    return half, most


def usual_delays(many: bool) -> str:
    """Return in words how late an alarm is expected to be, while there is none."""
    name, said = "dispersion" if many else "volatility", list[str]()
    for times in (2.0, 1.5) if many else (3.0, 2.0):
        half, _ = delay_of(name, float(np.log(times)), many)
        within = (
            f"half are noticed within {half:.0f} days" if np.isfinite(half) else "most are not noticed within a year"
        )
        said.append(f"{times:g} times, {within}")
    return f"of changes of {name} to {said[0]}; to {said[1]}"


def delay_in_words(half: float, most: float) -> str:
    """Return in words how late changes of a size are noticed."""
    if not np.isfinite(half):
        return "most such changes are not noticed within a year"
    rest = f"nine of ten within {most:.0f}" if np.isfinite(most) else "more than one of ten not within a year"
    return f"half of such changes are noticed within {half:.0f} days, {rest}"


def deviations(series: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return z [T], within plus and minus MOST, and the mean [T] of the reference that it is taken from.

    The reference of a day is the year of days before it, or what there is of it, REFERENCE days at least. Both are NaN
    where it has numbers on fewer than half of REFERENCE days, z also where the day has none.
    """
    known = np.isfinite(series)
    filled = np.where(known, series, 0.0)
    at = np.arange(len(series))
    start = np.maximum(at - YEAR, 0)

    def total(values: np.ndarray) -> np.ndarray:
        sums = np.concatenate([[0.0], values.cumsum()])
        return np.where(at >= REFERENCE, sums[at] - sums[start], np.nan)

    count = total(known.astype(float))
    count[~(count >= REFERENCE / 2)] = np.nan
    mean = total(filled) / count
    spread = np.sqrt(np.maximum(total(filled**2) / count - mean**2, LEAST**2))
    return np.clip((series - mean) / spread, -MOST, MOST), mean
