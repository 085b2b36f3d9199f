"""Choose how to adapt: cross-validation inside the support set, with a prior from source domains."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache, cached_property

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from domains.objective import ACCURACY, Objective
from learners.base import Learner, unable
from learners.choice.all_labels import adapt_to_all_labels, put_absent_away
from learners.choice.blending import USUAL_OF_FLOOR, Member, blend, blend_unseen, text_members
from learners.choice.conformal import held_out_threshold
from learners.choice.cross_validation import fit_folds
from learners.choice.fallback import PROBE, fallback
from learners.choice.prior import Gain, Prior, describe_support
from learners.classifier import Classifier
from learners.folds import sample_rows, stratified_folds
from learners.objective import naming_offsets, score_each, tilt
from learners.plain.tuned_logistic import TunedLogistic
from learners.shift.class_prior import shift_of_pool
from learners.support import Support
from learners.temperature import best_temperature, doubt_of

FLOOR = TunedLogistic.name  # what may join the best strategy, whatever is expected of it
CAUTION = 0.5  # deviations taken off an expected gain, because a gain over the fallback is only an estimate
ALONE = 1.5  # the same where only the prior decides, as nothing can be held out
LARGEST_WEIGHT = 5.0  # of a held-out example, where the pool shows other class frequencies than the labels
HOPELESS = 2.0  # a strategy is not tried if its expected gain is so many deviations below 0
MOST_COMPARED = 20_000  # examples that strategies are compared on
MOST_REFITTED = 50_000  # examples, beyond which those held out, one in fifty or fewer, are not fitted once more


@dataclass(frozen=True)
class Choice:
    """The best strategy, its calibrated classifier with its threshold, and what became of the others.

    Attributes:
        expected_gain: over the fallback, of every strategy that was compared.
        left_out: the strategies that cannot adapt to the support set, each with the reason in a line.
    """

    strategy: str
    classifier: Classifier
    expected_gain: dict[str, float]
    left_out: dict[str, str]


def choose(
    strategies: Mapping[str, Learner],
    support: Support,
    prior: Prior,
    generator: torch.Generator,
    only: str | None = None,
    in_time: bool = False,
    objective: Objective = ACCURACY,
) -> Choice:
    """Adapt with every strategy and keep the one whose expected gain over the fallback is highest.

    A strategy's gain g is normal around what similar source episodes say, N(m, s^2). Cross-validation inside the
    support set measures d with standard error e (paired over the S examples), so that

        E[g | d] = (m / s^2 + d / e^2) / (1 / s^2 + 1 / e^2),

    from which CAUTION standard deviations are taken off. A strategy is dropped if its held-out log-loss is
    significantly above the fallback's: with few examples the log-loss says more than the accuracy. A strategy that
    source episodes rule out is not tried, and one that cannot adapt to the support set is left out. Where the linear
    probe is best, it is taken with a tuned strength if its held-out log-loss is then lower.

    Of more than MOST_COMPARED examples, so many by chance decide which strategy to take, and that one alone is fitted
    to the others too. What is held out of more than MOST_REFITTED examples is not fitted afterwards: it is too few of
    them to be worth a second fit.

    With one shot nothing can be held out, and the prior alone decides, by the gain that is reached 14 times in 15. The
    fallback's gain is 0, so a strategy is taken only if it is expected to do better. The temperature minimises the
    held-out log-loss, smoothed for the few examples, and the threshold of prediction sets is a quantile of the held-out
    probabilities. Where nothing is held out, both come from the prior, and ``blend_unseen`` makes them more cautious.

    Args:
        support: its ``ways`` are the labels of the domain, of which some may have no example.
        only: take this strategy, whatever is expected of it.
        in_time: the examples to predict lie after the support set and differ from it. Cross-validation inside the
            support set would favour what fits its days, so the prior, learned on episodes in time, decides alone.
        objective: what strategies are compared by, and what the labels that the classifier names are to be best in.

    Raises:
        ValueError: the support set is unsound, or the strategy ``only``, or every strategy, cannot adapt to it.
    """
    strategies, left_out = select_able(strategies, support, only)
    safe = fallback(strategies)
    sample = support
    if len(support.y) > MOST_COMPARED:
        sample = support.select(sample_rows(support.y, MOST_COMPARED, generator))
    fold = None if in_time else stratified_folds(sample.y, generator)
    fitted = fit_folds({safe: strategies[safe]}, sample, fold)
    description = describe_support(sample, {name: logits for name, (logits, _) in fitted.items()}, fold)
    gains = {name: prior.expected_gain(name, description) for name in strategies if name != safe}
    gains = {name: g for name, g in gains.items() if g.mean + HOPELESS * g.deviation > 0 or name in (only, FLOOR)}
    if fold is None:
        caution = CAUTION if in_time else ALONE
        expected = {safe: 0.0} | {name: gain.mean - caution * gain.deviation for name, gain in gains.items()}
        best = only or select_best(expected, safe)
        alone = in_time or only is not None or FLOOR not in strategies
        names = dict.fromkeys([best] if alone else [best, FLOOR])
        classifiers = [adapt_to_all_labels(strategies[n], support, prior.temperatures.get(n, 1.0)) for n in names]
        classifier = classifiers[0] if alone else put_absent_away(blend_unseen(classifiers), support.y.unique())
        threshold = prior.thresholds[best] / support.ways if best in prior.thresholds else None
        offsets = offsets_of(objective, support, None)
        return Choice(best, replace(classifier, threshold=threshold, offsets=offsets), expected, left_out)

    tuned = {name: strategies[name].tune(sample) for name in (safe, *gains)}
    fitted |= fit_folds({name: tuned[name] for name in gains}, sample, fold)
    held_out = {name: CrossValidated.of(logits, sample, fold) for name, (logits, _) in fitted.items()}

    @cache
    def fit(name: str) -> Classifier:
        return adapt_to_all_labels(tuned[name], sample, held_out[name].temperature)

    shift = None if support.pool_x is None else shift_of_pool(fit(safe), sample)
    expected = {safe: 0.0}
    for name, gain in gains.items():
        weights = held_out[name].weights(shift)
        if not is_significantly_above(held_out[name].losses, held_out[safe].losses, weights):
            ours, theirs = (held_out[each].scores(objective, shift) for each in (name, safe))
            expected[name] = update_gain(gain, ours - theirs)
    best = only or prefer_tuned(select_best(expected, safe), held_out, shift)
    if sample is support:
        classifier, found = fit(best), held_out[best]
    else:
        fold = stratified_folds(support.y, generator)
        assert fold is not None
        logits, classifier = fit_folds({best: tuned[best]}, support, fold)[best]
        found = CrossValidated.of(logits, support, fold)
        if len(support.y) <= MOST_REFITTED:
            classifier = adapt_to_all_labels(tuned[best], support)
        classifier = classifier.with_temperature(found.temperature)
    if only is None:
        members = [Member(found.logs, lambda: classifier)]
        if sample is support and FLOOR in held_out and best != FLOOR:
            members.append(Member(held_out[FLOOR].logs, lambda: fit(FLOOR), USUAL_OF_FLOOR))
        if support.ngrams is not None:
            members += text_members(support, fold, found.y)
        blended, logits = blend(members, found.y, found.weights(shift))
        found = replace(found, logits=logits)
        classifier = blended.with_temperature(blended.temperature * found.temperature)
        if blended.temperature != classifier.temperature:  # which brings the labels without examples nearer
            classifier = put_absent_away(classifier, found.present)
    threshold = held_out_threshold(F.softmax(found.logits / found.temperature, 1), found.y)
    shift = shift_of_pool(classifier, support) if only is None else None
    offsets = offsets_of(objective, support, shift, found)
    return Choice(best, replace(classifier, threshold=threshold, shift=shift, offsets=offsets), expected, left_out)


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
        """The temperature of the lowest log-loss, with the doubt that few examples leave, and single ones."""
        return best_temperature([self.logits], [self.y], doubt=min(0.5, doubt_of(len(self.y)) + self.single))

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


def offsets_of(
    objective: Objective, support: Support, shift: Tensor | None, found: CrossValidated | None = None
) -> Tensor | None:
    """Return what log-probabilities in use gain [N] before a label is named, by held-out examples if there are any."""
    if objective == ACCURACY:
        return None
    if found is None:
        present, counts = support.y.unique(return_counts=True)
        own = naming_offsets(objective, (counts / len(support.y)).numpy())
    else:
        present = found.present
        own = naming_offsets(objective, found.frequencies(shift), found.proba(shift), found.y, found.weights(shift))
    return torch.zeros(support.ways).index_copy(0, present, torch.from_numpy(own).float())


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
