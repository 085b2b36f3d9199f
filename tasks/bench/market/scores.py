"""Figures of the market benchmark: by regime and over all of them, with intervals over blocks of days."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from sklearn.metrics import roc_auc_score

from domains.market.labels import HORIZON
from learners.market.time_metrics import block_interval, information_coefficients, qlike
from learners.metrics import SMALLEST
from tasks.bench.market.backtest import backtest
from tasks.bench.market.experts import STATE, Rule
from tasks.bench.market.methods import BEATEN, DAILY, DECAYED, OURS, POOLED, UNMOVED
from tasks.bench.options import Row

MEAN = "mean of the regimes"
LEAST_VARIANCE = 1e-8  # realised, of a week without a move


@dataclass(frozen=True)
class RegimeForecast:
    """What a method said of the query days of a regime.

    Attributes:
        days: positions [n]; p: probabilities [n, A, N]; variance: expected daily variance [n, A], or None.
        seconds: of CPU, for all of it.
    """

    rule: Rule
    protocol: str
    regime: str
    method: str
    days: np.ndarray
    p: np.ndarray
    variance: np.ndarray | None
    seconds: float

    @property
    def losses(self) -> np.ndarray:
        """The mean log-loss over assets of each day [n]."""
        y = self.rule.labels(self.days)
        return -np.log(np.clip(np.take_along_axis(self.p, y[..., None], 2)[..., 0], SMALLEST, 1)).mean(1)

    @property
    def score(self) -> np.ndarray:
        """How far up the labels an asset is expected [n, A]: the last label's probability less the first one's."""
        return self.p[..., -1] - self.p[..., 0]

    def series(self) -> dict[str, np.ndarray]:
        """Return the measures that are means over days, by name: their values [n]."""
        panel, found = self.rule.panel, {"log_loss": self.losses}
        if self.variance is not None:
            realised = np.maximum(panel.coming_volatility[self.days] ** 2, LEAST_VARIANCE)
            found["qlike"] = qlike(realised, self.variance).mean(1)
        outcome = panel.coming_volatility if self.rule.name == STATE else panel.coming_return
        score, outcome = self.score, outcome[self.days]
        if self.rule.name == STATE:  # an asset is compared with its own past
            outcome = np.log(np.maximum(outcome, 1e-4)) - np.log(panel.terciles[self.days].mean(2))
        found["ic"] = information_coefficients(score, outcome)
        found["rank_ic"] = information_coefficients(score, outcome, ranks=True)
        return found


def score_rows(judged: Sequence[RegimeForecast], seed: int = 0) -> list[Row]:
    """Return the rows of one label rule and protocol: every method in every regime, and the mean of the regimes."""
    regimes = list(dict.fromkeys(one.regime for one in judged))
    by = {(one.regime, one.method): one for one in judged}
    series = {key: one.series() for key, one in by.items()}
    rows: list[Row] = []
    for method in dict.fromkeys(one.method for one in judged):
        places = {regime: [regime] for regime in regimes} | ({MEAN: regimes} if len(regimes) > 1 else {})
        for place, inside in places.items():
            found = {name: [series[r, method][name] for r in inside] for name in series[inside[0], method]}
            if (regimes[0], POOLED) in by and method != POOLED:
                found["log_loss over pooled"] = [_over(series, r, method, POOLED) for r in inside]
            if method in (OURS, DECAYED, DAILY) and (regimes[0], UNMOVED) in by:
                found[f"log_loss over {UNMOVED}"] = [_over(series, r, method, UNMOVED) for r in inside]
            rivals = [rival for rival in BEATEN if (regimes[0], rival) in by and rival != method]
            if len(rivals) > 1 and method not in BEATEN:
                best = {r: min(rivals, key=lambda rival: series[r, rival]["log_loss"].mean()) for r in inside}
                found["log_loss over the best of " + ", ".join(rivals)] = [
                    _over(series, r, method, best[r]) for r in inside
                ]
            seconds = sum(by[r, method].seconds for r in inside)
            for metric, days in found.items():
                rows.append(_row(by[inside[0], method], place, metric, days, seconds, seed))
            rows += _single(place, [by[r, method] for r in inside], seconds)
    return rows


def _over(series: dict[tuple[str, str], dict[str, np.ndarray]], regime: str, method: str, other: str) -> np.ndarray:
    return series[regime, method]["log_loss"] - series[regime, other]["log_loss"]


def _row(of: RegimeForecast, place: str, metric: str, days: Sequence[np.ndarray], seconds: float, seed: int) -> Row:
    value, low, high = block_interval(days, np.random.default_rng(seed))
    return _base(of, place) | {
        "metric": metric,
        "value": round(value, 5),
        "ci95": round((high - low) / 2, 5),
        "n": sum(map(len, days)),
        "seconds": round(seconds, 2),
    }


def _single(place: str, judged: Sequence[RegimeForecast], seconds: float) -> list[Row]:
    """Return the measures that are no means over days."""
    values = {"auc": [_auc(one) for one in judged]}
    if judged[0].rule.name != STATE:
        tests = [backtest(one.score, one.rule.panel.coming_return[one.days], HORIZON) for one in judged]
        values["return a year before costs"] = [test.gross for test in tests]
        values["return a year after costs"] = [test.net for test in tests]
        values["sharpe ratio after costs"] = [test.sharpe for test in tests]
    n = sum(len(one.days) for one in judged)
    rest = {"ci95": None, "n": n, "seconds": round(seconds, 2)}
    return [
        _base(judged[0], place) | {"metric": metric, "value": round(float(np.mean(value)), 5)} | rest
        for metric, value in values.items()
    ]


def _auc(one: RegimeForecast) -> float:
    """Return the area under the ROC curve, one label against the rest, mean of the labels that came and did not."""
    y, p = one.rule.labels(one.days).reshape(-1), one.p.reshape(-1, one.rule.ways)
    met = [k for k in range(one.rule.ways) if 0 < (y == k).mean() < 1]
    return float(np.mean([roc_auc_score(y == k, p[:, k]) for k in met])) if met else float("nan")


def _base(of: RegimeForecast, place: str) -> Row:
    return {
        "suite": "market",
        "domain": place,
        "setting": f"{of.rule.name}, {of.protocol}",
        "method": of.method,
    }
