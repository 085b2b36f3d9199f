"""The rows of the market benchmark: what each method makes of a source, a support and the days to judge."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from torch import Tensor
from torch.nn import functional as F

from domains.episode import Episode
from domains.market.labels import HORIZON
from domains.market.walk import SUPPORT, TemporalSplit
from learners.market.ddg_da import DDGDA, RIDGE, Moments
from learners.market.decayed_offsets import DecayedOffsets, Evidence, moved
from learners.market.garch import garch_variance
from learners.market.har import LEAST, state_probabilities
from learners.market.log_pool import LogPool
from learners.optimisers import LBFGS, Adam
from learners.support import Support
from tasks.bench.market.experts import FIRST, STATE, YEAR, Model, Rule, boosting, har, opinions

OURS, UNMOVED, POOLED = "acclimate", "acclimate, not moved", "pooled"
DECAYED, DAILY = "acclimate, decayed", "acclimate, day by day"
BEATEN = (POOLED, "HAR", "GARCH", "boosting")  # what ours is measured against
STEPS, BATCH, RATE = 80, 32, 0.1  # of meta-training
BETWEEN, SPARSE = 10, 3  # days between the past episodes' starts, and between the days that are read of each
DAY_STEPS, DAY_BATCH = 250, 64  # of meta-training what is moved day by day
MOST = 10.0  # weight of a source day, and one over the least
SLICE, LEAST_SLICES, DRIFT_STEPS = 20, 12, 100  # days of a slice of DDG-DA, slices of its shortest past, meta-updates


@dataclass
class MarketCase:
    """One adaptation: a label rule, a cut of the days, and the models of the days before the regime.

    Attributes:
        past: opinions of every day by models of the days before its year; None where no method asks the pool.
        kept: what methods share between the cuts of a regime.
        variance: what a method expects of the daily variance of the next days [n, A]; of those that forecast it.
    """

    rule: Rule
    cut: TemporalSplit
    models: Mapping[str, Model]
    pool: LogPool | None
    fitted: int  # returns that GARCH is fitted to
    length: int  # days from one adaptation to the next
    past: np.ndarray | None = None
    seed: int = 0
    kept: dict[str, np.ndarray] = field(default_factory=dict)
    variance: dict[str, np.ndarray] = field(default_factory=dict)

    def tensors(self, days: np.ndarray) -> tuple[Tensor, Tensor]:
        x, y = self.rule.examples(days)
        return torch.from_numpy(x), torch.from_numpy(y)


def variance_of_states(case: MarketCase, p: np.ndarray) -> np.ndarray:
    """Return the expected daily variance of the next days [n, A] by probabilities of volatility states [n, A, N].

    That of each state is its mean in the source, as a multiple of the variance of the trailing year.
    """
    panel, source = case.rule.panel, case.cut.source
    multiple = (panel.coming_volatility[source] / panel.year_volatility[source]) ** 2
    labels = case.rule.labels(source)
    by_state = np.array([multiple[labels == state].mean() for state in range(case.rule.ways)])
    return p @ by_state * panel.year_volatility[case.cut.query] ** 2


def persistence(case: MarketCase) -> np.ndarray:
    """P(label | the asset's last known label), as often as in the source."""
    rule, source = case.rule, case.cut.source[HORIZON:]
    counts = np.ones((rule.ways, rule.ways))
    np.add.at(counts, (rule.labels(source - HORIZON), rule.labels(source)), 1)
    return (counts / counts.sum(1, keepdims=True))[rule.labels(case.cut.query - HORIZON)]


def har_states(case: MarketCase) -> np.ndarray:
    """HAR of the source."""
    model, predict = har(case.rule, case.cut.source)
    past = case.rule.panel.volatility[case.cut.query]
    case.variance["HAR"] = model.variance(past.reshape(-1, 3)).reshape(past.shape[:2])
    return predict(case.cut.query)


def garch(case: MarketCase) -> np.ndarray:
    """GARCH(1,1) of each asset's returns up to the query; around it what was left in the year before."""
    panel, query = case.rule.panel, case.cut.query
    if (
        "GARCH" not in case.kept
    ):  # of every day, each from returns up to it, with parameters of the days before the query
        days = np.arange(YEAR, len(panel.dates))
        by_asset = [garch_variance(returns, case.fitted, days, HORIZON) for returns in panel.returns.T]
        before = np.full((len(by_asset), YEAR), np.nan)
        case.kept["GARCH"] = np.log(np.concatenate([before, np.stack(by_asset)], 1).T) / 2
    year = np.arange(query[0] - HORIZON - YEAR, query[0] - HORIZON)
    log_volatility = case.kept["GARCH"]
    rest = np.log(np.maximum(panel.coming_volatility[year], LEAST)) - log_volatility[year]
    now = log_volatility[query]
    case.variance["GARCH"] = np.exp(2 * now)
    terciles = panel.terciles[query].reshape(-1, 2)
    return case.rule.on_days(state_probabilities(now.reshape(-1), np.sort(rest, axis=None), terciles))


def window_boosting(case: MarketCase) -> np.ndarray:
    """Gradient boosting on the support alone."""
    return boosting(case.rule, case.cut.support)(case.cut.query)


def fine_tune(case: MarketCase) -> np.ndarray:
    """Logistic regression on the support that starts at the pooled one and pays |W - W0|^2 / 2 to leave it.

    The strength is scikit-learn's usual one (C = 1): nobody has asked how far to move.
    """
    x, y = case.tensors(case.cut.support)
    query = torch.from_numpy(case.rule.features(case.cut.query))
    start = [
        torch.from_numpy(np.log(case.models[POOLED](days))).flatten(0, 1) for days in (case.cut.support, case.cut.query)
    ]
    mean, scale = x.mean(0), x.std(0).clamp_min(1e-6)
    weight = torch.zeros(case.rule.ways, x.shape[1] + 1, requires_grad=True)
    optimiser = LBFGS([weight], max_iter=200, line_search_fn="strong_wolfe")

    def logits(x: Tensor, start: Tensor) -> Tensor:
        return start + F.linear((x - mean) / scale, weight[:, :-1], weight[:, -1])

    def loss() -> Tensor:
        optimiser.zero_grad()
        value = F.cross_entropy(logits(x, start[0]), y) + weight[:, :-1].square().sum() / 2 / len(y)
        value.backward()
        return value

    optimiser.step(loss)
    return case.rule.on_days(F.softmax(logits(query, start[1]), 1).detach().numpy())


def reweight(case: MarketCase) -> np.ndarray:
    """Pooled logistic regression whose source days count as they are like the support's, and the support as itself.

    By the odds, of a logistic regression of the features, that an example is of the support (Bickel et al. 2007).
    """
    source = case.cut.source[::HORIZON]
    (x, y), (support_x, support_y) = case.rule.examples(source), case.rule.examples(case.cut.support)
    both, which = np.concatenate([x, support_x]), np.repeat([0, 1], [len(x), len(support_x)])
    odds = LogisticRegression(C=0.1, max_iter=300, class_weight="balanced").fit(both, which).decision_function(x)
    weight = np.clip(np.exp(odds), 1 / MOST, MOST)
    every = np.concatenate([weight / weight.mean(), np.ones(len(support_y))])
    model = LogisticRegression(max_iter=300).fit(both, np.concatenate([y, support_y]), sample_weight=every)
    return case.rule.on_days(model.predict_proba(case.rule.features(case.cut.query)))


def ddg_da(case: MarketCase) -> np.ndarray:
    """Logistic regression on all days whose outcome is known, weighted as DDG-DA learned from what followed before."""
    rule, known = case.rule, int(case.cut.support[-1]) + 1
    weight = slice_weights(rule, known, case.length, case.seed)
    days = np.arange(known % SLICE, known)
    x, y = rule.examples(days[::HORIZON])
    every = np.repeat(np.repeat(weight, SLICE)[::HORIZON], len(rule.panel.assets))
    model = LogisticRegression(max_iter=300).fit(x, y, sample_weight=every)
    return case.rule.on_days(model.predict_proba(rule.features(case.cut.query)))


def slice_weights(rule: Rule, known: int, length: int, seed: int) -> np.ndarray:
    """Return the weights [n] of the slices of the days before ``known``, the last of which ends there.

    Learned from earlier days in its place: the slices before each, and the ``length`` days that followed HORIZON later.
    """
    x = torch.tensor(rule.panel.x[:known], dtype=torch.double)
    x = (x - x.mean((0, 1))) / x.std((0, 1)).clamp_min(1e-12)
    y = F.one_hot(torch.from_numpy(rule.labels(np.arange(known))), rule.ways).double()
    by_day, starts = Moments.of_days(x, y), torch.arange(known % SLICE, known, SLICE)
    slices = by_day.over(starts, SLICE)
    proxies = slices.ridge(RIDGE)
    losses = torch.stack([slices.losses(one) for one in proxies])
    model, draw = DDGDA(), np.random.default_rng(seed)
    tasks = np.arange(LEAST_SLICES, len(starts))[: max(0, len(starts) - LEAST_SLICES - (HORIZON + length) // SLICE)]
    optimiser = Adam(model.parameters(), RATE)
    for _ in range(DRIFT_STEPS if len(tasks) else 0):
        ends = torch.from_numpy(draw.choice(tasks, min(BATCH, len(tasks)), replace=False))
        optimiser.zero_grad()
        model.meta_loss(losses, slices, ends, by_day.over(starts[ends] + HORIZON, length)).mean().backward()
        optimiser.step()
    with torch.no_grad():
        return model.weights(losses, torch.tensor([len(starts)]))[0].numpy()


def ours(case: MarketCase) -> np.ndarray:
    """The pool of experts, moved towards the support as far as past episodes say."""
    episode = pool_episode(case, case.cut.support, case.cut.query)
    assert case.pool is not None
    classifier = case.pool.adapt(Support.of(episode))
    return case.rule.on_days(classifier.predict_proba(episode.query_x).numpy())


def pool_at_start(case: MarketCase) -> np.ndarray:
    """The same pool at its start."""
    assert case.pool is not None
    logs = torch.from_numpy(opinions(case.models, case.cut.query)).flatten(0, 1)
    return case.rule.on_days(case.pool.to_classifier(case.pool.start).predict_proba(logs).numpy())


def day_by_day(case: MarketCase) -> np.ndarray:
    """The pool at its start, moved every day by all labels known by then (``DecayedOffsets``)."""
    logs, offsets = decayed_offsets(case, 1)
    return moved(logs, offsets[:, None]).exp().numpy()


def decayed(case: MarketCase) -> np.ndarray:
    """The same, moved only when ``acclimate`` is."""
    logs, offsets = decayed_offsets(case, case.length)
    return moved(logs, offsets[0]).exp().numpy()


def decayed_offsets(case: MarketCase, length: int) -> tuple[Tensor, Tensor]:
    """Return what the pool at its start says of the query [n, A, N], and each day's offsets [n, K]."""
    assert case.pool is not None
    assert case.past is not None
    first, kept, name = case.cut.first, case.kept, f"offsets for {length} days"
    if "not moved" not in kept:  # of every day from FIRST on, each by its own features
        now = opinions(case.models, np.arange(first, len(case.rule.panel.dates)))
        kept["not moved"] = unmoved(case.pool, np.concatenate([case.past[FIRST:first], now]))
    logs = torch.from_numpy(kept["not moved"])
    if name not in kept:
        offsets = learn_offsets(case.rule, kept["not moved"], first, length, case.seed)
        with torch.no_grad():
            kept[name] = offsets.solve(Evidence.of(logs, known_labels(case.rule)), torch.arange(len(logs))).numpy()
    query = case.cut.query - FIRST
    return logs[query], torch.from_numpy(kept[name])[query]


def unmoved(pool: LogPool, past: np.ndarray) -> np.ndarray:
    """Return the log-probabilities [n, A, N] of the pool at its start, by opinions [n, A, E * N]."""
    with torch.no_grad():
        logits = pool.design(torch.from_numpy(past).flatten(0, 1)) @ pool.start
        return torch.log_softmax(logits, 1).unflatten(0, past.shape[:2]).numpy()


def known_labels(rule: Rule) -> Tensor:
    """Return the labels [n, A] of all days from FIRST on."""
    return torch.from_numpy(rule.labels(np.arange(FIRST, len(rule.panel.dates))))


def pool_episode(case: MarketCase, support: np.ndarray, query: np.ndarray) -> Episode:
    logs = [torch.from_numpy(opinions(case.models, days)).flatten(0, 1) for days in (support, query)]
    labels = [torch.from_numpy(case.rule.labels(days).reshape(-1)) for days in (support, query)]
    return Episode(logs[0], labels[0], logs[1], labels[1], ways=case.rule.ways)


#: Every row by name; those of volatility alone after the others.
METHODS: dict[str, Callable[[MarketCase], np.ndarray]] = {
    "persistence": persistence,
    "boosting": window_boosting,
    POOLED: lambda case: case.models[POOLED](case.cut.query),
    "pooled boosting": lambda case: case.models["pooled boosting"](case.cut.query),
    "fine-tuned": fine_tune,
    "reweighted": reweight,
    "DDG-DA": ddg_da,
    UNMOVED: pool_at_start,
    OURS: ours,
}
VOLATILITY: dict[str, Callable[[MarketCase], np.ndarray]] = {
    "HAR": har_states,
    "GARCH": garch,
    "ordinal": lambda case: case.models["ordinal"](case.cut.query),
    "log volatility": lambda case: case.models["log volatility"](case.cut.query),
    DECAYED: decayed,
    DAILY: day_by_day,
}


def methods_of(rule: str) -> dict[str, Callable[[MarketCase], np.ndarray]]:
    """Return the rows that a label rule has."""
    return METHODS | (VOLATILITY if rule == STATE else {})


def learn_pool(rule: Rule, past: np.ndarray, first: int, length: int, seed: int = 0) -> LogPool:
    """Return the pool meta-trained on episodes of the past: SUPPORT labelled days, and ``length`` days after them.

    Every outcome of every episode is known before the day ``first``.

    Args:
        past: opinions [T, A, E * N] of every day by models of the days before (``past_opinions``).
    """
    logs = torch.from_numpy(past)
    labels = torch.from_numpy(rule.panel.y[rule.name].astype(np.int64))

    def episode(query: int) -> Episode:
        known = query - HORIZON
        support, judged = slice(known - SUPPORT, known, SPARSE), slice(query, query + length, SPARSE)
        return Episode(
            *(part.flatten(0, 1) for part in (logs[support], labels[support], logs[judged], labels[judged])),
            ways=rule.ways,
        )

    episodes = [episode(d) for d in range(FIRST + SUPPORT + HORIZON, first - HORIZON - length + 1, BETWEEN)]
    pool = LogPool(past.shape[-1], rule.ways)
    pool.together = BATCH
    draw = np.random.default_rng(seed)
    optimiser = Adam(pool.parameters(), RATE)
    schedule = torch.optim.lr_scheduler.LinearLR(optimiser, 1.0, 0.0, total_iters=STEPS)
    for _ in range(STEPS):
        optimiser.zero_grad()
        pool.backward([episodes[i] for i in draw.choice(len(episodes), min(BATCH, len(episodes)), replace=False)])
        optimiser.step()
        schedule.step()
    return pool


def learn_offsets(rule: Rule, logs: np.ndarray, first: int, length: int, seed: int = 0) -> DecayedOffsets:
    """Return offsets meta-trained on what followed days of the past, ``length`` days each, all known before ``first``.

    Args:
        logs: log-probabilities [T - FIRST, A, N] of every day from FIRST on; those of ``first`` and later are not read.
    """
    past, y = torch.from_numpy(logs[: first - FIRST]), known_labels(rule)[: first - FIRST]
    evidence = Evidence.of(past, y)
    starts = np.arange(SUPPORT + HORIZON, len(past) - HORIZON - length + 1)[:: min(BETWEEN, max(length // 2, 1))]
    offsets, draw = DecayedOffsets(rule.ways, HORIZON), np.random.default_rng(seed)
    optimiser = Adam(offsets.parameters(), RATE)
    schedule = torch.optim.lr_scheduler.LinearLR(optimiser, 1.0, 0.0, total_iters=DAY_STEPS)
    for _ in range(DAY_STEPS):
        days = draw.choice(starts, min(DAY_BATCH, len(starts)), replace=False)
        judged = torch.from_numpy(days[:, None] + np.arange(0, length, SPARSE))
        optimiser.zero_grad()
        offsets.meta_loss(evidence, torch.from_numpy(days), past[judged], y[judged]).backward()
        optimiser.step()
        schedule.step()
    return offsets
