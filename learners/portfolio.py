"""Choose how to adapt: cross-validation inside the support set, with a prior from source domains."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace

import torch
from torch import Tensor
from torch.nn import functional as F

from domains.episode import Episode
from learners.base import Learner
from learners.classifier import Affine, Classifier

PROBE = "logistic"
ABSENT = -20.0  # logit of a label that the support has no example of


@dataclass(frozen=True)
class Gain:
    """Accuracy over the linear probe on source episodes: mean and standard deviation between episodes."""

    mean: float
    deviation: float


@dataclass(frozen=True)
class Prior:
    """What strategies gained on source domains, by strategy and shots.

    ``gains[strategy][shots]``; a number of shots that was not tried takes the nearest one on a log scale.
    """

    gains: dict[str, dict[int, Gain]] = field(default_factory=dict)

    def of(self, strategy: str, shots: float) -> Gain:
        tried = self.gains.get(strategy)
        if not tried:
            return Gain(0.0, 0.02)
        near = min(tried, key=lambda k: abs(torch.tensor(k / shots).log().item()))
        return tried[near]

    def to_json(self) -> dict[str, dict[str, dict[str, float]]]:
        return {name: {str(k): asdict(g) for k, g in by.items()} for name, by in self.gains.items()}

    @classmethod
    def from_json(cls, value: Mapping[str, Mapping[str, Mapping[str, float]]]) -> "Prior":
        return cls({name: {int(k): Gain(**g) for k, g in by.items()} for name, by in value.items()})


@dataclass(frozen=True)
class Choice:
    """The strategy chosen, its calibrated classifier, and the expected gain over the probe of every strategy."""

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
) -> Choice:
    """Adapt with every strategy and keep the one whose expected gain over the linear probe is highest.

    The gain of a strategy is normal around its mean on source episodes, g ~ N(m, s^2); cross-validation in the
    support measures d with standard error e (paired over the S examples), so that

        E[g | d] = (m / s^2 + d / e^2) / (1 / s^2 + 1 / e^2).

    With one shot there is nothing to hold out, and the prior alone decides. The probe's gain is 0, so a strategy
    is chosen only if it is expected to do better. The temperature minimises the held-out log-loss.

    Args:
        labels: the number of labels of the domain; some may have no support example.
    """
    shots = len(support_y) / len(support_y.unique())
    held_out = cross_validate(strategies, support_x, support_y, pool_x, labels, generator)
    expected = {}
    for name in strategies:
        gain = prior.of(name, shots)
        expected[name] = 0.0 if name == PROBE else gain.mean
        if held_out and name != PROBE:
            mine, probe = (F.softmax(held_out[s], 1).argmax(1) == support_y for s in (name, PROBE))
            difference = mine.double() - probe.double()
            error2 = (difference.var().item() + 1 / len(difference)) / len(difference)
            trust, belief = 1 / error2, 1 / max(gain.deviation, 1e-3) ** 2
            expected[name] = (gain.mean * belief + difference.mean().item() * trust) / (belief + trust)
    best = max(expected, key=lambda name: (expected[name], name == PROBE))
    classifier = adapt(strategies[best], support_x, support_y, pool_x, labels)
    if held_out:
        classifier = classifier.at(best_temperature(held_out[best], support_y))
    return Choice(best, classifier, expected)


def adapt(learner: Learner, x: Tensor, y: Tensor, pool: Tensor | None, labels: int) -> Classifier:
    """Adapt one learner; a label without an example gets a row of its own that is never preferred."""
    if learner.ways is not None:
        return learner.adapt(x, y, pool)
    seen, compact = y.unique(return_inverse=True)
    classifier = learner.adapt(x, compact, pool)
    if len(seen) == labels:
        return classifier
    last = classifier.layers[-1]
    assert isinstance(last, Affine)
    weight = last.weight.new_zeros(labels, last.weight.shape[1]).index_copy(0, seen, last.weight)
    bias = last.bias.new_full((labels,), ABSENT).index_copy(0, seen, last.bias)
    return replace(classifier, layers=(*classifier.layers[:-1], Affine(weight, bias)))


def cross_validate(
    strategies: Mapping[str, Learner],
    x: Tensor,
    y: Tensor,
    pool: Tensor | None,
    labels: int,
    generator: torch.Generator,
    folds: int = 3,
) -> dict[str, Tensor]:
    """Return held-out logits [S, labels] by strategy, stratified folds; {} when a class has one example only."""
    smallest = int(torch.bincount(y)[y.unique()].min())
    folds = min(folds, smallest)
    if folds < 2:
        return {}
    fold = stratified_folds(y, folds, generator)
    logits = {name: x.new_zeros(len(y), labels) for name in strategies}
    for i in range(folds):
        out, rest = fold == i, fold != i
        for name, learner in strategies.items():
            logits[name][out] = adapt(learner, x[rest], y[rest], pool, labels).logits(x[out])
    return logits


def stratified_folds(y: Tensor, folds: int, generator: torch.Generator) -> Tensor:
    """Return the fold [S] of every example, each class spread evenly."""
    fold = torch.empty_like(y)
    for c in y.unique():
        index = (y == c).nonzero()[:, 0]
        fold[index[torch.randperm(len(index), generator=generator)]] = torch.arange(len(index)) % folds
    return fold


def best_temperature(logits: Tensor, y: Tensor) -> float:
    """Return the temperature in [0.05, 20] that minimises the log-loss (Guo et al. 2017), by a grid of 61."""
    grid = torch.logspace(-1.3, 1.3, 61)
    losses = torch.stack([F.cross_entropy(logits / t, y) for t in grid])
    return float(grid[losses.argmin()])


def learn_prior(strategies: Mapping[str, Learner], episodes: Sequence[Episode], labels: int | None) -> Prior:
    """Measure every strategy's gain over the probe on source episodes that meta-training has not seen."""
    found: dict[str, dict[int, list[float]]] = {name: {} for name in strategies}
    for episode in episodes:
        n = labels or episode.ways
        shots = round(len(episode.support_y) / len(episode.support_y.unique()))
        right = {}
        for name, learner in strategies.items():
            classifier = adapt(learner, episode.support_x, episode.support_y, episode.pool_x, n)
            right[name] = (classifier.logits(episode.query_x).argmax(1) == episode.query_y).float().mean().item()
        for name in strategies:
            found[name].setdefault(shots, []).append(right[name] - right[PROBE])
    gains = {
        name: {k: Gain(*(float(v) for v in _moments(values))) for k, values in sorted(by.items())}
        for name, by in found.items()
    }
    return Prior(gains)


def _moments(values: list[float]) -> tuple[float, float]:
    tensor = torch.tensor(values, dtype=torch.float64)
    return tensor.mean().item(), tensor.std().item() if len(values) > 1 else 0.05
