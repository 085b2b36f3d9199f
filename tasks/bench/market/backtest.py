"""What scores would have earned: long the best, short the worst, after costs."""

from dataclasses import dataclass

import numpy as np

from domains.market.returns import YEAR

COST = 0.001  # of the value traded: 10 basis points for spread and commission, large American stocks
SHARE = 0.25  # of the assets that are held long, and as many short


@dataclass(frozen=True)
class Backtest:
    """Log returns a year of one unit long and one short, before and after costs, and the Sharpe ratio after them."""

    gross: float
    net: float
    sharpe: float


def backtest(score: np.ndarray, coming: np.ndarray, horizon: int, cost: float = COST) -> Backtest:
    """Trade at every ``horizon``-th day: equal weights long the highest scores and short the lowest.

    The portfolio is bought at the close of the day that the score is of, and held until the next trade. A trade costs
    ``cost`` times what changes hands, the first and the last one too. No interest, no fee for borrowing.

    Args:
        score: [n, A]; coming: log return [n, A] of the ``horizon`` days after each day.
    """
    days = np.arange(0, len(score), horizon)
    held = max(1, round(SHARE * score.shape[1]))
    order = np.argsort(score[days], axis=1, kind="stable")
    weights = np.zeros((len(days) + 2, score.shape[1]))  # nothing before the first trade, and after the last
    rows = np.arange(1, len(days) + 1)[:, None]
    weights[rows, order[:, -held:]] = 1 / held
    weights[rows, order[:, :held]] = -1 / held
    gross = (weights[1:-1] * coming[days]).sum(1)
    traded = np.abs(np.diff(weights, axis=0)).sum(1)
    costs = cost * traded[:-1]
    costs[-1] += cost * traded[-1]
    net = gross - costs
    a_year = YEAR / horizon
    spread = net.std(ddof=1) if len(net) > 1 else 0.0
    sharpe = float(net.mean() / spread * np.sqrt(a_year)) if spread > 0 else 0.0
    return Backtest(float(gross.mean() * a_year), float(net.mean() * a_year), sharpe)
