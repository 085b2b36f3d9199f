"""Meta-models for the benchmark of adaptation, trained by the machinery of ``meta-train`` on piles in memory."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

import learners
from domains import episode
from domains.domain import Family
from domains.episode import Pile
from learners import Reference, make
from learners.base import Learner
from learners.meta_model import MetaModel
from learners.meta_train import History, Training, meta_train
from tasks.base.settings import Settings
from tasks.features.encoders import encoder_identity, last_layer
from tasks.meta_train import training
from tasks.meta_train.recipes import Recipe
from tasks.meta_train.training import Piles, assemble, check_pile, divide_piles, save_new, train_learner

PILES = "piles.safetensors"
META_MODEL = "meta_model"
ABLATED = "reference-without-"


@dataclass(frozen=True)
class Work:
    """One learner to meta-train on the piles in a folder; ``without``: a part of the reference learner left out."""

    folder: Path
    family: Family
    name: str
    how: Training
    seed: int
    without: str = ""

    @property
    def file(self) -> str:
        return f"{ABLATED}{self.without}" if self.without else self.name


def folder_of(settings: Settings, family: Family, recipe: Recipe, hashes: Mapping[str, str]) -> Path:
    """Return the folder of a meta-model: the same sources, recipe and learners' code give the same one.

    The code counts itself, not its version: a benchmark is run while learners change.
    """
    code = hashlib.sha256()
    for path in (*sorted(Path(learners.__path__[0]).rglob("*.py")), Path(episode.__file__), Path(training.__file__)):
        code.update(path.read_bytes())
    parts = [family, encoder_identity(family), version("acclimate"), code.hexdigest()]
    parts += [json.dumps(asdict(recipe), sort_keys=True), *(f"{name}:{h}" for name, h in hashes.items())]
    key = hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]
    return settings.home_path / "bench" / "adapt" / key


@dataclass(frozen=True)
class Assembly:
    """A meta-model to put together from the learners in a folder."""

    folder: Path
    family: Family
    recipe: Recipe


def has_meta_model(folder: Path) -> bool:
    """Whether a folder has its meta-model."""
    return (folder / META_MODEL).exists()


def work_left(folder: Path, family: Family, recipe: Recipe, without: Sequence[str] = ()) -> list[Work]:
    """Return the learners of a recipe, and the reference learners without a part, that a folder does not have yet."""
    works = {} if has_meta_model(folder) else recipe.training
    todo = [Work(folder, family, name, how, recipe.seed) for name, how in works.items()]
    if without:
        like = recipe.training[Reference.name]
        todo += [Work(folder, family, Reference.name, like, recipe.seed, part) for part in without]
    return [work for work in todo if not (folder / f"{work.file}.trained").exists()]


def write_piles(folder: Path, piles: Sequence[Pile], recipe: Recipe) -> None:
    """Write the piles of a folder's sources for the processes that train on them.

    Raises:
        UserError: a pile is too small to draw from.
    """
    for pile in piles:
        check_pile(pile, next(iter(recipe.training.values())).shape)
    tensors = {}
    for i, pile in enumerate(piles):
        tensors |= {f"{i}.x": pile.x.contiguous(), f"{i}.y": pile.y}
        tensors |= {} if pile.names is None else {f"{i}.names": pile.names.contiguous()}
    folder.mkdir(parents=True, exist_ok=True)
    save_file(tensors, folder / f"new-{PILES}", metadata={"names": json.dumps([pile.name for pile in piles])})
    (folder / f"new-{PILES}").replace(folder / PILES)


def read_piles(folder: Path, family: Family, seed: int) -> Piles:
    """Read what ``write_piles`` wrote, divided between training and validation."""
    with safe_open(folder / PILES, "pt") as file:
        names, known = json.loads(file.metadata()["names"]), set(file.keys())
        piles = [
            Pile(
                name,
                file.get_tensor(f"{i}.x"),
                file.get_tensor(f"{i}.y"),
                names=file.get_tensor(f"{i}.names") if f"{i}.names" in known else None,
            )
            for i, name in enumerate(names)
        ]
    return Piles(*divide_piles(piles, seed), hashes=dict.fromkeys(names, ""), last=last_layer(family))


def train_in_folder(work: Work, advance: Callable[[int], None] = lambda n: None) -> None:
    """Meta-train one learner from its last checkpoint, and keep its weights and its history in the folder."""
    piles, path = read_piles(work.folder, work.family, work.seed), work.folder / f"{work.file}.checkpoint"
    if work.without:
        x = torch.cat([pile.x for pile in piles.train])
        with torch.random.fork_rng():
            torch.manual_seed(work.how.seed)
            learner = reference_without(piles.dim, piles.last, work.without)
        learner.fit_scale(x)
        history = meta_train(learner, piles.train, piles.validation, work.how, path, advance)
    else:
        learner, history = train_learner(work.name, piles, work.how, path, advance)
    (work.folder / f"{work.file}.json").write_text(json.dumps(asdict(history)), "utf-8")
    save_file(learner.state_dict(), work.folder / f"{work.file}.new")
    (work.folder / f"{work.file}.new").replace(work.folder / f"{work.file}.trained")


def assemble_in_folder(work: Assembly, advance: Callable[[int], None] = lambda n: None) -> None:
    """Learn the portfolio's prior from held-out source episodes and keep the meta-model; then the piles may go."""
    folder, recipe = work.folder, work.recipe
    if not has_meta_model(folder):
        piles, trained, histories = read_piles(folder, work.family, recipe.seed), {}, {}
        for name in recipe.training:
            trained[name] = make(name, piles.dim, piles.ways, piles.last)
            trained[name].load_state_dict(load_file(folder / f"{name}.trained"))
            histories[name] = History(**json.loads((folder / f"{name}.json").read_text("utf-8")))
        save_new(assemble(work.family, piles, trained, histories, recipe, advance), folder / META_MODEL)
    for path in (folder / PILES, *folder.glob("*.checkpoint"), *folder.glob("*.previous")):
        path.unlink(missing_ok=True)


def reference_without(dim: int, last: int | None, without: str) -> Learner:
    """Return a new reference learner without one of its parts, as the portfolio has it otherwise."""
    learner = make(Reference.name, dim, None, last)
    (reference,) = (module for module in learner.modules() if isinstance(module, Reference))
    reference.parts = frozenset(reference.parts) - {without}
    return learner


def load_meta_model(folder: Path, without: Sequence[str] = ()) -> tuple[MetaModel, dict[str, Learner]]:
    """Return the meta-model of a folder, and its reference learners without a part, by that part."""
    model = MetaModel.load(folder / META_MODEL)
    less: dict[str, Learner] = {}
    for part in without:
        less[part] = reference_without(model.dim, model.last, part)
        less[part].load_state_dict(load_file(folder / f"{ABLATED}{part}.trained"))
    return model, less
