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
from learners.methods.versa import VERSA
from learners.plain.logistic import Logistic
from learners.plain.prototype import NearestPrototype
from learners.plain.scratch import Scratch
from learners.plain.tuned_logistic import TunedLogistic
from learners.representation.layers import EveryLayer, LastLayer, OnLayers
from learners.transductive.alpha_tim import AlphaTIM
from learners.transductive.laplacian_shot import LaplacianShot
from learners.transductive.paddle import PADDLE
from learners.transductive.pt_map import PTMAP

#: Plain baselines: what a user would do without other domains.
BASELINES: tuple[type[Learner], ...] = (Logistic, NearestPrototype, Scratch)
#: Strategies that the portfolio chooses from, besides the meta-trained learners.
PLAIN_STRATEGIES: tuple[type[Learner], ...] = (Logistic, TunedLogistic, NearestPrototype, Whitened, Transductive)

#: Published rivals that read the pool, and from which the portfolio does not choose.
TRANSDUCTIVE: tuple[type[Learner], ...] = (AlphaTIM, LaplacianShot, PTMAP, PADDLE)

LAYERED_PROBE = "logistic on layers"

#: Learners that are meta-trained by episodes, whatever the labels.
META: tuple[type[Learner], ...] = (
    *(MAML, FOMAML, Reptile, ANIL, MetaSGD, MAMLPlusPlus),
    *(ProtoNet, MatchingNet, RelationNet, Ridge, SVMHead),
    *(CAML, CNAPs, LSTMLearner, LEO, VERSA),
)
#: Learners besides those, where every domain has labels of its own.
OWN_LABELS: tuple[type[Learner], ...] = (Reference,)
#: Learners besides those, where all domains share their labels (markets), by what commands and files call them.
SHARED_LABELS: dict[str, type[Learner]] = {"pooled": Pooled, "ordinal": Ordinal, "reference": SharedReference}


def trainable(shared: bool) -> list[str]:
    """Return the names of the learners that can be meta-trained by episodes.

    Args:
        shared: all domains share their labels, as markets do.
    """
    return [kind.name for kind in META] + (list(SHARED_LABELS) if shared else [kind.name for kind in OWN_LABELS])


def kinds(shared: bool) -> dict[str, type[Learner]]:
    """Return the classes of all learners by name, where domains share their labels or where each has its own."""
    every = (
        *BASELINES,
        *PLAIN_STRATEGIES,
        *TRANSDUCTIVE,
        Finetune,
        *META,
        *(SHARED_LABELS.values() if shared else OWN_LABELS),
    )
    return {kind.name: kind for kind in every} | (SHARED_LABELS if shared else {})


def make(name: str, body: int | Body, ways: int | None = None, last: int | None = None) -> Learner:
    """Return a new learner by name.

    Args:
        body: the length of the feature vectors that it reads, or a body of its own for raw examples.
        ways: the number of labels that all domains share; None: each domain has labels of its own.
        last: the features are of several layers, so many of them of the last one. Baselines read only those, the others
            read every layer.

    Raises:
        ValueError: no learner has that name, or it reads only features and is given a body.
    """
    known = kinds(ways is not None)
    if name not in known:
        raise ValueError(f"no learner {name!r}; there are: {', '.join(known)}")
    kind = known[name]
    if isinstance(body, Body) and kind.capabilities.examples == "features":
        raise ValueError(f"{name} reads the vectors of a frozen encoder: give their length, not {body.name}")
    if last is None or isinstance(body, Body):
        return kind(body, ways)
    if kind in BASELINES:
        return OnLayers(kind(last, ways), LastLayer(last), body)
    return OnLayers(kind(body, ways), EveryLayer(), body)


def baselines(dim: int, last: int | None = None) -> dict[str, Learner]:
    """Return the plain baselines by name; ``last`` as for ``make``."""
    return {kind.name: make(kind.name, dim, None, last) for kind in BASELINES}


def plain_strategies(dim: int, last: int | None = None) -> dict[str, Learner]:
    """Return the portfolio's strategies that are not meta-trained; ``last`` as for ``make``."""
    found = {kind.name: make(kind.name, dim, None, last) for kind in PLAIN_STRATEGIES}
    return found if last is None else found | {LAYERED_PROBE: OnLayers(Logistic(dim), EveryLayer(), dim)}


def strategies(learners: Mapping[str, Learner], dim: int, last: int | None = None) -> dict[str, Learner]:
    """Return all that the portfolio chooses from: the plain strategies, the meta-trained learners and, where two or
    more of them are for shared labels, the pool of their opinions.

    ``last`` as for ``make``.
    """
    forecasters = {name: learners[name] for name in SHARED_LABELS if name in learners}
    pooled = {OpinionPool.name: OpinionPool(forecasters)} if len(forecasters) > 1 else {}
    return plain_strategies(dim, last) | dict(learners) | pooled
