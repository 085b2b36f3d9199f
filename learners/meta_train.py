"""The meta-training loop of every learner: episodes, an optimiser, validation, checkpoints."""

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Literal

import torch
from torch import distributed

from domains.episode import Episode, Pile, Shape, draw
from learners import checkpoint
from learners.base import Learner
from learners.bodies.norm import measure
from learners.optimisers import SGD, Adam
from learners.support import Support
from learners.temperature import best_temperature


@dataclass(frozen=True)
class Training:
    """How to meta-train: everything here is part of a meta-model's identity.

    Args:
        steps: meta-updates; batch: episodes a meta-update.
        rate: the optimiser's learning rate at the start.
        optimiser: Adam, or plain gradient descent (Reptile's interpolation).
        schedule: how the rate goes to zero, or that it does not.
        clip: the largest norm of a meta-gradient.
        every: meta-updates between validations (and checkpoints).
        episodes: validation episodes, the same ones each time.
        seed: of the episode sampler and of the validation episodes.
    """

    shape: Shape = field(default_factory=Shape)
    steps: int = 400
    batch: int = 4
    rate: float = 2e-3
    optimiser: Literal["adam", "sgd"] = "adam"
    schedule: Literal["cosine", "linear", "constant"] = "cosine"
    clip: float = 5.0
    every: int = 50
    episodes: int = 40
    seed: int = 0

    def rate_at(self, done: float) -> float:
        """Return the learning rate when such a share of the training is done."""
        factor = {"cosine": (1 + math.cos(math.pi * done)) / 2, "linear": 1 - done, "constant": 1.0}
        return self.rate * factor[self.schedule]


@dataclass(frozen=True)
class History:
    """Means since the last validation: step, meta-loss, validation loss and accuracy, one entry a validation."""

    step: list[int] = field(default_factory=list)
    loss: list[float] = field(default_factory=list)
    validation_loss: list[float] = field(default_factory=list)
    validation_accuracy: list[float] = field(default_factory=list)


class Diverged(RuntimeError):
    """The loss stopped being a number; the last checkpoint is kept."""


def meta_train(
    learner: Learner,
    piles: Sequence[Pile],
    validation: Sequence[Pile],
    training: Training,
    path: Path | None = None,
    progress: Callable[[int], None] = lambda steps: None,
) -> History:
    """Meta-train a learner in place and leave it with its best parameters by validation loss.

    min_theta  E_episode[ learner.meta_loss(episode; theta) ]. With a ``path`` the state (parameters, best parameters,
    optimiser, sampler) is saved at every validation, and an interrupted call goes on from there to the same end, bit
    for bit on the same machine and number of threads and processes, as one that was never stopped. Within a process
    group of ``torch.distributed`` every process does its share of each batch, and all end with the same parameters.

    Args:
        progress: called with the number of meta-updates done since its last call.

    Raises:
        ValueError: episodes can have more classes than the learner, or there are fewer in a batch than processes.
        Diverged: the loss or its gradient is not finite.
    """
    rank, processes = (distributed.get_rank(), distributed.get_world_size()) if distributed.is_initialized() else (0, 1)
    _check(learner, [*piles, *validation], training, processes)
    generator = torch.Generator().manual_seed(training.seed)
    held_out = validation_episodes(validation, training)
    optimiser = make_optimiser(learner, training)
    device = next(learner.parameters()).device
    run = checkpoint.Run(learner, optimiser, generator)
    history, done, losses = History(), 0, []
    if found := run.restore(path):
        best, about = found
        history, done = History(**about["history"]), int(about["step"])
        progress(done)
    else:
        _settle(learner, piles, training)
        _validate(learner, held_out, history, 0, math.nan)
        best = {name: value.clone() for name, value in learner.state_dict().items()}
    for step in range(done, training.steps):
        batch = draw_batch(piles, training, generator)
        share = [episode.to(device) for episode in batch[rank::processes]]
        gather = partial(_gather, learner, share=len(share) / len(batch), processes=processes)
        losses += meta_update(learner, optimiser, training, step / training.steps, share, gather)
        progress(1)
        if (step + 1) % training.every == 0 or step + 1 == training.steps:
            _settle(learner, piles, training)
            _validate(learner, held_out, history, step + 1, sum(losses) / len(losses))
            losses.clear()
            if history.validation_loss[-1] <= min(history.validation_loss):
                best = {name: value.clone() for name, value in learner.state_dict().items()}
            if path is not None and rank == 0:
                run.keep(path, best, {"step": step + 1, "history": asdict(history)})
    learner.load_state_dict(best)
    learner.eval()
    return history


def make_optimiser(learner: Learner, training: Training) -> torch.optim.Optimizer:
    """Return the optimiser of a training, before its first step."""
    kind = Adam if training.optimiser == "adam" else SGD
    return kind(learner.parameters(), lr=training.rate)


