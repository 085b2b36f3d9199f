"""Meta-training of one family: source domains to piles of features to a meta-model."""

import hashlib
import json
import math
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch

from domains.domain import Domain, Family
from domains.episode import Pile, Shape, draw
from domains.errors import UserError, check_known
from domains.labelled_examples import sample_rows
from learners import make, strategies, trainable
from learners.base import Learner
from learners.choice.portfolio import learn_prior
from learners.meta_model import MetaModel
from learners.meta_train import History, Training, meta_train
from tasks.base.settings import Settings
from tasks.features.encoding import encode, encode_names, encoder_identity, last_layer


@dataclass(frozen=True)
class Recipe:
    """All that fixes a meta-model besides its data.

    Args:
        per_class: at most so many examples a class of a source domain are used.
        classes: of at most so many classes a source domain.
        training: by learner.
        prior_episodes: held-out episodes on which strategies are compared, for the portfolio's prior.
    """

    per_class: int
    classes: int
    training: Mapping[str, Training]
    prior_episodes: int = 150
    seed: int = 0

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


def _trainings(shape: Shape, rate: float = Training.rate, **steps: int) -> dict[str, Training]:
    return {name: Training(shape, steps=n, every=max(1, n // 8), rate=rate) for name, n in steps.items()}


TEXT = Shape(ways=(5, 20), shots=(1, 5, 10), queries=8, pool=(0, 200, 400))
VISION = Shape(ways=(5, 15), shots=(1, 5, 10), queries=5, pool=(0, 100))
MARKET = Shape(ways=(3, 3), shots=(1, 5, 10, 20), queries=40, pool=(0,))

RECIPES: dict[Family, Recipe] = {
    "text": Recipe(24, 40, _trainings(TEXT, protonet=120, maml=200, reference=120)),
    "vision": Recipe(20, 16, _trainings(VISION, protonet=80, maml=120, reference=48), prior_episodes=60),
    "market": Recipe(
        1500,
        3,
        _trainings(MARKET, 1e-2, pooled=200, ordinal=200)  # linear models: a slower rate leaves them half way
        | _trainings(MARKET, protonet=50, maml=200, reference=200),
    ),
}


def default_training(name: str, like: Training) -> Training:
    """Return how a learner without a recipe of its own is trained; Reptile's outer update is plain interpolation."""
    if name == "reptile":
        return replace(like, rate=1.0, optimiser="sgd", schedule="linear", clip=math.inf)
    return like


MANY = 10  # source domains, from which on whole domains are held out


@dataclass(frozen=True)
class Piles:
    """Features of the source domains, classes (or, for markets, years) divided between training and validation.

    Attributes:
        ways: the number of shared labels, or None; last: how many of the features are of the last layer, or None: all.
    """

    train: Sequence[Pile]
    validation: Sequence[Pile]
    ways: int | None = None
    hashes: Mapping[str, str] = field(default_factory=dict)
    last: int | None = None

    @property
    def dim(self) -> int:
        """The length of a feature vector."""
        return self.train[0].x.shape[1]


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


def rows_used(domain: Domain, recipe: Recipe) -> list[int]:
    """Return the rows of a source domain that meta-training reads."""
    y = np.asarray(domain.targets("train"))
    return sample_rows(y, len(domain.labels), recipe.per_class, recipe.classes, recipe.seed)


def load_piles(
    settings: Settings,
    domains: Sequence[Domain],
    recipe: Recipe,
    advance: Callable[[int], None] = lambda n: None,
) -> Piles:
    """Encode source domains and divide them for validation.

    Every fifth domain is held out where there are many, else a third of every domain's classes where it has at least
    8. Markets, whose labels are shared, hold out the two latest domains in time.

    Raises:
        UserError: there is no source domain, one is too small to draw from, or there is too little to validate on.
    """
    if not domains:
        raise UserError("no source domain of this family at this revision; build them with `acclimate data build`")
    shared = domains[0].family == "market"
    rows = [rows_used(domain, recipe) for domain in domains]
    columns = [domain.column("train") for domain in domains]
    examples = [column[row] for column, used in zip(columns, rows, strict=True) for row in used]
    x = encode(settings, domains[0].family, examples, advance).split([len(used) for used in rows])
    y = [torch.tensor(domain.targets("train"))[used] for domain, used in zip(domains, rows, strict=True)]
    time = [days(domain, used) if shared else None for domain, used in zip(domains, rows, strict=True)]
    names = encode_names(settings, domains[0].family, [domain.labels for domain in domains])
    piles = [Pile(d.name, *xytn[:2], shared, *xytn[2:]) for d, *xytn in zip(domains, x, y, time, names, strict=True)]
    hashes = {d.name: d.content_hash for d in domains}
    train, validation = divide(piles, recipe.seed)
    for pile in (*train, *validation):
        check_pile(pile, next(iter(recipe.training.values())).shape)
    return Piles(train, validation, len(domains[0].labels) if shared else None, hashes, last_layer(domains[0].family))


def divide(piles: list[Pile], seed: int) -> tuple[list[Pile], list[Pile]]:
    """Return piles to train on and piles to validate on: see ``load_piles``."""
    if piles[0].shared:
        if len(piles) < 2:
            raise UserError("one market source alone: at least two are needed, one of them to validate on")
        piles = sorted(piles, key=lambda pile: int(pile.time.max()))  # type: ignore[union-attr]
        held = 2 if len(piles) > 3 else 1
        return piles[:-held], piles[-held:]
    if len(piles) >= MANY:
        held_out = piles[::-1][::5]
        return [p for p in piles if p not in held_out], held_out
    generator = torch.Generator().manual_seed(seed)
    train, validation = [], []
    for pile in piles:
        classes = pile.y.unique()
        classes = classes[torch.randperm(len(classes), generator=generator)]
        held = len(classes) // 3 if len(classes) >= 8 else 0
        train.append(pile.only(classes[held:]))
        if held:
            validation.append(pile.only(classes[:held]))
    if not validation:
        raise UserError("no source domain has the 8 classes that validation needs; add a larger one")
    return train, validation


def check_pile(pile: Pile, shape: Shape) -> None:
    """Raise UserError if the largest episodes cannot be drawn from a domain."""
    try:
        draw([pile], replace(shape, shots=(max(shape.shots),)), torch.Generator().manual_seed(0))
    except ValueError as error:
        raise UserError(f"{error}; add examples or take it out of the sources") from error


def days(domain: Domain, rows: Sequence[int]) -> torch.Tensor:
    """Return the date of examples as days since 1970 [n]."""
    dates = np.array(domain.split("train")["date"], dtype="datetime64[D]")
    return torch.from_numpy(dates.astype(np.int64)[list(rows)])


def train_learner(
    name: str, piles: Piles, training: Training, path: Path, advance: Callable[[int], None] = lambda n: None
) -> tuple[Learner, History]:
    """Meta-train one learner, going on from the checkpoint at ``path`` if there is one.

    On one thread: the order of additions, and so the last bit, depends on their number.
    """
    torch.set_num_threads(1)
    x = torch.cat([pile.x for pile in piles.train])
    with torch.random.fork_rng():  # torch's modules draw their starts from the global generator only
        torch.manual_seed(training.seed)
        learner = make(name, piles.dim, piles.ways, piles.last)
    learner.fit_scale(x)
    return learner, meta_train(learner, piles.train, piles.validation, training, path, advance)


def assemble(
    family: Family,
    piles: Piles,
    learners: Mapping[str, Learner],
    histories: Mapping[str, History],
    recipe: Recipe,
    advance: Callable[[int], None] = lambda episodes: None,
) -> MetaModel:
    """Measure the strategies on held-out source episodes and return the meta-model."""
    every = strategies(learners, piles.dim, piles.last)
    shape = next(iter(recipe.training.values())).shape
    generator = torch.Generator().manual_seed(recipe.seed + 2)
    domains = [i % len(piles.validation) for i in range(recipe.prior_episodes)]
    episodes = [draw([piles.validation[i]], shape, generator) for i in domains]
    about = {
        "sources": dict(piles.hashes),
        "recipe": asdict(recipe),
        "history": {name: asdict(history) for name, history in histories.items()},
    }
    prior = learn_prior(every, episodes, domains, piles.ways, generator, piles.ways is not None, advance)
    return MetaModel(family, encoder_identity(family), piles.dim, piles.ways, learners, prior, about, piles.last)


def save_new(model: MetaModel, folder: Path) -> Path:
    """Write a meta-model folder whole or not at all."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as made:
        new = Path(made) / "new"
        new.mkdir()
        model.save(new)
        if not folder.exists():
            new.rename(folder)
    return folder
