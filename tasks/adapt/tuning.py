"""Tune an encoder to a domain's labels within a budget of time, held out first: what that is worth the blend decides.

Three networks are tuned without a third of the labels each, and say what they think of it; a fourth is tuned to all
labels and serves. All are tuned for the number of epochs after which the held-out log-loss was lowest.
"""

import hashlib
import json
import math
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F

from domains.whole_file import write_whole
from learners.plain.tuned_encoder import Recipe, fit_head, read, tune
from learners.temperature import best_temperature
from tasks.adapt.adaptation import Encoded, assign_folds, tuning_budget
from tasks.adapt.plan import Plan, encode_plan
from tasks.base.device import at_once, one_thread, torch_device
from tasks.base.progress import progress
from tasks.base.settings import settings
from tasks.base.side_by_side import Advance, run_side_by_side
from tasks.features.encoders import weights
from tasks.features.encoding import encode
from tasks.features.spec import EncoderSpec
from tasks.features.tuned import FILE, Tuned, make_tunable, save_tuned, spread, tuned_of

RECIPES = {
    "text": Recipe(1.5e-3, 3e-3, contrast=1.0, rank=16),
    "vision": Recipe(3e-4, 1e-3, turns=True),
}
FOLDS = 3
MOST_EPOCHS, LEAST_EPOCHS = {"text": 8, "vision": 20}, 3
FEWEST = 5  # labelled examples a class on average, below which held-out ones have never spoken for it
SLOWER = 1.5  # times that a step takes longer where as many processes run as there are cores
TRIED = 2  # steps that are timed


@dataclass(frozen=True)
class Fit:
    """One network to tune: to examples with labels y [n] 0..C-1, and what it is asked about after each epoch.

    Attributes:
        out: the folder in which the epochs are kept.
        deadline: ``time.time()`` from which on no epoch is begun, but the first.
        keep: whether the network itself is kept too, for N ``ways``, of which ``present`` [C] have examples.
    """

    spec: EncoderSpec
    folder: Path
    recipe: Recipe
    examples: Sequence[Any]
    y: Tensor
    asked: Sequence[Any]
    epochs: int
    seed: int
    out: Path
    deadline: float
    present: Tensor
    ways: int
    keep: bool = False


def tune_encoder(plan: Plan) -> float:
    """Tune the first encoder that can be to the labels of a domain, as ``plan.how.budget`` allows; return the seconds.

    What was tuned is there for ``join_tuned``. A run that was stopped goes on after the last network that was done.
    """
    started = time.perf_counter()
    if not tuning_budget(plan.domain, plan.how):
        return 0.0
    place = folder_of(plan)
    if not (place / "done.json").exists():
        place.mkdir(parents=True, exist_ok=True)
        said = _tune(plan, encode_plan(plan), place)
        write_whole(place / "done.json", json.dumps(said).encode())
    return time.perf_counter() - started


def folder_of(plan: Plan) -> Path:
    """Return where the state of tuning for a plan is kept until its model is registered."""
    return plan.folder.with_name(f"{plan.folder.name}-tuning")


def join_tuned(plan: Plan, data: Encoded) -> Encoded:
    """Return a domain's features with what the encoder that was tuned for a plan says, or the reason why none was."""
    place = folder_of(plan)
    try:
        said = json.loads((place / "done.json").read_text("utf-8"))
        spec = tuned_of(settings(), said.get("encoder", ""))
        if spec is None:
            return replace(data, warnings=(*data.warnings, said["reason"]))
        held_out = load_file(place / "held_out.safetensors")["logs"]
    except (OSError, ValueError, SafetensorError):
        return data
    s, family = settings(), plan.domain.family
    if data.fold is None:
        test = encode(s, family, plan.domain.column("test"), encoders=(spec,))
    else:
        held_out, test = held_out.split([len(data.train_y), len(data.test_y)])
    pool = None
    if data.pool_x is not None:
        pool = encode(s, family, plan.domain.column("pool", data.pool_rows), encoders=(spec,))
    return data.with_opinions(spec, held_out, pool, test)


