"""How each family is meta-trained: the learners, their episodes and steps, and the examples that are read."""

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version

import numpy as np

from domains.domain import Domain, Family
from domains.episode import ALL, NATURAL, Shape
from domains.errors import check_known
from domains.labelled_examples import sample_rows
from learners import trainable
from learners.meta_train import Training
from tasks.features.encoders import encoder_identity


@dataclass(frozen=True)
class Recipe:
    """All that fixes a meta-model besides its data.

    Args:
        per_class: at most so many examples a class of a source domain are used.
        classes: of at most so many classes a source domain.
        training: by learner.
        prior_episodes: episodes on which strategies are compared, for the portfolio's prior.
        prior_per_class: the same as ``per_class`` of the classes that the prior is learned on, if more: those show what
            is gained with many labels, and at which class frequencies.
    """

    per_class: int
    classes: int
    training: Mapping[str, Training]
    prior_episodes: int = 150
    seed: int = 0
    prior_per_class: int = 0

    @property
    def shape(self) -> Shape:
        """The episodes of its first learner."""
        return next(iter(self.training.values())).shape

    @property
    def compared(self) -> int:
        """Episodes that strategies are adapted to for the prior: half of them harder ones, but of markets none is."""
        return self.prior_episodes * (1 if self.shape is MARKET else 2)

    def with_learners(self, names: Sequence[str]) -> "Recipe":
        """Return the recipe with these learners; one it does not know is trained as long as its longest.

        Raises:
            UserError: a learner is unknown, or not meta-trained by episodes.
        """
        if not names:
            return self
        longest = max(self.training.values(), key=lambda training: training.steps)
        shared = longest.shape is MARKET
        known = trainable(shared)
        check_known(names, known, "learner", " for this family")
        return replace(self, training={n: self.training.get(n, default_training(n, longest)) for n in names})

    def with_steps(self, steps: int | None) -> "Recipe":
        """Return the recipe with another number of meta-updates."""
        if steps is None:
            return self
        changed = {n: replace(t, steps=steps, every=min(t.every, steps)) for n, t in self.training.items()}
        return replace(self, training=changed)


def _training_of_each(shape: Shape, rate: float = Training.rate, **steps: int) -> dict[str, Training]:
    return {name: Training(shape, steps=n, every=max(1, n // 5), rate=rate) for name, n in steps.items()}


EVEN = float("inf")


def _mixed(shape: Shape, alike: float) -> Shape:
    """Return a shape with label sets as users have them, even and uneven, and some queries as frequent as the pool."""
    supports = (EVEN, EVEN, 1.0, NATURAL)
    return replace(shape, imbalance=(1.0, EVEN, NATURAL), support_imbalance=supports, alike=alike)


TEXT = _mixed(Shape(ways=(5, 20), shots=(1, 5, 10), queries=8, pool=(0, 200, 400)), alike=0.3)


VISION = _mixed(Shape(ways=(5, 15), shots=(1, 5, 10), queries=5, pool=(0, 100)), alike=0.3)


MARKET = Shape(ways=(3, 3), shots=(1, 5, 10, 20), queries=40, pool=(0,))


def prior_shapes(shape: Shape) -> tuple[Shape, ...]:
    """Return the shapes that episodes of the prior have in turn, from those of the learners' episodes.

    Two thirds have few labels. The rest go on to all labels: those cost the most and differ the least.
    """
    few = _mixed(replace(shape, at_most=True), alike=0.9)
    return few, few, replace(few, shots=tuple(k for k in (20, 50, ALL) if k > max(shape.shots)))


RECIPES: dict[Family, Recipe] = {
    "text": Recipe(24, 40, _training_of_each(TEXT, protonet=120, maml=200, reference=120), 100, prior_per_class=80),
    "vision": Recipe(
        20, 16, _training_of_each(VISION, protonet=80, maml=120, reference=48), prior_episodes=60, prior_per_class=60
    ),
    "market": Recipe(
        1500,
        3,
        _training_of_each(MARKET, 1e-2, pooled=200, ordinal=200)  # linear models: a slower rate leaves them half way
        | _training_of_each(MARKET, protonet=50, maml=200, reference=200),
    ),
}


def default_training(name: str, like: Training) -> Training:
    """Return how a learner without a recipe of its own is trained; Reptile's outer update is plain interpolation."""
    if name == "reptile":
        return replace(like, rate=1.0, optimiser="sgd", schedule="linear", clip=math.inf)
    return like


def rows_used(domain: Domain, recipe: Recipe, per_class: int = 0) -> list[int]:
    """Return the rows of a source domain that meta-training reads, or with more examples a class the same and more."""
    y = np.asarray(domain.targets("train"))
    return sample_rows(y, len(domain.labels), max(per_class, recipe.per_class), recipe.classes, recipe.seed)


def training_key(domains: Sequence[Domain], family: Family, recipe: Recipe) -> str:
    """Return the name of a piece of work: the same data, settings and code version give the same key."""
    parts = [
        family,
        encoder_identity(family),
        version("acclimate"),
        json.dumps(asdict(recipe), sort_keys=True),
    ]
    parts += sorted(f"{d.name}:{d.content_hash}" for d in domains)
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]
