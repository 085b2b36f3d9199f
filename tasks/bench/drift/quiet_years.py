"""Quiet years of American stocks shuffled in blocks, and what the alarms of markets are set on: nothing else."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from domains.market.days import MANY, Days, numbers_of
from domains.market.features import FEATURES, WARM_UP, features
from domains.market.labels import HORIZON
from domains.market.notice import ALLOWANCE, REFERENCE, deviations, notice
from domains.market.returns import YEAR

BLOCK, LONG_BLOCK = 20, 60  # trading days that stay together; limits are set on the first
QUIET = (("1991-01-01", "1996-12-31"), ("2003-06-01", "2007-06-30"))
SHRINK = 0.1  # of returns: features have no unit, and no jump looks like a split
SOON = 60  # days within which a change is to be noticed
RATE = 0.01  # false alarms a year, of all numbers and directions together
YEARS = 40  # of one series
ONE_BY_ONE = 4  # stocks of a series that are looked at alone
GRID = np.geomspace(5, 150, 120)  # 3 % from one limit to the next
HALVINGS = 6  # of the ratio of the highest to the lowest rate that a limit may have
_NAMES = [name for name, _ in FEATURES]


def quiet_returns(prices: pd.DataFrame) -> list[np.ndarray]:
    """Return the log returns [days, stocks] of each span of quiet years."""
    return [np.log(prices[start:end]).diff().to_numpy()[1:] for start, end in QUIET]  # type: ignore[misc]


def shuffle_blocks(returns: np.ndarray, days: int, rng: np.random.Generator, block: int = BLOCK) -> np.ndarray:
    """Return returns [days, assets] made of blocks drawn from [n, assets], none that overlaps the last."""
    starts = list[int]()
    while len(starts) * block < days:
        start = int(rng.integers(len(returns) - block + 1))
        if not starts or abs(start - starts[-1]) >= block:
            starts.append(start)
    rows = (np.array(starts)[:, None] + np.arange(block)).ravel()[:days]
    return returns[rows]


def as_prices(returns: np.ndarray) -> pd.DataFrame:
    """Return prices [days + 1, assets] with these log returns [days, assets], shrunk."""
    logs = SHRINK * np.concatenate([np.zeros((1, returns.shape[1])), returns.cumsum(0)])
    return pd.DataFrame(100 * np.exp(logs), pd.bdate_range("1900-01-01", periods=len(logs)))


def cube_of(returns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return days [T] and features [T, assets, 16] of log returns [T + WARM_UP - 1, assets]."""
    x = features(as_prices(returns))
    days = x.index.get_level_values(0).unique().to_numpy().astype("datetime64[D]")
    return days, x.to_numpy().astype(float).reshape(len(days), returns.shape[1], -1)


def alone(cube: np.ndarray, asset: int) -> np.ndarray:
    """Return the features [T, 1, 16] of one asset of [T, assets, 16] as those of a market of its own."""
    own = cube[:, [asset]].copy()
    for name in ("vol_5", "vol_20", "return_5"):
        own[:, :, _NAMES.index(f"market_{name}")] = own[:, :, _NAMES.index(name)]
    return own


