"""Strategies compared on one support set: what is expected of each, and what each says of held-out examples."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from domains.objective import ACCURACY, Objective
from learners.base import Learner, unable
from learners.choice.all_labels import adapt_to_all_labels
from learners.choice.averaging import average
from learners.choice.blending import Member, pooled
from learners.choice.cross_validation import fit_folds
from learners.choice.fallback import PROBE, fallback
from learners.choice.prior import Gain, Prior, cautious, describe_support, weigh
from learners.classifier import Classifier
from learners.objective import naming_offsets, score_each, tilt
from learners.plain.tuned_logistic import TunedLogistic
from learners.shift.class_prior import shift_of_pool
from learners.support import Support
from learners.temperature import DEVIATION, best_temperature, doubt_of

TUNED = TunedLogistic.name  # is compared whatever is expected of it
UNKNOWN = 1.0  # temperature where nothing is known of it
LARGEST_WEIGHT = 5.0  # of a held-out example, where the pool shows other class frequencies than the labels
MOST_REFITTED = 50_000  # examples, beyond which those held out, one in fifty or fewer, are not fitted once more
HOPELESS = 2.0  # a strategy is not tried if its expected gain is so many deviations below 0


@dataclass(frozen=True)
class Compared:
    """The strategies for one encoder's features, compared on a support set.

    Attributes:
        best: the strategy to take, if it is to be one.
        expected: the gain over the fallback that is expected, of every strategy that was compared.
        weights: what strategies weigh in their average (``chances_of_best``).
        tuned: learners with what they tune fixed as suits the set.
        held_out: what each says of held-out examples; {} where nothing can be held out.
        support: the set that they were compared on, with the features of the ``encoder`` of that number.
        prior: what is expected of strategies.
        shift: of the pool, by the fallback (``shift_of_pool``).
    """

    best: str
    expected: dict[str, float]
    weights: dict[str, float]
    tuned: Mapping[str, Learner]
    held_out: Mapping[str, "CrossValidated"]
    support: Support
    encoder: int
    prior: Prior
    shift: Tensor | None = None

    def fit(self, name: str) -> Classifier:
        """Return a strategy's classifier of the support set, which reads the features of all encoders.

        Its temperature is that of its held-out examples, by as much changed as more labels are expected to change it.
        """
        return self.support.reading(adapt_to_all_labels(self.tuned[name], self.support, self.temperature(name)))

    def temperature(self, name: str) -> float:
        """Return the temperature of a strategy's classifier."""
        expected = self.prior.temperature(name, shots_of(self.support.y))
        if not self.held_out:
            return UNKNOWN if expected is None else expected
        known = self.held_out[name]
        return known.temperature * (1.0 if expected is None or known.around is None else expected / known.around)

    def fit_average(self) -> Classifier:
        """Return the average of the strategies' classifiers."""
        return pooled([(self.fit(name), weight) for name, weight in self.weights.items()])

    def in_use(self, name: str) -> Tensor:
        """Return what a strategy says of the held-out examples at the temperature of its classifier, [H, C]."""
        return F.log_softmax(self.held_out[name].logits / self.temperature(name), 1)

    def member(self, name: str, usual: float) -> Member:
        """Return a strategy as what may have a share in a blend."""
        return Member(self.held_out[name].logs, lambda: self.fit(name), usual, self.in_use(name))

    def averaged(self, usual: float) -> Member:
        """Return the average of the strategies as what may have a share in a blend."""
        logs = average({name: self.held_out[name].logs for name in self.weights}, self.weights)
        in_use = average({name: self.in_use(name) for name in self.weights}, self.weights)
        return Member(logs, self.fit_average, usual, in_use)

    def best_of_all(self, support: Support, fold: Tensor, usual: float) -> tuple["CrossValidated", Member]:
        """Return what the best strategy says of the examples held out of a larger set by its folds, and its member.

        What is held out of more than MOST_REFITTED examples is not fitted afterwards: it is too few of them to be worth
        a second fit.
        """
        own, learner = support.of_encoder(self.encoder), self.tuned[self.best]
        logits, classifier = fit_folds({self.best: learner}, own, fold)[self.best]
        held_out = CrossValidated.of(logits, own, fold, self.prior.temperature(self.best, shots_of(own.y)))

        def fit() -> Classifier:
            whole = adapt_to_all_labels(learner, own) if len(own.y) <= MOST_REFITTED else classifier
            return own.reading(whole.with_temperature(held_out.temperature))

        return held_out, Member(held_out.logs, fit, usual)


