"""Meta-learning algorithms, encoders and the choice between them: pure torch."""

from learners.base import Learner
from learners.logistic import Logistic
from learners.maml import MAML
from learners.pooled import Pooled
from learners.protonet import ProtoNet
from learners.prototype import NearestPrototype
from learners.reference import Reference, Transductive, Whitened
from learners.reference_shared import SharedReference
from learners.scratch import Scratch

#: Plain baselines: what a user would do without other domains.
BASELINES: tuple[type[Learner], ...] = (Logistic, NearestPrototype, Scratch)
#: Learners that are meta-trained: where every domain has labels of its own, and where all share them.
META: tuple[type[Learner], ...] = (ProtoNet, MAML, Reference)
META_SHARED: tuple[type[Learner], ...] = (Pooled, ProtoNet, MAML, SharedReference)
#: Strategies the portfolio chooses from, besides the meta-trained learners.
PLAIN_STRATEGIES: tuple[type[Learner], ...] = (Logistic, NearestPrototype, Whitened, Transductive)


def make(name: str, dim: int, ways: int | None = None) -> Learner:
    """Return a new learner by name.

    Raises:
        ValueError: no learner has that name.
    """
    kinds = {kind.name: kind for kind in (*BASELINES, *PLAIN_STRATEGIES, *(META if ways is None else META_SHARED))}
    if name not in kinds:
        raise ValueError(f"no learner {name!r}; there are: {', '.join(kinds)}")
    return kinds[name](dim, ways)
