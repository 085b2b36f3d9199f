"""Meta-training of one family: source domains to piles of features to a meta-model."""

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np
import torch

from domains.domain import Domain, Family
from domains.episode import Pile, Shape, draw
from domains.errors import UserError
from learners import make, strategies
from learners.base import Learner
from learners.choice.prior import learn_prior
from learners.meta_model import MetaModel
from learners.meta_train import History, Training, meta_train
from tasks.base.settings import Settings
from tasks.features.encoding import encode, encode_names, encoder_identity, last_layer
from tasks.meta_train.recipes import Recipe, rows_used

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
    time = [example_days(domain, used) if shared else None for domain, used in zip(domains, rows, strict=True)]
    names = encode_names(settings, domains[0].family, [domain.labels for domain in domains])
    piles = [
        Pile(d.name, features, labels, shared, dates, label_names)
        for d, features, labels, dates, label_names in zip(domains, x, y, time, names, strict=True)
    ]
    hashes = {d.name: d.content_hash for d in domains}
    train, validation = divide_piles(piles, recipe.seed)
    for pile in (*train, *validation):
        check_pile(pile, next(iter(recipe.training.values())).shape)
    return Piles(train, validation, len(domains[0].labels) if shared else None, hashes, last_layer(domains[0].family))


def divide_piles(piles: list[Pile], seed: int) -> tuple[list[Pile], list[Pile]]:
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


def example_days(domain: Domain, rows: Sequence[int]) -> torch.Tensor:
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
        "trained_on": {pile.name: sorted(pile.classes) for pile in piles.train},
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
