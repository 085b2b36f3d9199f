"""Strategies blended with each other and with words: each is wrong about other examples."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional as F

from learners.choice.all_labels import extend_to_all_labels
from learners.classifier import Affine, Blend, Classifier
from learners.plain.network import cross_fit_network, is_worth_training
from learners.plain.words import cross_fit_words
from learners.shift.class_prior import evenness
from learners.support import Support
from learners.temperature import best_temperature, doubt_of

GRID = tuple(i / 10 for i in range(11))  # shares that are tried
#: Shares that members have as a rule, which count as much as what is seen on so many held-out examples: of a dozen
#: examples the best share is chance. Where all say that a member is of no use, its share ends below LEAST, and it goes.
USUAL_OF_FLOOR, USUAL_OF_WORDS, USUAL_OF_NETWORK, USUAL_OF_ENCODER = 0.4, 0.2, 0.3, 0.5
USUAL_EXAMPLES, LEAST = 40, 0.05
USUAL_UNSEEN, UNSEEN = 0.3, 2.0  # share of the floor, and factor of temperatures, where nothing can be held out


@dataclass(frozen=True)
class Member:
    """What may have a share in a blend.

    Attributes:
        logs: [H, C] calibrated log-probabilities of the held-out examples, over the labels that have an example.
        fit: returns the classifier of the whole support set, at the temperature of ``logs``.
        usual: its share as a rule.
    """

    logs: Tensor
    fit: Callable[[], Classifier]
    usual: float = 1.0


def blend(members: Sequence[Member], y: Tensor, weights: Tensor) -> tuple[Classifier, Tensor]:
    """Return a logarithmic pool of members, and its held-out logits [H, C].

    Members join one after the other, each at the share s of GRID at which the held-out log-loss is lowest, at the best
    temperature, drawn towards its usual share u: (H s + m u) / (H + m), with m = USUAL_EXAMPLES. The first stays alone
    where no other helps (R. Caruana et al. Ensemble selection from libraries of models. ICML 2004.
    https://doi.org/10.1145/1015330.1015432).

    Args:
        y: [H] labels of the held-out examples; weights: [H] of their losses.
    """
    z, shares = members[0].logs, [1.0]
    for member in members[1:]:

        def loss(share: float, z: Tensor = z, logs: Tensor = member.logs) -> float:
            mixed = (1 - share) * z + share * logs
            each = F.cross_entropy(mixed / best_temperature([mixed], [y]), y, reduction="none")
            return float((each.double() * weights).mean())

        share = (len(y) * min(GRID, key=loss) + USUAL_EXAMPLES * member.usual) / (len(y) + USUAL_EXAMPLES)
        share = share if share >= LEAST else 0.0
        z = (1 - share) * z + share * member.logs
        shares = [*((1 - share) * before for before in shares), share]
    kept = [(member.fit(), share) for member, share in zip(members, shares, strict=True) if share > 0]
    if len(kept) == 1:
        return kept[0][0], z
    return Classifier((Blend(*map(tuple, zip(*kept, strict=True))),)), z


def blend_unseen(bests: Sequence[Classifier], floor: Classifier | None) -> Classifier:
    """Return the blend of the best strategies, and the floor, where nothing can be held out: one example a class.

    The floor has USUAL_UNSEEN, and the temperature is UNSEEN times as high as source episodes say: a new domain is
    harder than those that strategies were trained on, and the pool may be far from even.
    """
    if floor is None and len(bests) == 1:
        return bests[0].with_temperature(bests[0].temperature * UNSEEN)
    rest = 1.0 if floor is None else 1 - USUAL_UNSEEN
    members = [(best, rest / len(bests)) for best in bests]
    if floor is not None:
        members.append((floor, USUAL_UNSEEN))
    return Classifier((Blend(*map(tuple, zip(*members, strict=True))),), temperature=UNSEEN)


def opinion_member(support: Support, fold: Tensor, y: Tensor) -> Member:
    """Return what may join where the features [S, N] are log-probabilities of all labels already.

    Those of a labelled example are by a model that did not see it, as an encoder that was tuned gives them.

    Args:
        fold: [S] of the support's examples; y: [H] the labels of those held out, among those that have an example.
    """
    present = support.y.unique()
    own = support.x[fold >= 0][:, present]
    heat = best_temperature([own], [y], doubt=doubt_of(len(y)))

    def fit() -> Classifier:
        of_present = Affine(torch.eye(support.ways)[present], torch.zeros(len(present)))
        whole = extend_to_all_labels(Classifier((of_present,), temperature=heat), present, support.ways)
        return support.reading(whole)

    return Member(F.log_softmax(own / heat, 1), fit, USUAL_OF_ENCODER)


def text_members(support: Support, fold: Tensor, y: Tensor) -> Iterator[Member]:
    """Yield what may join the strategy that reads the vectors of texts: words, and with many labels a network.

    Where a few labels come unevenly, words say the most frequent one too often, and have a smaller share as a rule.

    Args:
        fold: [S] of the support's examples; y: [H] the labels of those held out, among those that have an example.
    """
    present, compact = support.compact()
    usual_of_words = USUAL_OF_WORDS * evenness(compact.y.bincount() / len(compact.y))
    found = []
    if is_worth_training(compact):
        logits, train = cross_fit_network(compact, fold)
        found.append(((logits, lambda: support.reading(train())), USUAL_OF_NETWORK))
    for (own, fit), usual in (*found, (cross_fit_words(compact, fold), usual_of_words)):
        heat = best_temperature([own], [y], doubt=doubt_of(len(y)))

        def whole(fit: Callable[[], Classifier] = fit, heat: float = heat) -> Classifier:
            return extend_to_all_labels(replace(fit(), temperature=heat), present, support.ways)

        yield Member(F.log_softmax(own / heat, 1), whole, usual)
