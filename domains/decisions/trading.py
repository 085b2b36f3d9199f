"""Market regimes as trials: a position in one asset, day by day, through a span of days."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from domains.decisions.actions import check_actions
from domains.errors import UserError
from domains.market.features import LIMIT, WARM_UP, feature_cube

COST = 0.0005  # of what is traded: 5 basis points
PERCENT = 100.0  # rewards are in percent


@dataclass(frozen=True)
class PriceHistory:
    """What is known on every day, and what the next day brings.

    Attributes:
        dates: [T]; x: [T, A, F] features from prices up to that day's close; returns: [T, A] simple returns from that
            close to the next.
    """

    dates: pd.DatetimeIndex
    x: np.ndarray
    returns: np.ndarray

    @classmethod
    def of(cls, prices: pd.DataFrame) -> "PriceHistory":
        """Compute it from closing prices [days, assets]; the last day, of which no return is known, is left out.

        Raises:
            UserError: the prices are not usable or too few.
        """
        dates, _, x = feature_cube(prices)
        values = prices.to_numpy()
        returns = (values[1:] / values[:-1] - 1)[WARM_UP:]
        return cls(dates[:-1], x[:-1], returns)

    def before(self, day: str) -> "PriceHistory":
        """Return the days whose return is known before a date."""
        return self.cut(0, int(self.dates.searchsorted(pd.Timestamp(day))) - 1)

    def within(self, start: str, end: str) -> "PriceHistory":
        """Return the days from one date to another, both included."""
        first, last = (pd.Timestamp(day) for day in (start, end))
        return self.cut(int(self.dates.searchsorted(first)), int(self.dates.searchsorted(last, side="right")))

    def cut(self, first: int, end: int) -> "PriceHistory":
        """Return the days first..end-1."""
        end = max(end, first)
        return PriceHistory(self.dates[first:end], self.x[first:end], self.returns[first:end])


def net_returns(positions: np.ndarray, returns: np.ndarray, cost: float = COST) -> np.ndarray:
    """Return p_t r_t - cost |p_t - p_{t-1}| [T, A], p_{-1} = 0, of positions and returns [T, A]."""
    before = np.concatenate([np.zeros_like(positions[:1]), positions[:-1]])
    return positions * returns - cost * np.abs(positions - before)


class Regimes(VectorEnv):
    """Many trials of trading side by side: actions 0, 1, 2 are positions -1, 0, 1 held to the next close.

    A trial begins, without a position, in an asset and on a day that are drawn uniformly; with ``every`` on the first
    day, in asset after asset. A step pays, in percent, the position times the next return less the cost of a change. An
    episode ends every ``episode`` days, and the position is kept.

    Args:
        steps: days of a trial.
    """

    metadata = {"autoreset_mode": AutoresetMode.SAME_STEP}  # noqa: RUF012 (gymnasium's own declaration)

    def __init__(
        self,
        num_envs: int,
        history: PriceHistory,
        steps: int,
        episode: int = 20,
        cost: float = COST,
        every: bool = False,
    ) -> None:
        if num_envs < 1 or not 1 <= steps <= len(history.dates):
            raise UserError(f"{num_envs} trials of {steps} days: there are {len(history.dates)} days; choose fewer")
        self.num_envs, self.history, self.steps, self.episode = num_envs, history, steps, episode
        self.cost, self.every = cost, every
        size = history.x.shape[-1]
        self.single_observation_space = spaces.Box(-LIMIT, LIMIT, (size,), np.float32)
        self.single_action_space = spaces.Discrete(3)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Draw assets and first days; the observation [E, F] is the features of the day."""
        super().reset(seed=seed)
        days, assets = self.history.returns.shape
        if self.every:
            self.day, self.asset = np.zeros(self.num_envs, int), np.arange(self.num_envs) % assets
        else:
            self.day = self.np_random.integers(days - self.steps + 1, size=self.num_envs)
            self.asset = self.np_random.integers(assets, size=self.num_envs)
        self.t, self.position = 0, np.zeros(self.num_envs)
        return self.history.x[self.day, self.asset], {}

    def step(self, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """Take positions [E]; rewards [E] in percent. After the trial's last day its features are seen again."""
        position = check_actions(actions, self.num_envs, 3) - 1.0
        gained = position * self.history.returns[self.day, self.asset] - self.cost * np.abs(position - self.position)
        self.position, self.t = position, self.t + 1
        self.day = np.minimum(self.day + 1, len(self.history.dates) - 1)
        ended = np.full(self.num_envs, self.t % self.episode == 0)
        rewards = (PERCENT * gained).astype(np.float32)
        return self.history.x[self.day, self.asset], rewards, ended, np.zeros(self.num_envs, bool), {}
