"""Champions whose new examples are not like the ones they learned from: what they then say, and how often they err."""

import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from domains.labelled_examples import LabelledExamples
from learners.classifier import Classifier
from learners.encoders.ngrams import count_ngrams
from learners.shift.accuracy_estimate import Evidence
from learners.shift.typicality import ClassDistance, Columns, Typicality
from tasks.bench.labels.measure import LabelsJob, Views, adapt_portfolio, model_of
from tasks.features.spec import EncoderSpec

POOL, HELD_OUT = 0.15, 0.25  # shares of a domain's examples
LABELS = (0.08, 0.2)  # share that is labelled for training, from and to
FEWEST_LABELS, FEWEST_NEW = 60, 60
SEVERITY = (0.1, 0.6)  # share of new examples that are of another kind, from and to
LEFT_OUT = 0.25  # of the classes

SAME, OTHER_LABELS, OTHER_KIND = "like the old ones", "other label frequencies", "another kind within classes"
FOREIGN, NEW_CLASSES = "foreign examples among them", "classes that are new"
SHIFTS = (SAME, OTHER_LABELS, OTHER_KIND, FOREIGN, NEW_CLASSES)
NONE = -1  # label of an example that is of no class


@dataclass(frozen=True)
class ShiftJob:
    """All trials of a domain.

    Attributes:
        domain: its examples, and foreign ones, whose label is NONE.
        x: [n, D] their features; encoders: whose features stand side by side.
    """

    domain: LabelledExamples
    x: Tensor
    encoders: tuple[EncoderSpec, ...]
    trials: int
    seed: int


@dataclass(frozen=True)
class ShiftTrial:
    """One champion and new examples: what is known of its accuracy there without labels, and that accuracy."""

    domain: str
    shift: str
    evidence: Evidence
    accuracy: float


def run_shifts(job: ShiftJob, advance: Callable[[int], None] = lambda n: None) -> list[ShiftTrial]:
    """Return a trial a shift and number.

    A champion is the portfolio of a few plain strategies, adapted to a few labels a class and a pool, and in use. Held
    out is a part of the domain like the part that it was adapted to. Of every trial three champions are made: one for
    SAME, OTHER_LABELS and FOREIGN; one that saw one half of each class only, as 2-means divides it
    (OTHER_KIND); one that does not know some classes (NEW_CLASSES).
    """
    found = []
    for number in range(job.trials):
        rng = np.random.default_rng((job.seed, zlib.crc32(job.domain.name.encode()), number))
        for make in (usual_champion, one_sided_champion, narrow_champion):
            found += list(make(job, rng))
            advance(1)
    return found


