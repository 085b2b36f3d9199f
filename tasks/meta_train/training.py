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
from learners.choice.harder import draw_harder
from learners.choice.prior import learn_prior
from learners.meta_model import MetaModel
from learners.meta_train import History, Training, meta_train
from tasks.base.settings import Settings
from tasks.features.encoders import encoder_identity, last_layer
from tasks.features.encoding import encode, encode_names
from tasks.meta_train.recipes import Recipe, prior_shapes, rows_used

MANY = 10  # source domains, from which on whole domains are held out
LEAST = 8  # classes of a domain, from which on some are held out


@dataclass(frozen=True)
class Piles:
    """Features of the source domains in three parts, which share no class of a domain, or of a market no day.

    Attributes:
        train: what learners are meta-trained on.
        validation: what checkpoints, and new meta-models against that in service, are chosen on.
        prior: what the portfolio's prior is learned on.
        ways: the number of shared labels, or None; last: how many of the features are of the last layer, or None: all.
    """

    train: Sequence[Pile]
    validation: Sequence[Pile]
    prior: Sequence[Pile]
    ways: int | None = None
    hashes: Mapping[str, str] = field(default_factory=dict)
    last: int | None = None

    @property
    def dim(self) -> int:
        """The length of a feature vector."""
        return self.train[0].x.shape[1]

    @property
    def parts(self) -> tuple[Sequence[Pile], Sequence[Pile], Sequence[Pile]]:
        """The three parts."""
        return self.train, self.validation, self.prior

    @property
    def size(self) -> int:
        """How many examples there are."""
        return sum(len(pile.y) for part in self.parts for pile in part)


def load_piles(
    settings: Settings,
    domains: Sequence[Domain],
    recipe: Recipe,
    advance: Callable[[int], None] = lambda n: None,
    may_hold_out_nothing: bool = False,
) -> Piles:
    """Encode source domains, divided as ``divide_piles`` says.

    Args:
        may_hold_out_nothing: where there is too little to hold out, all is for training.

    Raises:
        UserError: there is no source domain, one is too small to draw from, or there is too little to hold out.
    """
    rows = divide_rows(domains, recipe, may_hold_out_nothing)
    family, column = domains[0].family, {domain.name: domain.column("train") for domain in domains}
    every = [pile for part in rows.parts for pile in part]
    examples = [column[pile.name][row] for pile in every for row in pile.x.tolist()]
    x = iter(encode(settings, family, examples, advance).split([len(pile.x) for pile in every]))
    names = dict(zip(column, encode_names(settings, family, [domain.labels for domain in domains]), strict=True))
    train, validation, prior = ([replace(p, x=next(x), names=names[p.name]) for p in part] for part in rows.parts)
    return replace(rows, train=train, validation=validation, prior=prior, last=last_layer(family))


def divide_rows(domains: Sequence[Domain], recipe: Recipe, may_hold_out_nothing: bool = False) -> Piles:
    """Return the piles of ``load_piles`` with the numbers [n] of the rows in place of features; nothing is encoded.

    Raises:
        UserError: as ``load_piles``.
    """
    if not domains:
        raise UserError("no source domain of this family at this revision; build them with `acclimate data build`")
    shared = domains[0].family == "market"
    piles = [_row_pile(domain, rows_used(domain, recipe)) for domain in domains]
    try:
        train, validation, prior = divide_piles(piles, recipe.seed, recipe.shape)
    except UserError:
        if not may_hold_out_nothing:
            raise
        train, validation, prior = piles, [], []
    if not shared:
        more = {d.name: _row_pile(d, rows_used(d, recipe, recipe.prior_per_class)) for d in domains}
        prior = [more[pile.name].only(pile.y.unique()) for pile in prior]
    for pile in (*train, *validation, *prior):
        check_pile(pile, recipe.shape)
    hashes = {d.name: d.content_hash for d in domains}
    return Piles(train, validation, prior, len(domains[0].labels) if shared else None, hashes)