def compare(
    strategies: Mapping[str, Learner],
    support: Support,
    encoder: int,
    prior: Prior,
    fold: Tensor | None,
    only: str | None,
    objective: Objective,
) -> Compared:
    """Compare strategies for the features of one encoder by the prior, and by folds [S], if there are any, too.

    Args:
        only: take this strategy, whatever is expected of it.
    """
    support, safe = support.of_encoder(encoder), fallback(strategies)
    fitted = fit_folds({safe: strategies[safe]}, support, fold)
    description = describe_support(support, {name: logits for name, (logits, _) in fitted.items()}, fold)
    gains = {name: prior.expected_gain(name, description) for name in strategies if name != safe}
    gains = {name: g for name, g in gains.items() if g.mean + HOPELESS * g.deviation > 0 or name in (only, TUNED)}
    if fold is None:
        expected = cautious(gains, safe)
        best, weights = only or select_best(expected, safe), prior.weights([*gains], safe, description)
        return Compared(best, expected, weights, strategies, {}, support, encoder, prior)
    tuned = {name: strategies[name].tune(support) for name in (safe, *gains)}
    fitted |= fit_folds({name: tuned[name] for name in gains}, support, fold)
    shots = shots_of(support.y[fold != 0])
    held_out = {
        name: CrossValidated.of(logits, support, fold, prior.temperature(name, shots))
        for name, (logits, _) in fitted.items()
    }
    shift = None
    if support.pool_x is not None:
        shift = shift_of_pool(adapt_to_all_labels(tuned[safe], support, held_out[safe].temperature), support)
    updated = {}
    for name, gain in gains.items():
        weights_of_examples = held_out[name].weights(shift)
        if not is_significantly_above(held_out[name].losses, held_out[safe].losses, weights_of_examples):
            ours, theirs = (held_out[each].scores(objective, shift) for each in (name, safe))
            updated[name] = update_gain(gain, ours - theirs)
    expected, weights = cautious(updated, safe), weigh(updated, safe)
    best = only or select_best(expected, safe)
    if is_better_tuned(held_out, shift):
        best = TUNED if best == PROBE and not only else best
        if PROBE in weights:
            weights[TUNED] = weights.get(TUNED, 0.0) + weights.pop(PROBE)
    return Compared(best, expected, weights, tuned, held_out, support, encoder, prior, shift)


def shots_of(y: Tensor) -> float:
    """Return the mean number of labels [S] a class that has one."""
    return len(y) / len(y.unique())


