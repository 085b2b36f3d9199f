"""Models of everything before a day: what is pooled, and what the pool says of days that it has not seen."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from sklearn.ensemble import HistGradientBoostingClassifier

from domains.market.features import LEAST_RATIO
from domains.market.labels import HORIZON, NAMES
from domains.market.panel import Panel
from learners import Pooled
from learners.base import Learner
from learners.market.har import HAR
from learners.market.log_volatility import LogVolatility
from learners.market.ordinal import LOWER, UPPER, Ordinal
from learners.plain.whole import fit_whole
from learners.support import Support

STATE = "volatility_state"
EVERY = 2  # days of a source that models learn from: labels of days in a row share four of five days
YEAR = 252  # days after which models are fitted again
FIRST = 2 * YEAR  # day of the first fit

#: Probabilities [n, A, N] of days [n].
Model = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Rule:
    """A panel seen by one label rule."""

    panel: Panel
    name: str

    @property
    def ways(self) -> int:
        return len(NAMES[self.name])

    def examples(self, days: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return features [n * A, F] and labels [n * A] of days [n], whose labels must be known."""
        return self.features(days), self.labels(days).reshape(-1)

    def features(self, days: np.ndarray) -> np.ndarray:
        return self.panel.x[days].reshape(-1, self.panel.x.shape[-1])

    def labels(self, days: np.ndarray) -> np.ndarray:
        """Return labels [n, A]."""
        return self.panel.y[self.name][days].astype(np.int64)

    def on_days(self, p: np.ndarray) -> np.ndarray:
        """Return what is by example [n * A, N] by day and asset [n, A, N]."""
        return p.reshape(-1, len(self.panel.assets), self.ways)


def of_learner(rule: Rule, learner: Learner, days: np.ndarray) -> Model:
    """Return a learner fitted to days as a model."""
    x, y = (torch.from_numpy(values) for values in rule.examples(days))
    classifier = fit_whole(learner, x, y).adapt(Support(x[:2], y[:2]))
    return lambda query: rule.on_days(classifier.predict_proba(torch.from_numpy(rule.features(query))).numpy())


def boosting(rule: Rule, days: np.ndarray) -> Model:
    """Return gradient boosting on days: few and small trees, as neighbouring days say much the same."""
    x, y = rule.examples(days)
    model = HistGradientBoostingClassifier(
        max_iter=50,
        learning_rate=0.06,
        max_leaf_nodes=6,
        min_samples_leaf=_leaf(len(y)),
        l2_regularization=5.0,
        early_stopping=False,
    ).fit(x, y)

    def predict(query: np.ndarray) -> np.ndarray:
        p = np.zeros((len(query) * len(rule.panel.assets), rule.ways))
        p[:, model.classes_] = model.predict_proba(rule.features(query))
        return rule.on_days(p)

    return predict


def _leaf(examples: int) -> int:
    return min(500, examples // 40)


def log_volatility(rule: Rule, days: np.ndarray) -> Model:
    """Return market states by a forecast of log volatility relative to that of the trailing year."""
    panel = rule.panel
    coming = np.log(np.maximum(panel.coming_volatility[days] / panel.year_volatility[days], LEAST_RATIO)).reshape(-1)
    model = LogVolatility.fit(rule.features(days), coming, _leaf(len(coming)))

    def predict(query: np.ndarray) -> np.ndarray:
        x = rule.features(query)
        return rule.on_days(model.states(x, x[:, [LOWER, UPPER]]))

    return predict


def har(rule: Rule, days: np.ndarray) -> tuple[HAR, Model]:
    """Return HAR on days, and the market states that follow from it."""
    panel = rule.panel
    model = HAR.fit(panel.volatility[days].reshape(-1, 3), panel.coming_volatility[days].reshape(-1))

    def predict(query: np.ndarray) -> np.ndarray:
        past, terciles = panel.volatility[query].reshape(-1, 3), panel.terciles[query].reshape(-1, 2)
        return rule.on_days(model.states(past, terciles))

    return model, predict


def experts(rule: Rule, until: int) -> dict[str, Model]:
    """Return the models of all days whose outcome is known before the day ``until``: what the pool is made of."""
    days = np.arange(until - HORIZON)[::-1][::EVERY][::-1]
    dim = rule.panel.x.shape[-1]
    found = {"pooled": of_learner(rule, Pooled(dim, rule.ways), days), "pooled boosting": boosting(rule, days)}
    if rule.name == STATE:
        found["ordinal"] = of_learner(rule, Ordinal(dim), days)
        found["log volatility"] = log_volatility(rule, days)
        found["HAR"] = har(rule, days)[1]
    return found


def opinions(models: Mapping[str, Model], days: np.ndarray) -> np.ndarray:
    """Return the models' log-probabilities [n, A, E * N] of days [n], as ``LogPool`` reads them."""
    logs = [np.log(np.clip(model(days), 1e-6, 1)) for model in models.values()]
    return np.stack(logs, 2).reshape(*logs[0].shape[:2], -1).astype(np.float32)


def past_opinions(rule: Rule, advance: Callable[[int], None] = lambda n: None) -> np.ndarray:
    """Return opinions [T, A, E * N] of every day by models of the days before its year; NaN before FIRST.

    What is read of the days before a regime depends on nothing after them.
    """
    days = len(rule.panel.dates)
    parts = []
    for first in range(FIRST, days, YEAR):
        parts.append(opinions(experts(rule, first), np.arange(first, min(first + YEAR, days))))
        advance(1)
    before = np.full((FIRST, *parts[0].shape[1:]), np.nan, np.float32)
    return np.concatenate([before, *parts])