def find_limits(
    prices: pd.DataFrame, years: int, seed: int, advance: Callable[[int], None] = lambda n: None
) -> dict[bool, dict[str, tuple[float, float]]]:
    """Return the limits of all numbers, of many assets (True) and of few (False), upwards and downwards.

    Quiet years are shuffled in blocks into ``years`` years of each span, in series of YEARS. All limits of a market
    have the same rate of alarms by themselves, which is the highest at which all of them together, after each alarm
    begun anew, raise RATE a year over both spans. Few are ONE_BY_ONE stocks of each series, each alone.
    """
    rng, z = np.random.default_rng(seed), {True: dict[str, list[np.ndarray]](), False: dict[str, list[np.ndarray]]()}
    for returns in quiet_returns(prices):
        for _ in range(-(-years // YEARS)):
            days, cube = cube_of(shuffle_blocks(returns, WARM_UP + REFERENCE + YEARS * YEAR, rng))
            chosen = rng.choice(cube.shape[1], ONE_BY_ONE, replace=False)
            for one in (cube, *(alone(cube, i) for i in chosen)):
                for name, series in numbers_of(one, days).items():
                    steps = deviations(series)[0][REFERENCE:].astype(np.float32)
                    z[one.shape[1] >= MANY].setdefault(name, []).append(steps)
            advance(1)
    return {many: limits_of({name: np.stack(steps) for name, steps in found.items()}) for many, found in z.items()}


def limits_of(z: dict[str, np.ndarray], rate: float = RATE) -> dict[str, tuple[float, float]]:
    """Return the limits of numbers, upwards and downwards, at ``rate`` alarms a year in quiet deviations [n, T]."""
    sides = np.stack([sign * steps for steps in z.values() for sign in (1, -1)])
    years = sides[0].size / YEAR
    alone = np.stack([count_by_limit(side, GRID) for side in sides]) / years
    low, high = rate / len(sides), rate
    for _ in range(HALVINGS):
        middle = float(np.sqrt(low * high))
        together = count_alarms(sides, GRID[(alone <= middle).argmax(1)]) / years
        low, high = (middle, high) if together <= rate else (low, middle)
    found = GRID[(alone <= low).argmax(1)].round(1).tolist()
    return dict(zip(z, zip(found[::2], found[1::2], strict=True), strict=True))


def count_by_limit(side: np.ndarray, limits: np.ndarray) -> np.ndarray:
    """Return how often the sum of deviations [n, T] goes above each of the limits [L], begun anew after each time."""
    sums, count = np.zeros((len(limits), len(side))), np.zeros(len(limits))
    steps = np.where(np.isnan(side), 0.0, side - ALLOWANCE)
    for step in steps.T:
        sums = np.maximum(sums + step, 0)
        above = sums > limits[:, None]
        count += above.sum(1)
        sums[above] = 0
    return count


def count_alarms(sides: np.ndarray, limits: np.ndarray) -> int:
    """Return how often the sums of deviations [sides, n, T] raise an alarm, all of a series begun anew after each."""
    sums, count = np.zeros(sides.shape[:2]), 0
    for t in range(sides.shape[2]):
        step = sides[:, :, t]
        sums = np.maximum(sums + np.where(np.isnan(step), 0.0, step - ALLOWANCE), 0)
        above = (sums > limits[:, None]).any(0)
        count += int(above.sum())
        sums[:, above] = 0
    return count


@dataclass(frozen=True)
class Change:
    """What begins on a day of simulated returns.

    Attributes:
        times: of all returns; common: of their mean over assets alone; drift: of the return of five days, in units of
            each asset's volatility of five days.
    """

    times: float = 1.0
    common: float = 1.0
    drift: float = 0.0

    def apply(self, returns: np.ndarray, deviation: np.ndarray) -> np.ndarray:
        """Return changed returns [T, assets]; ``deviation`` [assets] of those of a day."""
        mean = returns.mean(1, keepdims=True)
        more = deviation * self.drift / np.sqrt(HORIZON)
        return self.times * (returns + (self.common - 1) * mean) + more

    def number(self, many: bool) -> str:
        """Return the number that it moves most."""
        if self.drift:
            return "return"
        return "volatility" if not many else "dispersion" if self.common == 1 else "common movement"

    def in_words(self) -> str:
        """Return what changes, and how much."""
        if self.drift:
            return f"return {self.drift:+.2g} volatilities a week"
        return f"market {self.common:.2g} times" if self.common != 1 else f"returns {self.times:.2g} times"


CHANGES = (
    *(Change(times=times) for times in (3.0, 2.0, 1.5, 1 / 1.5, 1 / 2, 1 / 3)),
    *(Change(common=times) for times in (3.0, 2.0, 1.5, 1 / 2)),
    *(Change(drift=drift) for drift in (2.0, 1.0, 0.5, -0.5, -1.0, -2.0)),
)


def first_alarms(
    returns: np.ndarray, change: Change, rng: np.random.Generator
) -> dict[bool, list[tuple[float, float]]]:
    """Return how late the first alarm after a change is and how far its number moved, of all assets and of some alone.

    After a year without a change, shuffled from returns [n, assets], a changed year follows. The delay is inf if no
    alarm comes, NaN where one came before the change. The number is held against the year before in the first SOON
    days, but those that its five days begin in. ONE_BY_ONE assets are looked at alone, as far as a change is one of
    each.
    """
    before = WARM_UP + YEAR
    made = shuffle_blocks(returns, before + YEAR, rng)
    made[before:] = change.apply(made[before:], returns.std(0))
    days, cube = cube_of(made)
    dates = pd.DatetimeIndex(days.astype("datetime64[ns]"))

    def first(one: np.ndarray) -> tuple[float, float]:
        numbers = numbers_of(one, days)
        alarms = notice(Days(dates, one.shape[1], numbers))
        delay = np.inf if not alarms else alarms[0].at - YEAR if alarms[0].at > YEAR else np.nan
        series = numbers[change.number(one.shape[1] >= MANY)]
        return delay, float(np.nanmean(series[YEAR + HORIZON : YEAR + SOON]) - np.nanmean(series[:YEAR]))

    some = rng.choice(cube.shape[1], ONE_BY_ONE, replace=False) if change.common == 1 else []
    return {True: [first(cube)], False: [first(alone(cube, int(i))) for i in some]}