def _tune(plan: Plan, data: Encoded, place: Path) -> dict[str, str]:
    """Tune, and return the encoder's identity, or the reason why none was tuned."""
    domain, s = plan.domain, settings()
    spec = next((each for each in data.encoders if each.tunable), None)
    if spec is None:
        return {"reason": f"no encoder is tuned: of {data.encoders[0].identity} it is not known how"}
    examples = domain.column("train", data.train_rows)
    y = data.train_y
    if data.fold is not None:
        examples, y = [*examples, *domain.column("test")], data.labelled.y
    present, compact = y.unique(return_inverse=True)
    if len(y) < FEWEST * len(present):
        return {"reason": f"no encoder is tuned: {len(y)} labelled examples of {len(present)} labels are too few"}
    assert data.keys is not None
    fold = assign_folds(compact.numpy(), data.keys[: len(y)], plan.how.seed, FOLDS)
    if fold is None:
        return {"reason": "no encoder is tuned: no label has two examples"}
    started, recipe, folder = time.time(), RECIPES[domain.family], weights(s, spec)
    processes = at_once(s.processes)
    if (place / "epochs").exists():  # a run that was stopped had begun with so many
        epochs = int((place / "epochs").read_text("utf-8"))
    else:
        wall = _wall(_seconds_of_example(spec, folder, recipe, examples, compact), len(y), processes)
        epochs = min(MOST_EPOCHS[domain.family], int(plan.how.budget / wall))
        if epochs < LEAST_EPOCHS:
            minutes = math.ceil(wall * LEAST_EPOCHS / 60)
            return {"reason": f"no encoder is tuned: {len(y):,} labelled examples need --budget {minutes}m"}
        write_whole(place / "epochs", str(epochs))
    deadline = started + plan.how.budget

    def fit(rows: Tensor, asked: Tensor, name: str) -> Fit:
        own, others = ([examples[i] for i in which.tolist()] for which in (rows, asked))
        given = spec, folder, recipe, own, compact[rows], others, epochs, plan.how.seed
        return Fit(*given, place / name, deadline, present, len(data.labels), name == "whole")

    every, folds = torch.arange(len(y)), range(int(fold.max()) + 1)
    jobs = [fit(every, every[:0], "whole")]
    jobs += [fit(every[fold != i], every[fold == i], f"fold-{i}") for i in folds]
    with progress(f"tune {spec.identity}", epochs * sum(len(job.y) for job in jobs)) as advance:
        done = run_side_by_side(run_fit, jobs, processes, advance)
    logits = torch.zeros(min(done), len(y), len(present))
    for i in folds:
        for epoch in range(len(logits)):
            logits[epoch, fold == i] = load_file(_epoch(place / f"fold-{i}", epoch + 1))["logits"]
    best = min(range(len(logits)), key=lambda epoch: _loss(logits[epoch, fold >= 0], compact[fold >= 0]))
    logs = spread(logits[best], present, len(data.labels))
    logs[fold < 0] = -math.log(len(data.labels))  # the only example of a label: nothing was held out
    save_file({"logs": logs}, place / "held_out.safetensors")
    kept = _epoch(place / "whole", best + 1)
    identity = f"tuned-{_hash(kept)}"
    home = s.home_path / "encoders" / identity
    home.mkdir(parents=True, exist_ok=True)
    write_whole(home / FILE, kept.read_bytes())
    return {"encoder": identity, "epochs": str(best + 1)}


def run_fit(job: Fit, advance: Advance) -> int:
    """Tune one network, and return how many epochs it took; each is kept in a file. What was done before is left."""
    if (job.out / "done").exists():
        return int((job.out / "done").read_text("utf-8"))
    shutil.rmtree(job.out, ignore_errors=True)
    job.out.mkdir(parents=True)
    generator, epoch, device = torch.Generator().manual_seed(job.seed), 0, torch_device()
    encoder = make_tunable(job.spec, job.folder, job.recipe.rank, generator).to(device)
    prepared, asked = encoder.prepare(job.examples), encoder.prepare(job.asked)
    head = fit_head(encoder, prepared, job.y).to(device)
    for epoch in tune(encoder, head, prepared, job.y, job.epochs, job.recipe, generator, advance):
        if job.keep:
            about = Tuned(job.spec.identity, job.recipe.rank, job.ways)
            save_tuned(encoder, head, job.present, about, _epoch(job.out, epoch))
        else:
            with torch.no_grad():
                save_file({"logits": head(read(encoder, asked).to(device)).cpu()}, _epoch(job.out, epoch))
        if time.time() > job.deadline:
            break
    write_whole(job.out / "done", str(epoch).encode())
    return epoch


def _epoch(folder: Path, number: int) -> Path:
    """Return the file of an epoch."""
    return folder / f"epoch-{number}.safetensors"


def _hash(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()[:16]


def _loss(logits: Tensor, y: Tensor) -> float:
    """Return the log-loss of held-out logits [n, C] at the best temperature."""
    return float(F.cross_entropy(logits / best_temperature([logits], [y]), y))


def _seconds_of_example(spec: EncoderSpec, folder: Path, recipe: Recipe, examples: Sequence[Any], y: Tensor) -> float:
    """Return how long a step takes for each of its examples, by a few steps with examples from all over."""
    size = TRIED * recipe.batch
    rows = torch.linspace(0, len(y) - 1, min(size, len(y))).long()
    device = torch_device()
    encoder = make_tunable(spec, folder, recipe.rank, torch.Generator().manual_seed(0)).to(device)
    prepared = encoder.prepare([examples[i] for i in rows.tolist()])
    width = read(encoder, prepared[:1]).shape[1]
    head = nn.Linear(width, int(y.max()) + 1).to(device)
    with one_thread():
        started = time.perf_counter()
        for _ in tune(encoder, head, prepared, y[rows], 1, recipe, torch.Generator().manual_seed(0)):
            pass
        return (time.perf_counter() - started) / len(rows)


def _wall(each: float, size: int, processes: int) -> float:
    """Return about how many seconds an epoch takes of all networks, at so many seconds an example of a step.

    A network without a fold sees (FOLDS - 1) / FOLDS of the examples, and is asked about the rest, a third of the work.
    """
    work = 1 + FOLDS * ((FOLDS - 1) / FOLDS + 1 / FOLDS / 3)
    return each * size * work / min(processes, FOLDS + 1) * (SLOWER if processes > 1 else 1)