@dataclass(frozen=True)
class CrossValidated:
    """What a strategy says of H held-out examples: logits [H, C] of the labels ``present`` [C], and labels y [H].

    ``around`` is the temperature that is expected before these examples are seen, give or take ``deviation`` of its
    logarithm, or None where it is unknown.
    ``single`` is the share of the support set that is the only example of its label. It is never held out, and by Good
    and Turing about as many new examples have a label that is not in the support set (I. J. Good. The population
    frequencies of species and the estimation of population parameters. Biometrika 40, 1953.
    https://doi.org/10.1093/biomet/40.3-4.237).
    """

    logits: Tensor
    y: Tensor
    present: Tensor
    single: float = 0.0
    around: float | None = None
    deviation: float = DEVIATION

    @classmethod
    def of(cls, logits: Tensor, support: Support, fold: Tensor, around: float | None) -> "CrossValidated":
        """Return the same of logits [H, N] of all labels, held out of a support set by its folds [S]."""
        present, every, counts = support.y.unique(return_inverse=True, return_counts=True)
        single = int((counts == 1).sum()) / len(every)
        return cls(logits[:, present], every[fold >= 0], present, single, around)

    @cached_property
    def temperature(self) -> float:
        """The most probable temperature, or where none was expected, that of the lowest log-loss with doubt of few.

        Half of the single ones add to the doubt: a model knows their labels from one example each, and is not always
        wrong.
        """
        doubt = self.single / 2 + (doubt_of(len(self.y)) if self.around is None else 0.0)
        return best_temperature(
            [self.logits], [self.y], doubt=min(0.5, doubt), around=self.around, deviation=self.deviation
        )

    @cached_property
    def logs(self) -> Tensor:
        """The log-probabilities [H, C] at that temperature."""
        return F.log_softmax(self.logits / self.temperature, 1)

    @cached_property
    def losses(self) -> Tensor:
        """The log-losses [H] at that temperature."""
        return F.cross_entropy(self.logits / self.temperature, self.y, reduction="none")

    def scores(self, objective: Objective, shift: Tensor | None) -> Tensor:
        """Return scores [H] whose mean is the objective where classes count as in the pool (``shift_of_pool``)."""
        weights, named = self.weights(shift).numpy(), self.logits.argmax(1).numpy()
        if objective != ACCURACY:
            p = self.proba(shift)
            offsets = naming_offsets(objective, self.frequencies(shift), p, self.y, weights)
            named = tilt(p, offsets).argmax(1)
        return torch.from_numpy(score_each(objective, named, self.y, weights))

    def proba(self, shift: Tensor | None) -> np.ndarray:
        """Return the probabilities [H, C], shifted by the pool."""
        moved = self.logs.double() if shift is None else self.logs.double() + shift.double()[self.present]
        return F.softmax(moved, 1).numpy()

    def frequencies(self, shift: Tensor | None) -> np.ndarray:
        """Return how frequent each label [C] is by the examples, and by the pool's shift of that."""
        counts = torch.bincount(self.y, minlength=len(self.present)).double().clamp_min(1)
        counts = counts if shift is None else counts * shift.double().exp()[self.present]
        return (counts / counts.sum()).numpy()

    def weights(self, shift: Tensor | None) -> Tensor:
        """Return what examples weigh [H], 1 on average, so that classes count as in the pool (``shift_of_pool``)."""
        if shift is None:
            return torch.ones(len(self.y), dtype=torch.double)
        weights = shift.double().exp()[self.present][self.y].clamp(1 / LARGEST_WEIGHT, LARGEST_WEIGHT)
        return weights / weights.mean()


def select_able(
    strategies: Mapping[str, Learner], support: Support, only: str | None
) -> tuple[dict[str, Learner], dict[str, str]]:
    """Return the strategies that can adapt to a support set, and why the others cannot.

    Raises:
        ValueError: none can, or the one to take cannot.
    """
    left_out = {name: reason for name, learner in strategies.items() if (reason := unable(learner, support))}
    if only in left_out:
        raise ValueError(f"{only} cannot be used here: {left_out[only]}; take another method, or auto")
    if len(left_out) == len(strategies):
        raise ValueError("; ".join(f"{name}: {reason}" for name, reason in left_out.items()))
    return {name: learner for name, learner in strategies.items() if name not in left_out}, left_out


def select_best(expected: Mapping[str, float], safe: str) -> str:
    """Return the strategy with the highest expected gain: of equals the fallback."""
    return max(expected, key=lambda name: (expected[name], name == safe))


def is_better_tuned(held_out: Mapping[str, CrossValidated], shift: Tensor | None) -> bool:
    """Whether the probe's tuned form has the lower held-out log-loss.

    Both are one model at two strengths, so that their accuracies hardly tell them apart, and their losses do.
    """
    tuned, probe = held_out.get(TUNED), held_out.get(PROBE)
    if tuned is None or probe is None:
        return False
    return bool(((tuned.losses - probe.losses) * tuned.weights(shift)).mean() < 0)


def update_gain(gain: Gain, difference: Tensor) -> Gain:
    """Return the gain to expect after paired, weighted differences to the fallback [H]."""
    error2 = (difference.var().item() + 1 / len(difference)) / len(difference)
    trust, belief = 1 / error2, 1 / max(gain.deviation, 1e-3) ** 2
    mean = (gain.mean * belief + difference.mean().item() * trust) / (belief + trust)
    return Gain(mean, (belief + trust) ** -0.5)


def is_significantly_above(losses: Tensor, others: Tensor, weights: Tensor) -> bool:
    """Whether paired losses [S], weighted, are higher on average by more than their standard error."""
    difference = (losses - others) * weights
    return bool(difference.mean() > difference.std() / len(difference) ** 0.5)
