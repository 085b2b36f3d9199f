"""A strategy on features blended with words: each is wrong about other examples."""

from dataclasses import replace

from torch import Tensor
from torch.nn import functional as F

from learners.choice.all_labels import extend_to_all_labels
from learners.classifier import Blend, Classifier
from learners.plain.words import cross_fit_words
from learners.support import Support
from learners.temperature import best_temperature

GRID = tuple(i / 10 for i in range(11))  # shares of words that are tried


def blend_with_words(
    classifier: Classifier, logits: Tensor, support: Support, fold: Tensor, y: Tensor, weights: Tensor
) -> tuple[Classifier, Tensor]:
    """Return a classifier blended with words at the share whose held-out log-loss is lowest, and its held-out logits.

    Args:
        classifier: at the temperature of its held-out ``logits`` [H, C], over the labels that have an example.
        fold: [S] of the support's examples; y: [H] the labels of those held out; weights: [H] of their losses.
    """
    present, compact = support.compact()
    own, fit = cross_fit_words(compact, fold)
    heat = best_temperature([own], [y], doubt=1 / (len(y) + 2))
    logs = F.log_softmax(logits / classifier.temperature, 1), F.log_softmax(own / heat, 1)

    def loss(share: float) -> float:
        z = (1 - share) * logs[0] + share * logs[1]
        each = F.cross_entropy(z / best_temperature([z], [y]), y, reduction="none")
        return float((each.double() * weights).mean())

    share = min(GRID, key=loss)
    if share == 0:
        return classifier, logits
    members = classifier, extend_to_all_labels(replace(fit(), temperature=heat), present, support.ways)
    return Classifier((Blend(members, (1 - share, share)),)), (1 - share) * logs[0] + share * logs[1]
