"""Choose how to adapt: cross-validation inside the support set, with a prior from source domains."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional as F

from domains.objective import ACCURACY, Objective
from learners.base import Learner
from learners.choice.all_labels import put_absent_away
from learners.choice.blending import (
    USUAL_OF_ENCODER,
    Member,
    blend,
    opinion_member,
    pooled,
    text_members,
)
from learners.choice.comparison import Compared, CrossValidated, compare, select_able
from learners.choice.conformal import held_out_threshold
from learners.choice.prior import Prior
from learners.choice.unseen import some_of_pool
from learners.classifier import Classifier
from learners.folds import sample_rows, stratified_folds
from learners.objective import naming_offsets
from learners.shift.class_prior import shift_of_pool
from learners.support import Support

MOST_COMPARED = 20_000  # examples that strategies are compared on
SURE = 0.1  # deviation of the logarithm of a blend's temperature from 0, where those of its members were expected


@dataclass(frozen=True)
class Choice:
    """A calibrated classifier with its threshold, the strategy that it is named after, and what became of the others.

    Attributes:
        strategy: the best for the first encoder's features.
        expected_gain: over the fallback, of every strategy that was compared on these.
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
    others: Sequence[Mapping[str, Learner]] = (),
) -> Choice:
    """Adapt with every strategy and average them, each by its chance of gaining the most over the fallback.

    A strategy's gain g is normal around what similar source episodes say, N(m, s^2). Cross-validation inside the
    support set measures d with standard error e (paired over the S examples), so that

        E[g | d] = (m / s^2 + d / e^2) / (1 / s^2 + 1 / e^2),

    from which CAUTION standard deviations are taken off; the fallback's gain is 0. The highest names the choice, and
    ``chances_of_best`` are the weights of the average. A strategy is dropped if its held-out log-loss is significantly
    above the fallback's: with few examples the log-loss says more than the accuracy. One that source episodes rule out
    is not tried, and one that cannot adapt to the support set is left out. Where the linear probe weighs something, its
    form with a tuned strength takes its place if its held-out log-loss is lower. The averages of several encoders, and
    what words and a network say, are blended by held-out examples.

    Of more than MOST_COMPARED examples, so many by chance decide which strategy to take, and that one alone is fitted
    to all of them.

    Every strategy has a temperature, which is expected by source episodes and updated by held-out examples, and the
    threshold of prediction sets is a quantile of held-out probabilities. With one shot nothing can be held out: the
    prior alone gives weights and temperatures, and ``Unseen`` the temperature of the average, and its threshold.

    Args:
        support: its ``ways`` are the labels of the domain, of which some may have no example.
        only: take this strategy of the first encoder, whatever is expected of it, and nothing besides.
        in_time: the examples to predict lie after the support set and differ from it. Cross-validation inside the
            support set would favour what fits its days, so the prior, learned on episodes in time, decides alone.
        objective: what strategies are compared by, and what the labels that the classifier names are to be best in.
        others: strategies for the features of each further encoder, of ``support.widths``. Where there are fewer, the
            features of the last ones are log-probabilities of the labels (``opinion_member``).

    Raises:
        ValueError: the support set is unsound, or the strategy ``only``, or every strategy, cannot adapt to it.
    """
    strategies, left_out = select_able(strategies, support.of_encoder(0), only)
    sample = support
    if len(support.y) > MOST_COMPARED:
        sample = support.select(sample_rows(support.y, MOST_COMPARED, generator))
    fold = None if in_time else stratified_folds(sample.y, generator)
    found = [
        compare(every, sample, encoder, prior, fold, only, objective)
        for encoder, every in enumerate((strategies, *(() if only else others)))
    ]
    first = found[0]
    if fold is None:
        if only is None and not in_time:
            classifier, threshold = average_unseen(found, support, prior)
        else:
            classifier, threshold = first.fit(first.best), prior.thresholds.get(first.best)
        threshold = None if threshold is None else threshold / support.ways
        shift, offsets = None, offsets_of(objective, support, None)
    else:
        if sample is support:
            held_out = first.held_out[first.best]
            members = [first.member(only, 1.0)] if only else [each.averaged(USUAL_OF_ENCODER) for each in found]
        else:
            fold = stratified_folds(support.y, generator)
            assert fold is not None
            whole = [each.best_of_all(support, fold, USUAL_OF_ENCODER) for each in found]
            held_out, members = whole[0][0], [member for _, member in whole]
        if only is None:
            encoders = range(len(found), len(support.widths))
            members += [opinion_member(support.of_encoder(number), fold, held_out.y) for number in encoders]
            if support.ngrams is not None:
                members += text_members(support.of_encoder(0), fold, held_out.y)
        classifier, held_out, in_use = blend_calibrated(members, held_out, first.shift, alone=only is not None)
        shift = None if only else shift_of_pool(classifier, support)
        threshold = held_out_threshold(F.softmax(in_use, 1), held_out.y)
        offsets = offsets_of(objective, support, shift, held_out)
    classifier = replace(classifier, threshold=threshold, shift=shift, offsets=offsets)
    return Choice(first.best, classifier, first.expected, left_out)


def average_unseen(found: Sequence[Compared], support: Support, prior: Prior) -> tuple[Classifier, float | None]:
    """Return the average of all encoders' strategies where nothing can be held out, and its threshold by chance."""
    whole = pooled([(each.fit_average(), 1 / len(found)) for each in found])
    temperature, threshold, present = 1.0, None, support.y.unique()
    if prior.unseen is not None:
        pool = some_of_pool(support)
        logs = None if pool is None else F.log_softmax(whole.logits(pool)[:, present] / whole.temperature, 1)
        temperature, threshold = prior.unseen.temperature(len(present), logs), prior.unseen.threshold
    return put_absent_away(whole.with_temperature(whole.temperature * temperature), present), threshold


def blend_calibrated(
    members: Sequence[Member], held_out: CrossValidated, shift: Tensor | None, alone: bool
) -> tuple[Classifier, CrossValidated, Tensor]:
    """Return the blend of members at its temperature, what it says of the held-out examples, and its logits in use.

    Members whose temperatures were expected make a blend whose temperature is expected to be 1.

    Args:
        held_out: what the first member says of them.
        shift: of the pool.
        alone: there is one member, whose temperature is left as it is.
    """
    blended, logits, in_use = blend(members, held_out.y, held_out.weights(shift))
    if alone:
        return blended, held_out, in_use
    found = replace(held_out, logits=logits, around=None if held_out.around is None else 1.0, deviation=SURE)
    classifier = blended.with_temperature(blended.temperature * found.temperature)
    if blended.temperature != classifier.temperature:  # which brings the labels without examples nearer
        classifier = put_absent_away(classifier, found.present)
    return classifier, found, in_use / found.temperature


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
