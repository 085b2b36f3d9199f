"""Draws of the protocols that figures are published on, by the machinery of the benchmark over the number of labels."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from tasks.bench.adapt.methods import NAMELESS, PLAIN
from tasks.bench.labels.measure import LabelsJob, LabelsScore, measure_half
from tasks.bench.labels.names import OURS
from tasks.bench.options import ALL

WAYS, QUERIES = 5, 25  # classes of an episode, and queries a class, as published


@dataclass(frozen=True)
class PublishedJob:
    """Some draws of a domain.

    Attributes:
        whole: all of the domain, and how many labels a class are drawn.
        numbers: of the draws.
        in_episodes: a draw is an episode of WAYS classes, at one K; else all classes take part, and ``whole`` has the
            published parts.
    """

    whole: LabelsJob
    numbers: range
    in_episodes: bool


def measure_draws(job: PublishedJob, advance: Callable[[int], None] = lambda n: None) -> list[LabelsScore]:
    """Return the scores of every draw, number of labels, pool and method.

    Raises:
        UserError: the labelled examples cannot be adapted to.
    """
    scores = []
    for number in job.numbers:
        draw = replace(job.whole, half=number)
        if job.in_episodes:
            scores += measure_episode(draw)
        else:
            scores += measure_split(draw)
        advance(1)
    return scores


def measure_split(job: LabelsJob) -> list[LabelsScore]:
    """Return the scores of every method, of NAMELESS too: the portfolio that is not told the names of labels."""
    scores = measure_half(replace(job, methods=tuple(name for name in job.methods if name != NAMELESS)))
    if NAMELESS in job.methods:
        nameless = measure_half(replace(job, names=None, methods=(OURS,)))
        scores += [replace(score, method=NAMELESS) for score in nameless]
    return scores


def measure_episode(job: LabelsJob) -> list[LabelsScore]:
    """Return the scores of every method on an episode; the portfolio has no meta-model there."""
    scores = measure_half(draw_episode(job))
    return [replace(s, k=job.shots[0], method=PLAIN if s.method == OURS else s.method) for s in scores]


def draw_episode(job: LabelsJob) -> LabelsJob:
    """Return the episode of a draw: WAYS of its classes, of each K labelled examples and at most QUERIES others."""
    rng, y, (k,) = np.random.default_rng(job.own_seed), job.domain.y, job.shots
    classes = rng.permutation(np.unique(y))[:WAYS]
    drawn = [rng.permutation(np.flatnonzero(y == c))[: k + QUERIES] for c in classes]
    rows, place = np.concatenate(drawn), np.concatenate([np.arange(len(some)) for some in drawn])
    own = np.repeat(np.arange(len(classes)), [len(some) for some in drawn])
    labels = tuple(job.domain.labels[c] for c in classes)
    return replace(
        job,
        domain=replace(job.domain.take(rows.tolist()), y=own, labels=labels),
        x=job.x[rows],
        names=None if job.names is None else job.names[classes],
        shots=(ALL,),
        parts=(np.flatnonzero(place < k), np.flatnonzero(place >= k)),
    )
