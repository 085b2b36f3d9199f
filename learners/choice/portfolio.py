"""Choose how to adapt: cross-validation inside the support set, with a prior from source domains."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional as F

from learners.base import Learner, unable
from learners.choice.all_labels import adapt_to_all_labels
from learners.choice.conformal import held_out_threshold
from learners.choice.cross_validation import cross_validate, stratified_folds
from learners.choice.fallback import fallback
from learners.choice.prior import Prior, describe_support
from learners.choice.temperature import best_temperature
from learners.classifier import Classifier
from learners.support import Support

CAUTION = 0.5  # deviations that an expected gain is marked down by, for the probe is known and the rest is hoped for
ALONE = 1.5  # the same where the prior decides on a new kind of domain and nothing can be held out to correct it
HOPELESS = 2.0  # a strategy whose expected gain is so many deviations below 0 is not tried


@dataclass(frozen=True)
class Choice:
    """The strategy chosen, its calibrated classifier with its threshold, and every strategy's expected gain."""

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
        support: its ``ways`` are the labels of the domain, of which some may have no example.
        only: take this strategy, whatever is expected of it.
        in_time: what is to be predicted lies after the support, and differs from it. Cross-validation inside the
            support would flatter what fits its days; the prior, learned on episodes in time, decides alone.
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
    description = describe_support(support, held_out)
    gains = {name: prior.expected_gain(name, description) for name in strategies if name != safe}
    tried = [name for name, gain in gains.items() if gain.mean + HOPELESS * gain.deviation > 0 or name == only]
    held_out |= cross_validate({name: strategies[name] for name in tried}, support, fold)
    expected = {safe: 0.0}
    present, compact = support.y.unique(return_inverse=True)
    logits = {name: z[:, present] for name, z in held_out.items()}
    doubt = 1 / (len(compact) + 2)  # of one more example, by Laplace's rule of succession where all were right
    temperatures = {name: best_temperature([z], [compact], doubt=doubt) for name, z in logits.items()}
    losses = {n: F.cross_entropy(z / temperatures[n], compact, reduction="none") for n, z in logits.items()}
    for name in tried:
        if held_out and is_significantly_above(losses[name], losses[safe]):
            continue
        gain = gains[name]
        expected[name], deviation = gain.mean, gain.deviation
        if held_out:
            mine, theirs = (held_out[s].argmax(1) == support.y for s in (name, safe))
            difference = mine.double() - theirs.double()
            error2 = (difference.var().item() + 1 / len(difference)) / len(difference)
            trust, belief = 1 / error2, 1 / max(gain.deviation, 1e-3) ** 2
            expected[name] = (gain.mean * belief + difference.mean().item() * trust) / (belief + trust)
            deviation = (belief + trust) ** -0.5
        expected[name] -= (CAUTION if held_out or in_time else ALONE) * deviation
    best = only or max(expected, key=lambda name: (expected[name], name == safe))
    temperature = temperatures[best] if held_out else prior.temperatures.get(best, 1.0)
    threshold = prior.thresholds[best] / support.ways if best in prior.thresholds else None
    if held_out:
        threshold = held_out_threshold(F.softmax(logits[best] / temperature, 1), compact)
    classifier = adapt_to_all_labels(strategies[best], support, temperature)
    return Choice(best, replace(classifier, threshold=threshold), expected, left_out)


def is_significantly_above(losses: Tensor, others: Tensor) -> bool:
    """Whether paired losses [S] are higher on average by more than their standard error."""
    difference = losses - others
    return bool(difference.mean() > difference.std() / len(difference) ** 0.5)
