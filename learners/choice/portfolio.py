"""Choose how to adapt: cross-validation inside the support set, with a prior from source domains."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional as F

from learners.base import Learner, unable
from learners.choice.all_labels import adapt_to_all_labels
from learners.choice.blending import blend_with_words
from learners.choice.conformal import held_out_threshold
from learners.choice.cross_validation import cross_validate, stratified_folds
from learners.choice.fallback import fallback
from learners.choice.prior import Prior, describe_support
from learners.choice.temperature import best_temperature
from learners.classifier import Classifier
from learners.examples import Examples
from learners.shift.class_prior import prior_shift
from learners.support import Support

CAUTION = 0.5  # deviations taken off an expected gain, because a gain over the fallback is only an estimate
ALONE = 1.5  # the same where only the prior decides, as nothing can be held out
LARGEST_WEIGHT = 5.0  # of a held-out example, where the pool shows other class frequencies than the labels
HOPELESS = 2.0  # a strategy is not tried if its expected gain is so many deviations below 0


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
) -> Choice:
    """Adapt with every strategy and keep the one whose expected gain over the fallback is highest.

    A strategy's gain g is normal around what similar source episodes say, N(m, s^2). Cross-validation inside the
    support set measures d with standard error e (paired over the S examples), so that

        E[g | d] = (m / s^2 + d / e^2) / (1 / s^2 + 1 / e^2),

    from which CAUTION standard deviations are taken off. A strategy is dropped if its held-out log-loss is
    significantly above the fallback's: with few examples the log-loss says more than the accuracy. A strategy that
    source episodes rule out is not tried, and one that cannot adapt to the support set is left out.

    With one shot nothing can be held out, and the prior alone decides, by the gain that is reached 14 times in 15. The
    fallback's gain is 0, so a strategy is taken only if it is expected to do better. The temperature minimises the
    held-out log-loss, smoothed for the few examples, and the threshold of prediction sets is a quantile of the held-out
    probabilities. Where nothing is held out, both come from the prior.

    Args:
        support: its ``ways`` are the labels of the domain, of which some may have no example.
        only: take this strategy, whatever is expected of it.
        in_time: the examples to predict lie after the support set and differ from it. Cross-validation inside the
            support set would favour what fits its days, so the prior, learned on episodes in time, decides alone.

    Raises:
        ValueError: the support set is unsound, or the strategy ``only``, or every strategy, cannot adapt to it.
    """
    left_out = {name: reason for name, learner in strategies.items() if (reason := unable(learner, support))}
    if only in left_out:
        raise ValueError(f"{only} cannot be used here: {left_out[only]}; take another method, or auto")
    if len(left_out) == len(strategies):
        raise ValueError("; ".join(f"{name}: {reason}" for name, reason in left_out.items()))
    strategies = {name: learner for name, learner in strategies.items() if name not in left_out}
    safe = fallback(strategies)
    fold = None if in_time else stratified_folds(support.y, generator)
    held_out = cross_validate({safe: strategies[safe]}, support, fold)
    description = describe_support(support, held_out, fold)
    gains = {name: prior.expected_gain(name, description) for name in strategies if name != safe}
    tried = [name for name, gain in gains.items() if gain.mean + HOPELESS * gain.deviation > 0 or name == only]
    held_out |= cross_validate({name: strategies[name] for name in tried}, support, fold)
    expected = {safe: 0.0}
    present, every = support.y.unique(return_inverse=True)
    compact = every if fold is None else every[fold >= 0]
    logits = {name: z[:, present] for name, z in held_out.items()}
    doubt = 1 / (len(compact) + 2)  # that one more example is wrong, by Laplace's rule of succession
    temperatures = {name: best_temperature([z], [compact], doubt=doubt) for name, z in logits.items()}
    losses = {n: F.cross_entropy(z / temperatures[n], compact, reduction="none") for n, z in logits.items()}
    weights = torch.ones(len(compact), dtype=torch.double)
    if held_out and support.pool_x is not None:
        plain = adapt_to_all_labels(strategies[safe], support, temperatures[safe])
        shift = _shift_of_pool(plain, support)
        if shift is not None:
            weights = shift.double().exp()[present][compact].clamp(1 / LARGEST_WEIGHT, LARGEST_WEIGHT)
            weights = weights / weights.mean()
    for name in tried:
        if held_out and is_significantly_above(losses[name], losses[safe], weights):
            continue
        gain = gains[name]
        expected[name], deviation = gain.mean, gain.deviation
        if held_out:
            mine, theirs = (z.argmax(1) == compact for z in (logits[name], logits[safe]))
            difference = (mine.double() - theirs.double()) * weights
            error2 = (difference.var().item() + 1 / len(difference)) / len(difference)
            trust, belief = 1 / error2, 1 / max(gain.deviation, 1e-3) ** 2
            expected[name] = (gain.mean * belief + difference.mean().item() * trust) / (belief + trust)
            deviation = (belief + trust) ** -0.5
        expected[name] -= (CAUTION if held_out or in_time else ALONE) * deviation
    best = only or max(expected, key=lambda name: (expected[name], name == safe))
    temperature = temperatures[best] if held_out else prior.temperatures.get(best, 1.0)
    threshold = prior.thresholds[best] / support.ways if best in prior.thresholds else None
    classifier = adapt_to_all_labels(strategies[best], support, temperature)
    if held_out:
        chosen = logits[best]
        if only is None and support.ngrams is not None:
            classifier, chosen = blend_with_words(classifier, chosen, support, fold, compact, weights)
            temperature = best_temperature([chosen], [compact], doubt=doubt)
            classifier = classifier.with_temperature(temperature)
        p = F.softmax(chosen / temperature, 1)
        threshold = held_out_threshold(p, compact)
        if only is None:
            classifier = replace(classifier, shift=_shift_of_pool(classifier, support))
    return Choice(best, replace(classifier, threshold=threshold), expected, left_out)


def _shift_of_pool(classifier: Classifier, support: Support) -> Tensor | None:
    """Return what to add to the logits [N] of a classifier for examples like those of the pool, or None.

    Its probabilities are taken to be under the class prior of the support.
    """
    if support.pool_x is None or not len(support.pool_x):
        return None
    pool: Tensor | Examples = support.pool_x
    if support.pool_ngrams is not None:
        pool = Examples(support.pool_x, support.pool_ngrams)
    present, counts = support.y.unique(return_counts=True)
    with torch.no_grad():
        log_p = F.log_softmax(classifier.logits(pool)[:, present] / classifier.temperature, 1)
    shift = prior_shift(log_p, counts.double() / len(support.y), len(support.y) / len(present))
    return None if shift is None else torch.zeros(support.ways).index_copy(0, present, shift)


def is_significantly_above(losses: Tensor, others: Tensor, weights: Tensor) -> bool:
    """Whether paired losses [S], weighted, are higher on average by more than their standard error."""
    difference = (losses - others) * weights
    return bool(difference.mean() > difference.std() / len(difference) ** 0.5)