def divide_piles(piles: list[Pile], seed: int, shape: Shape | None = None) -> tuple[list[Pile], list[Pile], list[Pile]]:
    """Return piles to train on, to validate on and to learn the prior on.

    Where there are many domains, every fifth is for the prior, and of the rest every fifth for validation. Else domains
    with at least 8 classes hold out a sixth of them, two at least, for validation, and a third for the prior. Markets,
    whose labels are shared, hold out the two latest domains in time, or the latest of up to three, of which the earlier
    half of the days is for validation and the later one for the prior. More would be missed in training, for which the
    latest days count most. Where the days of two are too few to divide, the very latest domain is for the prior.

    Args:
        shape: of the episodes: a class that is too small for them is not held out.

    Raises:
        UserError: there is too little to hold out.
    """
    if piles[0].shared:
        return _divide_in_time(piles, 2 * (shape or Shape()).days + 1)
    if len(piles) >= MANY:
        fifths = set(range(len(piles))[::-1][::5])
        others = [i for i in range(len(piles))[::-1] if i not in fifths]
        chosen_on = others[2::5]
        train = [pile for i, pile in enumerate(piles) if i not in fifths and i not in chosen_on]
        return train, [piles[i] for i in chosen_on], [piles[i] for i in sorted(fifths, reverse=True)]
    least, generator = shape.least if shape else 0, torch.Generator().manual_seed(seed)
    train, validation, prior = [], [], []
    for pile in piles:
        classes, sizes = pile.sizes
        order = torch.randperm(len(classes), generator=generator)
        usable = order[sizes[order] >= least]
        if len(usable) < LEAST:
            train.append(pile)
            continue
        first = max(2, len(usable) // 6)
        second = first + len(usable) // 3
        held_out = usable[:second]
        train.append(pile.only(classes[~torch.isin(torch.arange(len(classes)), held_out)]))
        validation.append(pile.only(classes[held_out[:first]]))
        prior.append(pile.only(classes[held_out[first:]]))
    if not validation:
        of = f" of {least} examples" if least else ""
        raise UserError(f"no source domain has the {LEAST} classes{of} that meta-training needs; add a larger one")
    return train, validation, prior


def _divide_in_time(piles: list[Pile], dates: int) -> tuple[list[Pile], list[Pile], list[Pile]]:
    """Return the three parts of markets; an episode spans so many dates."""
    if len(piles) < 2:
        raise UserError("one market source alone: at least two are needed, one of them to validate on")
    piles = sorted(piles, key=lambda pile: int(pile.time.max()))  # type: ignore[union-attr]
    held = 2 if len(piles) > 3 else 1
    train, latest = piles[:-held], piles[-held:]
    if held == 2 and any(len(pile.time.unique()) < 2 * dates + 1 for pile in latest):  # type: ignore[union-attr]
        return train, latest[:1], latest[1:]
    earlier, later = [], []
    for pile in latest:
        assert pile.time is not None
        days = pile.time.unique()
        middle = days[len(days) // 2]  # is left out
        earlier.append(pile.where(pile.time < middle))
        later.append(pile.where(pile.time > middle))
    return train, earlier, later


def _row_pile(domain: Domain, rows: Sequence[int]) -> Pile:
    """Return the pile of a domain with the numbers [n] of the rows in place of features."""
    shared = domain.family == "market"
    time = example_days(domain, rows) if shared else None
    return Pile(domain.name, torch.tensor(rows), torch.tensor(domain.targets("train"))[rows], shared, time)


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
    name: str,
    piles: Piles,
    training: Training,
    path: Path,
    advance: Callable[[int], None] = lambda n: None,
    device: torch.device | str = "cpu",
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
    learner.to(device)
    history = meta_train(learner, piles.train, piles.validation, training, path, advance)
    return learner.to("cpu"), history


def assemble(
    family: Family,
    piles: Piles,
    learners: Mapping[str, Learner],
    histories: Mapping[str, History],
    recipe: Recipe,
    advance: Callable[[int], None] = lambda episodes: None,
) -> MetaModel:
    """Learn the portfolio's prior on source episodes of its own and return the meta-model."""
    every = strategies(learners, piles.dim, piles.last)
    shapes, generator = prior_shapes(recipe.shape), torch.Generator().manual_seed(recipe.seed + 2)
    domains = [i % len(piles.prior) for i in range(recipe.prior_episodes)]
    rounds = [i // len(piles.prior) for i in range(recipe.prior_episodes)]
    episodes = [
        draw([piles.prior[domain]], shapes[turn % len(shapes)], generator)
        for domain, turn in zip(domains, rounds, strict=True)
    ]
    harder = draw_harder(piles.prior, shapes[0], recipe.compared - recipe.prior_episodes, generator)
    divided_in_time = {pile.name for pile in piles.validation if pile.shared}
    about = {
        "sources": dict(piles.hashes),
        "trained_on": {pile.name: sorted(pile.classes) for pile in piles.train},
        "prior_learned_on": {p.name: sorted(p.classes) for p in piles.prior if p.name not in divided_in_time},
        "recipe": asdict(recipe),
        "history": {name: asdict(history) for name, history in histories.items()},
    }
    prior = learn_prior(every, episodes, domains, piles.ways, generator, piles.ways is not None, advance, harder)
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
