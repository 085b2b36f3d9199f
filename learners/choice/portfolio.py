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
    USUAL_OF_FLOOR,
    Member,
    blend,
    blend_unseen,
    opinion_member,
    text_members,
)
from learners.choice.comparison import ALONE, CAUTION, FLOOR, CrossValidated, compare, select_able
from learners.choice.conformal import held_out_threshold
from learners.choice.prior import Prior
from learners.classifier import Classifier
from learners.folds import sample_rows, stratified_folds
from learners.objective import naming_offsets
from learners.shift.class_prior import shift_of_pool
from learners.support import Support

MOST_COMPARED = 20_000  # examples that strategies are compared on


@dataclass(frozen=True)
class Choice:
    """The best strategy, its calibrated classifier with its threshold, and what became of the others.

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
    """Adapt with every strategy and keep the one whose expected gain over the fallback is highest.

    A strategy's gain g is normal around what similar source episodes say, N(m, s^2). Cross-validation inside the
    support set measures d with standard error e (paired over the S examples), so that

        E[g | d] = (m / s^2 + d / e^2) / (1 / s^2 + 1 / e^2),

    from which CAUTION standard deviations are taken off. A strategy is dropped if its held-out log-loss is
    significantly above the fallback's: with few examples the log-loss says more than the accuracy. A strategy that
    source episodes rule out is not tried, and one that cannot adapt to the support set is left out. Where the linear
    probe is best, it is taken with a tuned strength if its held-out log-loss is then lower. Where features are of
    several encoders, the best strategy of each is blended with that of the first.

    Of more than MOST_COMPARED examples, so many by chance decide which strategy to take, and that one alone is fitted
    to the others too.

    With one shot nothing can be held out, and the prior alone decides, by the gain that is reached 14 times in 15. The
    fallback's gain is 0, so a strategy is taken only if it is expected to do better. The temperature minimises the
    held-out log-loss, smoothed for the few examples, and the threshold of prediction sets is a quantile of the held-out
    probabilities. Where nothing is held out, both come from the prior, and ``blend_unseen`` makes them more cautious.

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
    caution = CAUTION if in_time else ALONE
    found = [
        compare(every, sample, encoder, prior, fold, only, caution, objective)
        for encoder, every in enumerate((strategies, *(() if only else others)))
    ]
    first = found[0]
    if fold is None:
        bests = [each.fit(each.best, prior.temperatures.get(each.best, 1.0)) for each in found]
        classifier = bests[0]
        if only is None and not in_time and FLOOR in strategies:
            floor = None
            if len(found) > 1 or first.best != FLOOR:
                floor = first.fit(FLOOR, prior.temperatures.get(FLOOR, 1.0))
            classifier = put_absent_away(blend_unseen(bests, floor), support.y.unique())
        threshold = prior.thresholds[first.best] / support.ways if first.best in prior.thresholds else None
        shift, offsets = None, offsets_of(objective, support, None)
    else:
        if sample is support:
            held_out = first.held_out[first.best]
            members = [each.member(each.best, USUAL_OF_ENCODER) for each in found]
            if FLOOR in first.held_out and first.best != FLOOR:
                members.append(first.member(FLOOR, USUAL_OF_FLOOR))
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
            classifier, held_out = blend_calibrated(members, held_out, first.shift)
            shift = shift_of_pool(classifier, support)
        else:
            classifier, shift = members[0].fit(), None
        threshold = held_out_threshold(F.softmax(held_out.logits / held_out.temperature, 1), held_out.y)
        offsets = offsets_of(objective, support, shift, held_out)
    classifier = replace(classifier, threshold=threshold, shift=shift, offsets=offsets)
    return Choice(first.best, classifier, first.expected, left_out)


def blend_calibrated(
    members: Sequence[Member], held_out: CrossValidated, shift: Tensor | None
) -> tuple[Classifier, CrossValidated]:
    """Return the blend of members at its temperature, and what it says of the held-out examples.

    Args:
        held_out: what the first member says of them.
        shift: of the pool.
    """
    blended, logits = blend(members, held_out.y, held_out.weights(shift))
    found = replace(held_out, logits=logits)
    classifier = blended.with_temperature(blended.temperature * found.temperature)
    if blended.temperature != classifier.temperature:  # which brings the labels without examples nearer
        classifier = put_absent_away(classifier, found.present)
    return classifier, found


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