def draw_batch(piles: Sequence[Pile], training: Training, generator: torch.Generator) -> list[Episode]:
    """Return the episodes of one meta-update."""
    return [draw(piles, training.shape, generator) for _ in range(training.batch)]


def meta_update(
    learner: Learner,
    optimiser: torch.optim.Optimizer,
    training: Training,
    done: float,
    episodes: Sequence[Episode],
    gather: Callable[[list[float]], list[float]] = lambda losses: losses,
) -> list[float]:
    """Make one meta-update by a batch of episodes; return their losses.

    Args:
        done: share of the training before it, 0 to below 1.
        gather: makes gradients and losses of a part of the batch those of all of it.

    Raises:
        Diverged: the loss or its gradient is not finite.
    """
    learner.set_progress(done)
    for group in optimiser.param_groups:
        group["lr"] = training.rate_at(done)
    optimiser.zero_grad()
    losses = gather(learner.backward(episodes))
    norm = torch.nn.utils.clip_grad_norm_(learner.parameters(), training.clip).item()
    if not math.isfinite(sum(losses) + norm):
        raise Diverged(
            f"{learner.name}: meta-loss is {losses[-1]}, its gradient's norm {norm}, "
            f"at step {round(done * training.steps) + 1}, learning rate {training.rate}; lower it and start again"
        )
    optimiser.step()
    return losses


def _check(learner: Learner, piles: Sequence[Pile], training: Training, processes: int) -> None:
    if training.batch < processes:
        raise ValueError(f"a batch of {training.batch} episodes is too few for {processes} processes; enlarge it")
    for pile in piles:
        most = min(training.shape.ways[1], len(pile.sizes[0]))
        if learner.ways is not None and not pile.shared and most > learner.ways:
            raise ValueError(
                f"domain {pile.name}: episodes of up to {most} classes, {learner.name} was made for {learner.ways}; "
                f"take Shape(ways=({learner.ways}, {learner.ways})) or more ways"
            )


def _settle(learner: Learner, piles: Sequence[Pile], training: Training) -> None:
    """Measure the statistics of normalisations that are to be those of the sources, on fixed source episodes."""
    generator = torch.Generator().manual_seed(training.seed + 2)
    episodes = (draw(piles, training.shape, generator) for _ in range(16))
    device = next(learner.parameters()).device
    measure(learner.trunk, (torch.cat([e.support_x, e.query_x]).to(device) for e in episodes))


def _gather(learner: Learner, losses: list[float], share: float, processes: int) -> list[float]:
    """Make every gradient the one of the whole batch; return the losses of the whole batch, in a fixed order.

    A process whose episodes do not reach a parameter, as those without label names do not reach what weighs these,
    adds 0; one that no process reaches has no gradient, as with one process.
    """
    if processes == 1:
        return losses
    parameters = [p for p in learner.parameters() if p.requires_grad]
    reached = parameters[0].new_tensor([p.grad is not None for p in parameters])
    parts = [p.new_zeros(p.numel()) if p.grad is None else p.grad.flatten() * share for p in parameters]
    flat = torch.cat([reached, *parts])
    distributed.all_reduce(flat)
    reached, *parts = flat.split([len(parameters), *(p.numel() for p in parameters)])
    for p, part, by in zip(parameters, parts, reached.tolist(), strict=True):
        p.grad = part.view_as(p).clone() if by else None
    every: list[list[float]] = [[]] * processes
    distributed.all_gather_object(every, losses)
    return [loss for part in every for loss in part]


def validation_episodes(piles: Sequence[Pile], training: Training) -> list[Episode]:
    """Return the episodes that a training is validated on, the same ones each time."""
    generator = torch.Generator().manual_seed(training.seed + 1)
    return [draw(piles, training.shape, generator) for _ in range(training.episodes)]


def _validate(learner: Learner, episodes: list[Episode], history: History, step: int, loss: float) -> None:
    """Add what ``validate`` returns to the history."""
    held_out, accuracy = validate(learner, episodes)
    history.step.append(step)
    history.loss.append(loss)
    history.validation_loss.append(held_out)
    history.validation_accuracy.append(accuracy)


def validate(learner: Learner, episodes: Sequence[Episode]) -> tuple[float, float]:
    """Return the loss, at the temperature that suits all episodes if the meta-loss is such too, and the accuracy."""
    learner.eval()
    every = []
    for episode in (episode.to(next(learner.parameters()).device) for episode in episodes):
        classifier = learner.adapt(Support.of(episode))
        with torch.no_grad():
            every.append((classifier.logits(episode.query_x), episode.query_y))
    learner.train()
    temperature = best_temperature(*zip(*every, strict=True)) if learner.capabilities.scaled_loss else 1.0
    losses = [torch.nn.functional.cross_entropy(z / temperature, y).item() for z, y in every]
    right = [(z.argmax(1) == y).float().mean().item() for z, y in every]
    return sum(losses) / len(losses), sum(right) / len(right)
