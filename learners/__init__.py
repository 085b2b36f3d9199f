"""Meta-learning algorithms, bodies, encoders and the choice between learners: pure torch."""

from collections.abc import Mapping

from learners.base import Learner
from learners.bodies import Body
from learners.choice.opinion_pool import OpinionPool
from learners.market.ordinal import Ordinal
from learners.market.pooled import Pooled
from learners.methods.anil import ANIL
from learners.methods.caml import CAML
from learners.methods.cnaps import CNAPs
from learners.methods.finetune import Finetune
from learners.methods.fomaml import FOMAML
from learners.methods.leo import LEO
from learners.methods.lstm_learner import LSTMLearner
from learners.methods.maml import MAML
from learners.methods.maml_plus_plus import MAMLPlusPlus
from learners.methods.matching import MatchingNet
from learners.methods.meta_sgd import MetaSGD
from learners.methods.protonet import ProtoNet
from learners.methods.reference import Reference, Transductive, Whitened
from learners.methods.reference_shared import SharedReference
from learners.methods.relation import RelationNet
from learners.methods.reptile import Reptile
from learners.methods.ridge import Ridge
from learners.methods.svm import SVMHead
from learners.plain.logistic import Logistic
from learners.plain.prototype import NearestPrototype
from learners.plain.scratch import Scratch
from learners.representation.layers import EveryLayer, LastLayer, OnLayers

#: Plain baselines: what a user would do without other domains.
BASELINES: tuple[type[Learner], ...] = (Logistic, NearestPrototype, Scratch)
#: Strategies the portfolio chooses from, besides the meta-trained learners.
PLAIN_STRATEGIES: tuple[type[Learner], ...] = (Logistic, NearestPrototype, Whitened, Transductive)

LAYERED_PROBE = "logistic on layers"

#: Learners that are meta-trained by episodes, whatever the labels.
META: tuple[type[Learner], ...] = (
    *(MAML, FOMAML, Reptile, ANIL, MetaSGD, MAMLPlusPlus),
    *(ProtoNet, MatchingNet, RelationNet, Ridge, SVMHead),
    *(CAML, CNAPs, LSTMLearner, LEO),
)
#: Those besides: where every domain has labels of its own, and where all share them (markets).
OWN_LABELS: tuple[type[Learner], ...] = (Reference,)
SHARED_LABELS: tuple[type[Learner], ...] = (Pooled, Ordinal, SharedReference)


def trainable(shared: bool) -> list[str]:
    """Return the names of the learners that can be meta-trained by episodes."""
    own: tuple[type[Learner], ...] = SHARED_LABELS if shared else OWN_LABELS
    return [kind.name for kind in META + own]


def make(name: str, body: int | Body, ways: int | None = None, last: int | None = None) -> Learner:
    """Return a new learner by name, on features of a length or with a body of its own.

    Args:
        last: the features are of several layers, so many of them of the last one: baselines read those, the others
            ``EveryLayer``.

    Raises:
        ValueError: no learner has that name, or it reads features alone and is given a body.
    """
    own: tuple[type[Learner], ...] = OWN_LABELS if ways is None else SHARED_LABELS
    every: tuple[type[Learner], ...] = (*BASELINES, *PLAIN_STRATEGIES, Finetune, *META, *own)
    kinds = {kind.name: kind for kind in every}
    if name not in kinds:
        raise ValueError(f"no learner {name!r}; there are: {', '.join(kinds)}")
    if isinstance(body, Body) and kinds[name].capabilities.examples == "features":
        raise ValueError(f"{name} reads the vectors of a frozen encoder: give their length, not {body.name}")
    if last is None or isinstance(body, Body):
        return kinds[name](body, ways)
    if kinds[name] in BASELINES:
        return OnLayers(kinds[name](last, ways), LastLayer(last), body)
    return OnLayers(kinds[name](body, ways), EveryLayer(), body)


def baselines(dim: int, last: int | None = None) -> dict[str, Learner]:
    """Return the plain baselines by name; ``last`` as for ``make``."""
    return {kind.name: make(kind.name, dim, None, last) for kind in BASELINES}


def plain_strategies(dim: int, last: int | None = None) -> dict[str, Learner]:
    """Return the portfolio's strategies that are not meta-trained; ``last`` as for ``make``."""
    found = {kind.name: make(kind.name, dim, None, last) for kind in PLAIN_STRATEGIES}
    return found if last is None else found | {LAYERED_PROBE: OnLayers(Logistic(dim), EveryLayer(), dim)}


def strategies(learners: Mapping[str, Learner], dim: int, last: int | None = None) -> dict[str, Learner]:
    """Return what the portfolio chooses from: plain strategies, meta-trained learners and the pool of those of markets.

    ``last`` as for ``make``.
    """
    forecasters = {kind.name: learners[kind.name] for kind in SHARED_LABELS if kind.name in learners}
    pooled = {OpinionPool.name: OpinionPool(forecasters)} if len(forecasters) > 1 else {}
    return plain_strategies(dim, last) | dict(learners) | pooled
