"""Learners of one kind of label as one: a pool of opinions of equal weight."""

from collections.abc import Mapping

from learners.base import Learner
from learners.capabilities import Capabilities
from learners.classifier import Classifier, PooledOpinions
from learners.support import Support


class OpinionPool(Learner):
    """p(y | x) ~ prod_e p_e(y | x)^(1/E), the logarithmic pool of E learners, each adapted to the same support.

    Their errors differ, so that on average over days the pool loses less than its members do, and it never loses more
    than the mean of their losses (the logarithm is concave). Nothing here is trained; ``LogPool`` learns weights.

    C. Genest, J. V. Zidek. Combining probability distributions: a critique and an annotated bibliography. Statistical
    Science 1, 1986. https://doi.org/10.1214/ss/1177013825

    Args:
        members: at least one learner; all are for the same labels, which mean the same in every domain.
    """

    name = "opinion_pool"
    capabilities = Capabilities(meta_trained=False, fixed_ways=True)

    def __init__(self, members: Mapping[str, Learner]) -> None:
        first = next(iter(members.values()))
        super().__init__(first.dim, first.ways)
        self.members = list(members.values())  # not as modules: they are somebody else's, who stores them

    def adapt(self, support: Support) -> Classifier:
        return Classifier((PooledOpinions(tuple(member.adapt(support) for member in self.members)),))
