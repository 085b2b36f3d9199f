"""The methods that the benchmark of adaptation compares: each is a way from a support and a pool to a classifier."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from scipy.sparse import csr_matrix
from torch import Tensor

from domains.domain import Family
from domains.errors import UserError, check_known
from learners import LAYERED_PROBE, PLAIN_STRATEGIES, TRANSDUCTIVE, make, plain_strategies
from learners.base import Learner
from learners.bodies import Body, TransformerBody
from learners.bodies.efficientnet import EfficientNet
from learners.choice.all_labels import adapt_to_all_labels
from learners.choice.portfolio import choose
from learners.choice.prior import Prior
from learners.classifier import Classifier
from learners.encoders.bert import tokenise
from learners.encoders.efficientnet import decode_images
from learners.examples import Examples
from learners.meta_model import MetaModel
from learners.plain.knn import KNN
from learners.plain.tune import Tune, trim_padding
from learners.representation.layers import LastLayer, OnLayers
from learners.support import Support
from tasks.features.encoders import last_layer

OURS, PLAIN, NAMELESS = "acclimate", "acclimate without meta-training", "acclimate without names"
PARTS = ("represent", "update", "initialise", "finetune")  # of the reference learner
REFERENCE = "reference"
ABLATED = {f"reference without {part}": part for part in PARTS}

PLAIN_ALONE = (*(kind.name for kind in PLAIN_STRATEGIES), LAYERED_PROBE)
PUBLISHED = tuple(kind.name for kind in TRANSDUCTIVE)
TUNED = ("finetune", "lora")  # read raw examples, and are slow
READ_POOL = ("transductive", LAYERED_PROBE, *PUBLISHED, OURS, PLAIN, NAMELESS, REFERENCE, *ABLATED)
NEED_MODEL = (OURS, NAMELESS, REFERENCE, *ABLATED)
METHODS = (*PLAIN_ALONE, "knn", *PUBLISHED, *TUNED, OURS, PLAIN, NAMELESS, REFERENCE, *ABLATED)
#: Methods that the portfolio could have taken in its place.
SINGLE = (*PLAIN_ALONE, "knn", *PUBLISHED, REFERENCE)

#: Methods of one family only, and why.
ONLY: dict[str, tuple[Family, str]] = {
    "lora": ("text", "it adds to the maps of attention, which the encoder of images has not"),
    NAMELESS: ("text", "names of image labels are not read"),
    LAYERED_PROBE: ("vision", "features of texts are of the last layer alone"),
}

RATES = {"finetune": 5e-5, "lora": 1e-3}  # of Adam for the body
CHUNK = 64  # raw examples predicted at once


@dataclass(frozen=True)
class AdaptCase:
    """One draw of one domain: a support [S, D] with labels [S], a pool [U, D] or None, names [N, D] or None.

    Of texts there are n-grams too, [S, V] and [U, V].
    """

    x: Tensor
    y: Tensor
    pool: Tensor | None
    names: Tensor | None
    ways: int
    seed: int
    ngrams: csr_matrix | None = None
    pool_ngrams: csr_matrix | None = None

    @property
    def support(self) -> Support:
        """The support set with its pool and names."""
        views = {"ngrams": self.ngrams, "pool_ngrams": self.pool_ngrams}
        return Support(self.x, self.y, self.pool, self.names, ways=self.ways, **views)


Adapter = Callable[[AdaptCase], Classifier]


def select_methods(family: Family, names: Sequence[str]) -> tuple[str, ...]:
    """Return the methods of a family, or those named, in the order of METHODS.

    Raises:
        UserError: a method is unknown, or not to be had for the family.
    """
    here = [name for name in METHODS if ONLY.get(name, (family,))[0] == family]
    for name in names:
        if name in ONLY and name not in here:
            raise UserError(f"method {name!r} is not for family {family} ({ONLY[name][1]}); leave it out")
        check_known([name], here, "method", " in this benchmark")
    return tuple(name for name in here if name in names or not names)


def adapters(
    methods: Sequence[str],
    family: Family,
    dim: int,
    model: MetaModel | None,
    less: Mapping[str, Learner],
    tunable: Callable[[str], Body],
) -> dict[str, Adapter]:
    """Return what each method does with a case.

    Args:
        dim: the length of a feature vector.
        model, less: the meta-model, and its reference learners without a part; None and empty where no method needs it.
        tunable: the encoder to fine-tune by a method.
    """
    last, found = last_layer(family), dict[str, Adapter]()
    for name in methods:
        if name in TUNED:
            found[name] = partial(_alone, Tune(tunable(name), rate=RATES[name]))
        elif name == "knn":
            found[name] = partial(_alone, KNN(dim) if last is None else OnLayers(KNN(last), LastLayer(last), dim))
        elif name in PUBLISHED:
            found[name] = partial(_alone, make(name, dim, None, last))
        elif name in PLAIN_ALONE:
            found[name] = partial(_alone, plain_strategies(dim, last)[name])
        elif name == PLAIN:
            found[name] = partial(_choose, plain_strategies(dim, last), Prior())
        elif name in ABLATED:
            found[name] = partial(_alone, less[ABLATED[name]])
        else:
            assert model is not None, f"{name} needs a meta-model"
            ours = partial(_choose, model.strategies, model.prior)
            if name == REFERENCE:
                found[name] = partial(_alone, model.strategies[REFERENCE])
            else:
                found[name] = {OURS: ours, NAMELESS: partial(_nameless, ours)}[name]
    return found


def _alone(learner: Learner, case: AdaptCase) -> Classifier:
    return adapt_to_all_labels(learner, case.support)


def _choose(strategies: Mapping[str, Learner], prior: Prior, case: AdaptCase) -> Classifier:
    generator = torch.Generator().manual_seed(case.seed)
    return choose(strategies, case.support, prior, generator).classifier


def _nameless(adapter: Adapter, case: AdaptCase) -> Classifier:
    return adapter(replace(case, names=None))


def encoder_body(family: Family, weights: Path, method: str, pixels: int = 64) -> Body:
    """Return the encoder as a body to fine-tune, whole or by adapters; images have so many pixels a side."""
    if family == "vision":
        return EfficientNet.from_folder(weights, pixels)
    return TransformerBody.from_folder(weights, adapters="lora" if method == "lora" else None)


def body_inputs(family: Family, weights: Path, examples: Sequence[Any], pixels: int = 64) -> Tensor:
    """Return examples as those bodies read them: texts [n, 2, tokens], or images [n, 3, pixels, pixels] 0 to 1."""
    return tokenise(weights, examples) if family == "text" else decode_images(examples, pixels).float() / 255


def predict_in_parts(classifier: Classifier, x: Tensor | Examples, raw: bool) -> Tensor:
    """Return probabilities [n, N]; raw examples a few at a time, for memory."""
    if not raw:
        return classifier.predict_proba(x)
    assert isinstance(x, Tensor)
    return torch.cat([classifier.predict_proba(trim_padding(part)) for part in x.split(CHUNK)])