def usual_champion(job: ShiftJob, rng: np.random.Generator) -> Iterator[ShiftTrial]:
    """Yield trials of a champion of all classes and kinds."""
    y = job.domain.y
    own, foreign = np.flatnonzero(y != NONE), rng.permutation(np.flatnonzero(y == NONE))
    parts = divide(rng.permutation(own), rng)
    champion = Champion.adapted(job, parts, rng)
    size = new_size(parts.rest, rng)
    yield champion.trial(SAME, parts.rest[:size])
    weights = rng.dirichlet(np.full(int(y.max()) + 1, rng.uniform(0.3, 2.0)))[y[parts.rest]] + 1e-9
    yield champion.trial(
        OTHER_LABELS, rng.choice(parts.rest, min(size, len(parts.rest) // 2), False, weights / weights.sum())
    )
    strangers = foreign[: round(rng.uniform(*SEVERITY) * size)]
    yield champion.trial(FOREIGN, np.concatenate([parts.rest[: size - len(strangers)], strangers]))


def one_sided_champion(job: ShiftJob, rng: np.random.Generator) -> Iterator[ShiftTrial]:
    """Yield a trial of a champion that knows one half of each class, where many new examples are of the other."""
    own = rng.permutation(np.flatnonzero(job.domain.y != NONE))
    side = halves_of_classes(job.x[own], job.domain.y[own], rng)
    one, other = own[side], own[~side]
    parts = divide(one, rng)
    size = min(new_size(parts.rest, rng), len(other))
    strangers = round(rng.uniform(*SEVERITY) / SEVERITY[1] * size)
    yield Champion.adapted(job, parts, rng).trial(
        OTHER_KIND, np.concatenate([parts.rest[: size - strangers], other[:strangers]])
    )


def narrow_champion(job: ShiftJob, rng: np.random.Generator) -> Iterator[ShiftTrial]:
    """Yield a trial of a champion that does not know some classes, of which there are new examples."""
    y = job.domain.y
    known = np.unique(y[y != NONE])
    if len(known) < 4:
        return
    out = rng.permutation(known)[: max(1, round(LEFT_OUT * len(known)))]
    own = rng.permutation(np.flatnonzero((y != NONE) & ~np.isin(y, out)))
    missing = rng.permutation(np.flatnonzero(np.isin(y, out)))
    parts = divide(own, rng)
    size = new_size(parts.rest, rng)
    strangers = missing[: round(rng.uniform(*SEVERITY) * size)]
    yield Champion.adapted(job, parts, rng).trial(
        NEW_CLASSES, np.concatenate([parts.rest[: size - len(strangers)], strangers])
    )


@dataclass(frozen=True)
class Parts:
    """Rows of a domain: labelled, of the pool, held out, and the rest, that new ones are taken from."""

    train: np.ndarray
    pool: np.ndarray
    held_out: np.ndarray
    rest: np.ndarray


def divide(rows: np.ndarray, rng: np.random.Generator) -> Parts:
    """Divide rows that are in random order."""
    n = len(rows)
    labels = max(FEWEST_LABELS, round(rng.uniform(*LABELS) * n))
    ends = np.cumsum([labels, round(POOL * n), round(HELD_OUT * n)])
    return Parts(*np.split(rows, ends))


def new_size(rest: np.ndarray, rng: np.random.Generator) -> int:
    """Return how many new examples a trial has."""
    return int(rng.integers(min(FEWEST_NEW, len(rest)), max(FEWEST_NEW + 1, len(rest))))


def halves_of_classes(x: Tensor, y: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return which examples [n] are in the first of two clusters of their class."""
    from sklearn.cluster import KMeans

    unit, side = F.normalize(x, dim=1).numpy(), np.zeros(len(y), bool)
    for label in np.unique(y):
        rows = np.flatnonzero(y == label)
        if len(rows) > 1:
            found = KMeans(2, n_init=1, random_state=int(rng.integers(1 << 31))).fit_predict(unit[rows])
            side[rows] = found == rng.integers(2)
        else:
            side[rows] = True
    return side


@dataclass(frozen=True)
class Champion:
    """A classifier in use, what tells what lies outside, and of held-out examples: is it right, how sure is it."""

    job: ShiftJob
    views: Views
    classifier: Classifier
    typicality: Typicality
    right: np.ndarray
    sure: np.ndarray

    @classmethod
    def adapted(cls, job: ShiftJob, parts: Parts, rng: np.random.Generator) -> "Champion":
        """Return the champion of a division."""
        y = job.domain.y
        present, labels = np.unique(y[parts.train], return_inverse=True)
        local = np.full(len(y), NONE)
        local[parts.train] = labels
        domain = replace(job.domain, y=local, labels=tuple(job.domain.labels[i] for i in present))
        ngrams = None if domain.family != "text" else ngrams_of(job)
        made = LabelsJob(domain, job.x, None, 0, (), (), (), int(rng.integers(1 << 20)), None, job.encoders)
        views = Views(made, ngrams)
        classifier, _, _ = adapt_portfolio(made, model_of(made), views.support(parts.train, parts.pool))
        p = classifier.predict_proba(views.examples(parts.held_out))
        distance = ClassDistance.fit(job.x[parts.train], torch.from_numpy(labels), columns_of(job.encoders))
        typicality = Typicality.of(distance, distance(job.x[parts.held_out]), p.max(1).values)
        right = present[p.argmax(1).numpy()] == y[parts.held_out]
        return cls(job, views, classifier, typicality, right, p.max(1).values.numpy())

    def trial(self, shift: str, rows: np.ndarray) -> ShiftTrial:
        """Return what the champion says of new examples, and its accuracy there."""
        p = self.classifier.predict_proba(self.views.examples(rows))
        typical = self.typicality(self.job.x[rows], p).numpy()
        evidence = Evidence.of(self.right, self.sure, p.max(1).values.numpy(), typical)
        names, y = self.views.job.domain.labels, self.job.domain.y[rows]
        right = [
            label != NONE and names[named] == self.job.domain.labels[label]
            for named, label in zip(p.argmax(1).tolist(), y.tolist(), strict=True)
        ]
        return ShiftTrial(self.job.domain.name, shift, evidence, float(np.mean(right)))


def columns_of(encoders: tuple[EncoderSpec, ...]) -> list[Columns]:
    """Return where the features of each encoder's last layer lie."""
    columns, start = [], 0
    for spec in encoders:
        columns.append((start, start + (spec.last or spec.dim)))
        start += spec.dim
    return columns


_counted: dict[str, Any] = {}


def ngrams_of(job: ShiftJob) -> Any:
    """Return the n-grams of a job's texts, counted once a domain."""
    if job.domain.name not in _counted:
        _counted.clear()
        _counted[job.domain.name] = count_ngrams(job.domain.examples)
    return _counted[job.domain.name]
