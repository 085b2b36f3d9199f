"""Choose how to adapt: cross-validation inside the support set, with a prior from source domains."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
import torch
from sklearn.linear_model import BayesianRidge
from torch import Tensor
from torch.nn import functional as F

from domains.episode import Episode
from learners.base import ABSENT, Learner
from learners.choice.conformal import episodes_threshold, held_out_threshold
from learners.choice.opinion_pool import OpinionPool
from learners.choice.temperature import best_temperature
from learners.classifier import Affine, Classifier
from learners.representation.axes import agreement
from learners.representation.sharing import sharing
from learners.representation.task import meta_features

PROBE = "logistic"
FALLBACKS = (OpinionPool.name, "pooled", PROBE)  # what the others have to beat: the first that there is
SMALLEST_SPREAD = 0.01  # of a gain between tasks
CAUTION = 0.5  # deviations that an expected gain is marked down by, for the probe is known and the rest is hoped for
ALONE = 1.5  # the same where the prior decides on a new kind of domain and nothing can be held out to correct it
UNKNOWN_SPREAD = 0.02  # the same where nothing was learned
HOPELESS = 2.0  # a strategy whose expected gain is so many deviations below 0 is not tried
FOLD_POOL = 1000  # pool examples that models of the cross-validation read, for time; fewer hide what uneven pools do


@dataclass(frozen=True)
class Gain:
    """A strategy's gain over the fallback, as ``worth`` has it: what to expect, and its standard deviation."""

    mean: float
    deviation: float


@dataclass(frozen=True)
class Regression:
    """Bayesian ridge regression of one strategy's gain on the description of a task (MacKay 1992).

    g(phi) = intercept + weights . (phi - centre), with the posterior covariance of the weights and ``spread``, the
    standard deviation of gains between tasks of one description.
    """

    centre: list[float]
    weights: list[float]
    intercept: float
    covariance: list[list[float]]
    spread: float

    @classmethod
    def fit(cls, descriptions: np.ndarray, gains: np.ndarray, noise: float, domains: np.ndarray) -> "Regression":
        """Fit to episodes: descriptions [E, F], gains [E], and the mean variance of a gain from its few queries.

        A target is a new domain, so the spread between the ``domains`` [E] of the episodes counts in full.
        """
        model = BayesianRidge().fit(descriptions, gains)
        rest = gains - model.predict(descriptions)
        means = np.array([rest[domains == domain].mean() for domain in np.unique(domains)])
        between = means.var(ddof=1) * (1 + 1 / len(means)) if len(means) > 1 else UNKNOWN_SPREAD**2
        spread = (max(1 / float(model.alpha_) - noise, SMALLEST_SPREAD**2) + between) ** 0.5
        centre, covariance = descriptions.mean(0), model.sigma_
        intercept = float(model.predict(centre[None])[0])
        return cls(centre.tolist(), model.coef_.tolist(), intercept, covariance.tolist(), spread)

    def at(self, description: np.ndarray) -> Gain:
        """Return the gain to expect of a task with that description [F]."""
        away = description - np.array(self.centre)
        variance = away @ np.array(self.covariance) @ away + self.spread**2
        return Gain(self.intercept + float(away @ np.array(self.weights)), float(variance) ** 0.5)


@dataclass(frozen=True)
class Prior:
    """What strategies may be expected to gain, learned on source episodes; empty without meta-training."""

    regressions: dict[str, Regression] = field(default_factory=dict)
    means: dict[str, dict[int, Gain]] = field(default_factory=dict)  # by shots, for people to read
    temperatures: dict[str, float] = field(default_factory=dict)  # where none can be held out
    thresholds: dict[str, float] = field(default_factory=dict)  # of prediction sets there, in multiples of chance

    def of(self, strategy: str, description: np.ndarray) -> Gain:
        known = self.regressions.get(strategy)
        return Gain(0.0, UNKNOWN_SPREAD) if known is None else known.at(description)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "Prior":
        means = {name: {int(k): Gain(**g) for k, g in by.items()} for name, by in value["means"].items()}
        regressions = {name: Regression(**r) for name, r in value["regressions"].items()}
        return cls(regressions, means, dict(value["temperatures"]), dict(value.get("thresholds", {})))


def fallback(strategies: Iterable[str]) -> str:
    """Return what the others have to beat: what old domains say where labels are shared, else the probe."""
    there = set(strategies)
    return next(name for name in FALLBACKS if name in there)


def worth(logits: Tensor, y: Tensor, in_time: bool) -> Tensor:
    """Return [n] what a strategy is compared by: whether it is right, or, of what lies ahead in time, log-likelihood.

    There chance is large: who is right more often tells little that the probabilities do not tell better.
    """
    if in_time:
        return -F.cross_entropy(logits.double(), y, reduction="none")
    return (logits.argmax(1) == y).double()


