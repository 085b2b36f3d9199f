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
USUAL_OF_WORDS, USUAL_OF_NETWORK, USUAL_OF_ENCODER = 0.2, 0.3, 0.5
USUAL_EXAMPLES, LEAST = 40, 0.05


@dataclass(frozen=True)
class Member:
    """What may have a share in a blend.

    Attributes:
        logs: [H, C] calibrated log-probabilities of the held-out examples, over the labels that have an example.
        fit: returns the classifier of the whole support set.
        usual: its share as a rule.
        in_use: ``logs`` at the temperature of that classifier, where it is another.
    """

    logs: Tensor
    fit: Callable[[], Classifier]
    usual: float = 1.0
    in_use: Tensor | None = None


def blend(members: Sequence[Member], y: Tensor, weights: Tensor) -> tuple[Classifier, Tensor, Tensor]:
    """Return a logarithmic pool of members, its held-out logits [H, C], and the same at the members' ``in_use``.

    Members join one after the other, each at the share s of GRID at which the held-out log-loss is lowest, at the best
    temperature, drawn towards its usual share u: (H s + m u) / (H + m), with m = USUAL_EXAMPLES. The first stays alone
    where no other helps (R. Caruana et al. Ensemble selection from libraries of models. ICML 2004.
    https://doi.org/10.1145/1015330.1015432).

    Args:
        y: [H] labels of the held-out examples; weights: [H] of their losses.
    """
    z, shares = members[0].logs, [1.0]
    used = [member.logs if member.in_use is None else member.in_use for member in members]
    for member in members[1:]:

        def loss(share: float, z: Tensor = z, logs: Tensor = member.logs) -> float:
            mixed = (1 - share) * z + share * logs
            each = F.cross_entropy(mixed / best_temperature([mixed], [y]), y, reduction="none")
            return float((each.double() * weights).mean())

        share = (len(y) * min(GRID, key=loss) + USUAL_EXAMPLES * member.usual) / (len(y) + USUAL_EXAMPLES)
        share = share if share >= LEAST else 0.0
        z = (1 - share) * z + share * member.logs
        shares = [*((1 - share) * before for before in shares), share]
    whole = pooled([(member.fit(), share) for member, share in zip(members, shares, strict=True) if share > 0])
    return whole, z, torch.stack([share * logs for share, logs in zip(shares, used, strict=True)]).sum(0)


def pooled(members: Sequence[tuple[Classifier, float]]) -> Classifier:
    """Return the logarithmic pool of classifiers by their weights; those of a member that is a pool itself count."""
    if len(members) == 1:
        return members[0][0]
    flat: list[tuple[Classifier, float]] = []
    for member, weight in members:
        inner = member.layers[0]
        if len(member.layers) == 1 and isinstance(inner, Blend):
            scale = weight / member.temperature
            flat += [(own, scale * share) for own, share in zip(inner.members, inner.weights, strict=True)]
        else:
            flat.append((member, weight))
    return Classifier((Blend(*map(tuple, zip(*flat, strict=True))),))


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
