"""When a champion adapts: never, by the calendar or on an alarm, on one walk through all regimes and between them."""

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from domains.market.days import Days
from domains.market.labels import HORIZON
from domains.market.notice import notice
from domains.market.panel import Panel
from domains.market.walk import STEP, SUPPORT
from learners.market.decayed_offsets import Evidence, moved
from learners.market.log_pool import LogPool
from learners.market.time_metrics import block_interval
from learners.metrics import SMALLEST
from tasks.bench.market.experts import FIRST, STATE, YEAR, Rule
from tasks.bench.market.methods import known_labels, learn_offsets, learn_pool, unmoved
from tasks.bench.options import Row

START = "2000-03-10"  # days before it were there to choose the design on
WEEK = 5
POOL = 4 * YEAR  # days after which the pool is meta-trained again
NEVER, DAILY = "never", "every day, decayed"

#: What an adaptation on a day says: logits [n, A, N] to add on days [n] from it on.
Adaptation = Callable[[int], Callable[[slice], Tensor]]


def every(step: int) -> Callable[[Panel, np.ndarray], np.ndarray]:
    """Return the schedule of every ``step``-th day of a walk, the first one too."""
    return lambda panel, days: days[::step]


def on_alarm(panel: Panel, days: np.ndarray) -> np.ndarray:
    """Return the days of a walk on which ``notice`` finds that the market has moved; it reads no later day."""
    assets = len(panel.assets)
    dates = np.repeat(panel.dates.strftime("%Y-%m-%d").to_numpy(), assets)
    alarms = notice(Days.of(dates.tolist(), list(panel.assets) * len(panel.dates), panel.x.reshape(len(dates), -1)))
    return np.intersect1d([alarm.at for alarm in alarms], days)


#: The days [k] of a walk's days [n] on which the champion adapts.
SCHEDULES: dict[str, Callable[[Panel, np.ndarray], np.ndarray]] = {
    NEVER: lambda panel, days: days[:0],
    f"every {STEP} days": every(STEP),
    f"every {WEEK} days": every(WEEK),
    "on alarm": on_alarm,
}


def learn_pools(rule: Rule, past: np.ndarray, days: np.ndarray, seed: int = 0) -> dict[int, LogPool]:
    """Return the pools of a walk by their first day; each is meta-trained on outcomes that are known before it."""
    return {first: learn_pool(rule, past, first, STEP, seed) for first in range(int(days[0]), int(days[-1]) + 1, POOL)}


def not_adapted(pools: Mapping[int, LogPool], past: np.ndarray, days: np.ndarray) -> Tensor:
    """Return the log-probabilities [n, A, N] of a walk's days [n] by the pool of their time, at its start."""
    spans = pairwise([*pools, int(days[-1]) + 1])
    return torch.from_numpy(np.concatenate([unmoved(pools[first], past[first:end]) for first, end in spans]))


def by_support(rule: Rule, pools: Mapping[int, LogPool], past: np.ndarray) -> Adaptation:
    """Return the adaptation to the SUPPORT days before a day whose labels are known; later pools keep its move."""
    logs = torch.from_numpy(past)

    def adapt(day: int) -> Callable[[slice], Tensor]:
        pool = pools[max(first for first in pools if first <= day)]
        support = np.arange(day - HORIZON - SUPPORT, day - HORIZON)
        y = torch.from_numpy(rule.labels(support).reshape(-1))
        move = (pool.solve(logs[support].flatten(0, 1), y) - pool.start).detach()
        return lambda days: (pool.design(logs[days].flatten(0, 1)) @ move).unflatten(0, (days.stop - days.start, -1))

    return adapt


def walk_by(logits: Tensor, days: np.ndarray, at: Sequence[int] | np.ndarray, adapt: Adaptation) -> np.ndarray:
    """Return P [n, A, N] of a walk's days [n], each by the last adaptation up to it; before the first one, unmoved.

    Args:
        logits: what the champion that is not moved says [n, A, N]. at: rising days on which it adapts, all of the walk.
    """
    said, first = logits.clone(), int(days[0])
    for start, end in pairwise([*map(int, at), int(days[-1]) + 1]):
        said[start - first : end - first] += adapt(start)(slice(start, end))
    return torch.softmax(said, 2).numpy()


def day_by_day(rule: Rule, pools: Mapping[int, LogPool], past: np.ndarray, days: np.ndarray, seed: int) -> np.ndarray:
    """Return P [n, A, N] of a walk's days [n] by the pool of their time, moved every day (``DecayedOffsets``)."""
    parts = []
    for first, end in pairwise([*pools, int(days[-1]) + 1]):
        known = unmoved(pools[first], past[FIRST:end])
        offsets = learn_offsets(rule, known, first, 1, seed)
        logs, span = torch.from_numpy(known), torch.arange(first - FIRST, end - FIRST)
        with torch.no_grad():
            c = offsets.solve(Evidence.of(logs, known_labels(rule)[: len(logs)]), span)
        parts.append(moved(logs[span], c[:, None]).exp().numpy())
    return np.concatenate(parts)


def schedule_losses(
    rule: Rule, past: np.ndarray, days: np.ndarray, seed: int = 0
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return the days on which a champion adapts [k], and the mean log-loss of each day [n], by schedule."""
    pools = learn_pools(rule, past, days, seed)
    logs, adapt = not_adapted(pools, past, days), by_support(rule, pools, past)
    said = {}
    for name, schedule in SCHEDULES.items():
        at = schedule(rule.panel, days)
        said[name] = (at, walk_by(logs, days, at, adapt))
    said[DAILY] = (days, day_by_day(rule, pools, past, days, seed))
    labels = rule.labels(days)[..., None]
    return {
        name: (at, -np.log(np.clip(np.take_along_axis(p, labels, 2), SMALLEST, 1)).mean((1, 2)))
        for name, (at, p) in said.items()
    }


def schedule_rows(rule: Rule, past: np.ndarray, seed: int = 0) -> list[Row]:
    """Return log-loss, what it is more than of the champion never adapted, and the number of adaptations, by schedule.

    Experts are refitted every year and the pool every fourth, whatever the schedule. Intervals: ``block_interval``.
    """
    panel = rule.panel
    days = np.arange(int(panel.dates.searchsorted(np.datetime64(START))), len(panel.dates) - HORIZON)
    by_name = schedule_losses(rule, past, days, seed)
    rows: list[Row] = []
    for name, (at, losses) in by_name.items():
        found = {"log_loss": losses}
        if name != NEVER:
            found["log_loss over never"] = losses - by_name[NEVER][1]
        about = {
            "suite": "market",
            "domain": f"{panel.dates[days[0]]:%Y-%m-%d} to {panel.dates[days[-1]]:%Y-%m-%d}",
            "setting": f"{STATE}, when to adapt",
            "method": f"adapted {name}",
        }
        for metric, values in found.items():
            value, low, high = block_interval([values], np.random.default_rng(seed))
            rows.append(about | _figure(metric, value, (high - low) / 2, len(days)))
        rows.append(about | _figure("adaptations", float(len(at)), None, len(days)))
    return rows


def _figure(metric: str, value: float, ci95: float | None, n: int) -> Row:
    rounded = None if ci95 is None else round(ci95, 5)
    return {"metric": metric, "value": round(value, 5), "ci95": rounded, "n": n, "seconds": None}
