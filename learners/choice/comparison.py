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
from learners.choice.blending import Member
from learners.choice.cross_validation import fit_folds
from learners.choice.fallback import PROBE, fallback
from learners.choice.prior import Gain, Prior, describe_support
from learners.classifier import Classifier
from learners.objective import naming_offsets, score_each, tilt
from learners.plain.tuned_logistic import TunedLogistic
from learners.shift.class_prior import shift_of_pool
from learners.support import Support
from learners.temperature import best_temperature, doubt_of

FLOOR = TunedLogistic.name  # what may join the best strategy, whatever is expected of it
CAUTION = 0.5  # deviations taken off an expected gain, because a gain over the fallback is only an estimate
ALONE = 1.5  # the same where only the prior decides, as nothing can be held out
LARGEST_WEIGHT = 5.0  # of a held-out example, where the pool shows other class frequencies than the labels
MOST_REFITTED = 50_000  # examples, beyond which those held out, one in fifty or fewer, are not fitted once more
HOPELESS = 2.0  # a strategy is not tried if its expected gain is so many deviations below 0


@dataclass(frozen=True)
class Compared:
    """The strategies for one encoder's features, compared on a support set.

    Attributes:
        best: the strategy to take.
        expected: the gain over the fallback that is expected, of every strategy that was compared.
        tuned: learners with what they tune fixed as suits the set.
        held_out: what each says of held-out examples; {} where nothing can be held out.
        support: the set that they were compared on, with the features of the ``encoder`` of that number.
        shift: of the pool, by the fallback (``shift_of_pool``).
    """

    best: str
    expected: dict[str, float]
    tuned: Mapping[str, Learner]
    held_out: Mapping[str, "CrossValidated"]
    support: Support
    encoder: int
    shift: Tensor | None = None

    def fit(self, name: str, temperature: float) -> Classifier:
        """Return a strategy's classifier of the support set, which reads the features of all encoders."""
        return self.support.reading(adapt_to_all_labels(self.tuned[name], self.support, temperature))

    def member(self, name: str, usual: float) -> Member:
        """Return a strategy as what may have a share in a blend."""
        held_out = self.held_out[name]
        return Member(held_out.logs, lambda: self.fit(name, held_out.temperature), usual)

    def best_of_all(self, support: Support, fold: Tensor, usual: float) -> tuple["CrossValidated", Member]:
        """Return what the best strategy says of the examples held out of a larger set by its folds, and its member.

        What is held out of more than MOST_REFITTED examples is not fitted afterwards: it is too few of them to be worth
        a second fit.
        """
        own, learner = support.of_encoder(self.encoder), self.tuned[self.best]
        logits, classifier = fit_folds({self.best: learner}, own, fold)[self.best]
        held_out = CrossValidated.of(logits, own, fold)

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
    caution: float,
    objective: Objective,
) -> Compared:
    """Compare strategies for the features of one encoder by the prior, and by folds [S], if there are any, too.

    Args:
        only: take this strategy, whatever is expected of it.
        caution: deviations taken off the prior's gain where it decides alone.
    """
    support, safe = support.of_encoder(encoder), fallback(strategies)
    fitted = fit_folds({safe: strategies[safe]}, support, fold)
    description = describe_support(support, {name: logits for name, (logits, _) in fitted.items()}, fold)
    gains = {name: prior.expected_gain(name, description) for name in strategies if name != safe}
    gains = {name: g for name, g in gains.items() if g.mean + HOPELESS * g.deviation > 0 or name in (only, FLOOR)}
    expected = {safe: 0.0}
    if fold is None:
        expected |= {name: gain.mean - caution * gain.deviation for name, gain in gains.items()}
        return Compared(only or select_best(expected, safe), expected, strategies, {}, support, encoder)
    tuned = {name: strategies[name].tune(support) for name in (safe, *gains)}
    fitted |= fit_folds({name: tuned[name] for name in gains}, support, fold)
    held_out = {name: CrossValidated.of(logits, support, fold) for name, (logits, _) in fitted.items()}
    shift = None
    if support.pool_x is not None:
        shift = shift_of_pool(adapt_to_all_labels(tuned[safe], support, held_out[safe].temperature), support)
    for name, gain in gains.items():
        weights = held_out[name].weights(shift)
        if not is_significantly_above(held_out[name].losses, held_out[safe].losses, weights):
            ours, theirs = (held_out[each].scores(objective, shift) for each in (name, safe))
            expected[name] = update_gain(gain, ours - theirs)
    best = only or prefer_tuned(select_best(expected, safe), held_out, shift)
    return Compared(best, expected, tuned, held_out, support, encoder, shift)


@dataclass(frozen=True)
class CrossValidated:
    """What a strategy says of H held-out examples: logits [H, C] of the labels ``present`` [C], and labels y [H].

    ``single`` is the share of the support set that is the only example of its label. It is never held out, and by Good
    and Turing about as many new examples have a label that is not in the support set (I. J. Good. The population
    frequencies of species and the estimation of population parameters. Biometrika 40, 1953.
    https://doi.org/10.1093/biomet/40.3-4.237).
    """

    logits: Tensor
    y: Tensor
    present: Tensor
    single: float = 0.0

    @classmethod
    def of(cls, logits: Tensor, support: Support, fold: Tensor) -> "CrossValidated":
        """Return the same of logits [H, N] of all labels, held out of a support set by its folds [S]."""
        present, every, counts = support.y.unique(return_inverse=True, return_counts=True)
        single = int((counts == 1).sum()) / len(every)
        return cls(logits[:, present], every[fold >= 0], present, single)

    @cached_property
    def temperature(self) -> float:
        """The temperature of the lowest log-loss, with the doubt that few examples leave, and single ones.

        Half of the single ones count: a model knows their labels from one example each, and is not always wrong.
        """
        return best_temperature([self.logits], [self.y], doubt=min(0.5, doubt_of(len(self.y)) + self.single / 2))

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


def prefer_tuned(best: str, held_out: Mapping[str, CrossValidated], shift: Tensor | None) -> str:
    """Return the best strategy: of the probe, if it is that, the tuned form where its held-out log-loss is lower.

    Both are one model at two strengths, so that their accuracies hardly tell them apart, and their losses do.
    """
    tuned = held_out.get(TunedLogistic.name)
    if best != PROBE or tuned is None:
        return best
    difference = (tuned.losses - held_out[best].losses) * tuned.weights(shift)
    return TunedLogistic.name if difference.mean() < 0 else best


def update_gain(gain: Gain, difference: Tensor) -> float:
    """Return the cautious gain to expect after paired, weighted differences to the fallback [H]."""
    error2 = (difference.var().item() + 1 / len(difference)) / len(difference)
    trust, belief = 1 / error2, 1 / max(gain.deviation, 1e-3) ** 2
    mean = (gain.mean * belief + difference.mean().item() * trust) / (belief + trust)
    return mean - CAUTION * (belief + trust) ** -0.5


def is_significantly_above(losses: Tensor, others: Tensor, weights: Tensor) -> bool:
    """Whether paired losses [S], weighted, are higher on average by more than their standard error."""
    difference = (losses - others) * weights
    return bool(difference.mean() > difference.std() / len(difference) ** 0.5)