def describe(
    x: Tensor, y: Tensor, pool: Tensor | None, held_out: Mapping[str, Tensor], names: Tensor | None = None
) -> np.ndarray:
    """Return the description of a task [14].

    Meta-features, how well the fallback does in cross-validation, and whether label names tell the classes apart.
    """
    known = float(bool(held_out))
    right = (held_out[fallback(held_out)].argmax(1) == y).double().mean().item() if held_out else 0.0
    seen, compact = y.unique(return_inverse=True)
    told = 0.0 if names is None or len(seen) < 2 else agreement(x, compact, names[seen]).clamp(-1, 3).item()
    few = told / max(1.0, float(torch.bincount(compact).double().mean()))  # names tell more where labels are few
    return np.array([*meta_features(x, compact, pool).tolist(), known, right, told, few])


@dataclass(frozen=True)
class Choice:
    """The strategy chosen, its calibrated classifier with its threshold, and every strategy's expected gain."""

    strategy: str
    classifier: Classifier
    expected_gain: dict[str, float]


def choose(
    strategies: Mapping[str, Learner],
    support_x: Tensor,
    support_y: Tensor,
    pool_x: Tensor | None,
    labels: int,
    prior: Prior,
    generator: torch.Generator,
    only: str | None = None,
    in_time: bool = False,
    names_x: Tensor | None = None,
) -> Choice:
    """Adapt with every strategy and keep the one whose expected gain over the fallback is highest.

    The gain of a strategy is normal around what source episodes like this say, g ~ N(m, s^2); cross-validation in the
    support measures d with standard error e (paired over the S examples), so that

        E[g | d] = (m / s^2 + d / e^2) / (1 / s^2 + 1 / e^2),

    marked down by CAUTION standard deviations. A strategy whose held-out log-loss is significantly above the fallback's
    is left out: it tells more, from few examples, than who is right. What source episodes rule out is not tried.

    With one shot there is nothing to hold out, and the prior alone decides: by the gain that is reached 14 times in 15.
    The fallback's gain is 0, so a strategy is chosen only if it is expected to do better. The temperature minimises the
    held-out log-loss, with as much doubt as so few examples leave; the threshold of prediction sets is a quantile of
    the held-out probabilities; where nothing is held out, the prior has both.

    Args:
        labels: the number of labels of the domain; some may have no support example.
        only: take this strategy, whatever is expected of it.
        names_x: [labels, D] features of the labels' names, or None.
        in_time: what is to be predicted lies after the support, and differs from it. Cross-validation inside the
            support would flatter what fits its days; the prior, learned on episodes in time, decides alone.
    """
    safe = fallback(strategies)
    fold = None if in_time else stratified_folds(support_y, generator)
    parts = support_x, support_y, pool_x, labels, fold, names_x
    held_out = cross_validate({safe: strategies[safe]}, *parts)
    description = describe(support_x, support_y, pool_x, held_out, names_x)
    gains = {name: prior.of(name, description) for name in strategies if name != safe}
    tried = [name for name, gain in gains.items() if gain.mean + HOPELESS * gain.deviation > 0 or name == only]
    held_out |= cross_validate({name: strategies[name] for name in tried}, *parts)
    expected = {safe: 0.0}
    seen, compact = support_y.unique(return_inverse=True)
    logits = {name: z[:, seen] for name, z in held_out.items()}
    doubt = 1 / (len(compact) + 2)  # of one more example, by Laplace's rule of succession where all were right
    temperatures = {name: best_temperature([z], [compact], doubt=doubt) for name, z in logits.items()}
    losses = {n: F.cross_entropy(z / temperatures[n], compact, reduction="none") for n, z in logits.items()}
    for name in tried:
        if held_out and significantly_above(losses[name], losses[safe]):
            continue
        gain = gains[name]
        expected[name], deviation = gain.mean, gain.deviation
        if held_out:
            mine, theirs = (held_out[s].argmax(1) == support_y for s in (name, safe))
            difference = mine.double() - theirs.double()
            error2 = (difference.var().item() + 1 / len(difference)) / len(difference)
            trust, belief = 1 / error2, 1 / max(gain.deviation, 1e-3) ** 2
            expected[name] = (gain.mean * belief + difference.mean().item() * trust) / (belief + trust)
            deviation = (belief + trust) ** -0.5
        expected[name] -= (CAUTION if held_out or in_time else ALONE) * deviation
    best = only or max(expected, key=lambda name: (expected[name], name == safe))
    temperature = temperatures[best] if held_out else prior.temperatures.get(best, 1.0)
    threshold = prior.thresholds[best] / labels if best in prior.thresholds else None
    if held_out:
        threshold = held_out_threshold(F.softmax(logits[best] / temperature, 1), compact)
    classifier = adapt(strategies[best], support_x, support_y, pool_x, labels, temperature, names_x)
    return Choice(best, replace(classifier, threshold=threshold), expected)


def significantly_above(losses: Tensor, others: Tensor) -> bool:
    """Whether paired losses [S] are higher on average by more than their standard error."""
    difference = losses - others
    return bool(difference.mean() > difference.std() / len(difference) ** 0.5)


