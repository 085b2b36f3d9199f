"""Learners of one kind of label as one: a pool of opinions of equal weight."""

from collections.abc import Mapping

from torch import Tensor

from learners.base import Learner
from learners.classifier import Classifier, Pool


class OpinionPool(Learner):
    """p(y | x) ~ prod_e p_e(y | x)^(1/E), the logarithmic pool of E learners, each adapted to the same support.

    Their errors are not the same, so that on average over days the pool loses less than its members do, and never more
    than the mean of their losses (the logarithm is concave). Nothing here is trained; ``LogPool`` learns weights.

    C. Genest, J. Zidek. Combining probability distributions. Statistical Science 1, 1986.

    Args:
        members: at least one; all of the same labels, which mean the same everywhere.
    """

    name = "opinion_pool"
    meta_trained = False

    def __init__(self, members: Mapping[str, Learner]) -> None:
        first = next(iter(members.values()))
        super().__init__(first.dim, first.ways)
        self.members = list(members.values())  # not as modules: they are somebody else's, who stores them

    def adapt(self, support_x: Tensor, support_y: Tensor, pool_x: Tensor | None = None) -> Classifier:
        return Classifier((Pool(tuple(member.adapt(support_x, support_y, pool_x) for member in self.members)),))
