"""The meta-training loop of every learner: episodes, an optimiser, validation, checkpoints."""

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from domains.episode import Episode, Pile, Shape, draw
from learners import checkpoint
from learners.base import Learner


@dataclass(frozen=True)
class Training:
    """How to meta-train: everything here is part of a meta-model's identity.

    Args:
        steps: meta-updates; batch: episodes a meta-update.
        rate: Adam's learning rate, annealed to zero by a cosine.
        every: meta-updates between validations (and checkpoints).
        episodes: validation episodes, the same ones each time.
        seed: of the episode sampler and of the validation episodes.
    """

    shape: Shape = field(default_factory=Shape)
    steps: int = 400
    batch: int = 4
    rate: float = 2e-3
    every: int = 50
    episodes: int = 40
    seed: int = 0


@dataclass(frozen=True)
class History:
    """Means since the last validation: step, meta-loss, validation loss and accuracy, one entry a validation."""

    step: list[int] = field(default_factory=list)
    loss: list[float] = field(default_factory=list)
    validation_loss: list[float] = field(default_factory=list)
    validation_accuracy: list[float] = field(default_factory=list)


class Diverged(RuntimeError):
    """The meta-loss stopped being a number; the last checkpoint is kept."""


def meta_train(
    learner: Learner,
    piles: Sequence[Pile],
    validation: Sequence[Pile],
    training: Training,
    path: Path | None = None,
    progress: Callable[[int], None] = lambda steps: None,
) -> History:
    """Meta-train a learner in place and leave it with its best parameters by validation loss.

    min_theta  E_episode[ learner.meta_loss(episode; theta) ] by Adam. With a ``path`` the state (parameters, best
    parameters, optimiser, sampler) is saved at every validation, and an interrupted call goes on from there to the
    same end as one that was never stopped.

    Args:
        progress: called with the number of meta-updates done since its last call.

    Raises:
        Diverged: the loss or its gradient is not finite.
    """
    generator = torch.Generator().manual_seed(training.seed)
    held_out = _episodes(validation, training)
    optimiser = torch.optim.Adam(learner.parameters(), lr=training.rate)
    best = {name: value.clone() for name, value in learner.state_dict().items()}
    history, done, losses = History(), 0, []
    if path is not None and (found := checkpoint.load(path)):
        history, done = _restore(found, learner, optimiser, generator, best)
        progress(done)
    if done == 0:
        _validate(learner, held_out, history, 0, math.nan)
    for step in range(done, training.steps):
        for group in optimiser.param_groups:
            group["lr"] = training.rate * 0.5 * (1 + math.cos(math.pi * step / training.steps))
        optimiser.zero_grad()
        for _ in range(training.batch):
            loss = learner.meta_loss(draw(piles, training.shape, generator)) / training.batch
            loss.backward()
            losses.append(loss.item() * training.batch)
        norm = torch.nn.utils.clip_grad_norm_(learner.parameters(), 5.0).item()
        if not math.isfinite(sum(losses) + norm):
            raise Diverged(
                f"{learner.name}: meta-loss is {losses[-1]}, its gradient's norm {norm}, at step {step + 1}, "
                f"learning rate {training.rate}"
            )
        optimiser.step()
        progress(1)
        if (step + 1) % training.every == 0 or step + 1 == training.steps:
            _validate(learner, held_out, history, step + 1, sum(losses) / len(losses))
            losses.clear()
            if history.validation_loss[-1] <= min(history.validation_loss):
                best = {name: value.clone() for name, value in learner.state_dict().items()}
            if path is not None:
                _keep(path, learner, optimiser, generator, best, history, step + 1)
    learner.load_state_dict(best)
    return history


def _episodes(piles: Sequence[Pile], training: Training) -> list[Episode]:
    generator = torch.Generator().manual_seed(training.seed + 1)
    return [draw(piles, training.shape, generator) for _ in range(training.episodes)]


def _validate(learner: Learner, episodes: list[Episode], history: History, step: int, loss: float) -> None:
    total, right = 0.0, 0.0
    for episode in episodes:
        classifier = learner.adapt(episode.support_x, episode.support_y, episode.pool_x)
        logits = classifier.logits(episode.query_x)
        total += torch.nn.functional.cross_entropy(logits, episode.query_y).item() / len(episodes)
        right += (logits.argmax(1) == episode.query_y).float().mean().item() / len(episodes)
    history.step.append(step)
    history.loss.append(loss)
    history.validation_loss.append(total)
    history.validation_accuracy.append(right)


def _keep(
    path: Path,
    learner: Learner,
    optimiser: torch.optim.Optimizer,
    generator: torch.Generator,
    best: dict[str, Tensor],
    history: History,
    step: int,
) -> None:
    tensors = {f"now.{name}": value for name, value in learner.state_dict().items()}
    tensors |= {f"best.{name}": value for name, value in best.items()}
    for i, state in optimiser.state_dict()["state"].items():
        tensors |= {f"adam.{i}.{name}": value for name, value in state.items()}
    tensors["generator"] = generator.get_state()
    checkpoint.save(path, tensors, {"step": step, "history": asdict(history)})


def _restore(
    found: tuple[dict[str, Tensor], dict[str, object]],
    learner: Learner,
    optimiser: torch.optim.Optimizer,
    generator: torch.Generator,
    best: dict[str, Tensor],
) -> tuple[History, int]:
    tensors, about = found
    learner.load_state_dict({name[4:]: value for name, value in tensors.items() if name.startswith("now.")})
    best.update({name[5:]: value for name, value in tensors.items() if name.startswith("best.")})
    state: dict[int, dict[str, Tensor]] = {}
    for name, value in tensors.items():
        if name.startswith("adam."):
            _, i, key = name.split(".")
            state.setdefault(int(i), {})[key] = value
    optimiser.load_state_dict({**optimiser.state_dict(), "state": state})
    generator.set_state(tensors["generator"])
    return History(**about["history"]), int(about["step"])  # type: ignore[arg-type, call-overload]