def adapt(
    learner: Learner,
    x: Tensor,
    y: Tensor,
    pool: Tensor | None,
    labels: int,
    temperature: float = 1.0,
    names: Tensor | None = None,
) -> Classifier:
    """Adapt one learner; a label without an example gets a row of its own that is never preferred.

    Its logit is the mean of the others', so below the largest wherever x lies, less ABSENT at any temperature.
    """
    if learner.ways is not None:
        return learner.adapt(x, y, pool).at(temperature)
    seen, compact = y.unique(return_inverse=True)
    hints = {"names_x": names[seen]} if learner.reads_names and names is not None else {}
    classifier = learner.adapt(x, compact, pool, **hints).at(temperature)
    if len(seen) == labels:
        return classifier
    own = torch.eye(len(seen), dtype=x.dtype, device=x.device)
    rows = x.new_full((labels, len(seen)), 1 / len(seen)).index_copy(0, seen, own)
    bias = x.new_full((labels,), ABSENT * temperature).index_fill(0, seen, 0)
    return replace(classifier, layers=(*classifier.layers, Affine(rows, bias)))


def cross_validate(
    strategies: Mapping[str, Learner],
    x: Tensor,
    y: Tensor,
    pool: Tensor | None,
    labels: int,
    fold: Tensor | None,
    names: Tensor | None = None,
) -> dict[str, Tensor]:
    """Return held-out logits [S, labels] by strategy, for folds [S] of the examples; {} without folds.

    Of a pool of more than FOLD_POOL every second, third … example is read.
    """
    if fold is None:
        return {}
    pool = None if pool is None else pool[:: max(1, -(-len(pool) // FOLD_POOL))]
    logits = {name: x.new_zeros(len(y), labels) for name in strategies}
    for i in range(int(fold.max()) + 1):
        out, rest = fold == i, fold != i
        with sharing():
            for name, learner in strategies.items():
                logits[name][out] = adapt(learner, x[rest], y[rest], pool, labels, names=names).logits(x[out])
    return logits


def stratified_folds(y: Tensor, generator: torch.Generator, folds: int = 3) -> Tensor | None:
    """Return the fold [S] of every example, each class spread evenly; None where a class has one example only."""
    folds = min(folds, int(torch.bincount(y)[y.unique()].min()))
    if folds < 2:
        return None
    fold = torch.empty_like(y)
    for c in y.unique():
        index = (y == c).nonzero()[:, 0]
        fold[index[torch.randperm(len(index), generator=generator)]] = torch.arange(len(index)) % folds
    return fold


def learn_prior(
    strategies: Mapping[str, Learner],
    episodes: Sequence[Episode],
    domains: Sequence[int],
    labels: int | None,
    generator: torch.Generator,
    in_time: bool = False,
    advance: Callable[[int], None] = lambda episodes: None,
) -> Prior:
    """Measure every strategy's gain over the fallback on source episodes that meta-training has not seen.

    Args:
        domains: which domain each episode was drawn from, as a number.
    """
    safe = fallback(strategies)
    alone = {safe: strategies[safe]}
    descriptions, shots = [], []
    found: dict[str, list[Tensor]] = {name: [] for name in strategies}
    not_held_out: dict[str, list[Tensor]] = {name: [] for name in strategies}
    truth = []
    for episode in episodes:
        x, y, pool, n = episode.support_x, episode.support_y, episode.pool_x, labels or episode.ways
        held_out = cross_validate(alone, x, y, pool, n, None if in_time else stratified_folds(y, generator))
        descriptions.append(describe(x, y, pool, held_out, episode.names_x))
        shots.append(int(torch.bincount(y).max()))
        if not held_out:
            truth.append(episode.query_y)
        for name, learner in strategies.items():
            logits = adapt(learner, x, y, pool, n, names=episode.names_x).logits(episode.query_x)
            found[name].append(worth(logits, episode.query_y, in_time))
            if not held_out:
                not_held_out[name].append(logits)
        advance(1)
    regressions, means = {}, {}
    for name in strategies:
        differences = [a - b for a, b in zip(found[name], found[safe], strict=True)]
        gains = np.array([d.mean().item() for d in differences])
        noise = float(np.mean([d.var().item() / len(d) for d in differences]))
        if name != safe:
            regressions[name] = Regression.fit(np.stack(descriptions), gains, noise, np.asarray(domains))
        by_shots = {k: gains[np.array(shots) == k] for k in sorted(set(shots))}
        means[name] = {k: Gain(float(g.mean()), float(g.std())) for k, g in by_shots.items()}
    temperatures = {name: best_temperature(logits, truth) for name, logits in not_held_out.items() if logits}
    thresholds = {
        name: episodes_threshold([F.softmax(z / t, 1) for z in not_held_out[name]], truth)
        for name, t in temperatures.items()
    }
    return Prior(regressions, means, temperatures, thresholds)
