"""One random half of one domain: every method with few labels, with more and with all, in a process of its own."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from scipy.sparse import csr_matrix
from torch import Tensor

from domains.errors import UserError
from domains.labelled_examples import LabelledExamples
from learners import metrics, plain_strategies
from learners.base import Learner
from learners.choice.all_labels import adapt_to_all_labels
from learners.choice.portfolio import choose
from learners.choice.prior import Prior
from learners.classifier import Classifier
from learners.encoders.ngrams import count_ngrams
from learners.examples import Examples, join_views, select_rows
from learners.meta_model import MetaModel
from learners.plain.words import Words
from learners.support import Support
from tasks.adapt.adaptation import model_for, strategies_beside, widths_of
from tasks.bench.labels.draws import MOST_POOL, draw_even, draw_pool, halve, labelled_rows
from tasks.bench.labels.names import EVEN, FREQUENCIES, NATURAL, NONE, OURS
from tasks.bench.options import ALL
from tasks.features.spec import EncoderSpec


@dataclass(frozen=True)
class LabelsJob:
    """One half of a domain.

    Attributes:
        x: [n, D] features of the domain's examples; names: [C, D] of its labels' names, or None.
        half: the number of the draw.
        folder: of the meta-model; None: plain strategies and no prior.
        encoders: whose features stand side by side.
        frequencies: of the labels.
        parts: rows of which some are labelled, and rows of the test; None: random halves.
    """

    domain: LabelledExamples
    x: Tensor
    names: Tensor | None
    half: int
    shots: tuple[int, ...]
    pools: tuple[str, ...]
    methods: tuple[str, ...]
    seed: int
    folder: Path | None
    encoders: tuple[EncoderSpec, ...]
    frequencies: tuple[str, ...] = FREQUENCIES
    parts: tuple[np.ndarray, np.ndarray] | None = None

    @property
    def own_seed(self) -> int:
        """The seed of this half's draws."""
        return 1000 * self.seed + self.half


@dataclass(frozen=True)
class Views:
    """The examples of a domain in every view that there is: features [n, D], and of texts counts of n-grams [n, V]."""

    job: LabelsJob
    ngrams: csr_matrix | None

    def support(self, rows: np.ndarray, pool: np.ndarray) -> Support:
        """Return these rows as a support set, with a pool that may be empty."""
        x, y, labels = self.job.x, torch.from_numpy(self.job.domain.y[rows]), self.job.domain.labels
        pool_x, pool_ngrams = (x[pool], select_rows(self.ngrams, pool)) if len(pool) else (None, None)
        ngrams = select_rows(self.ngrams, rows), pool_ngrams
        widths = widths_of(self.job.encoders)
        return Support(x[rows], y, pool_x, self.job.names, labels, None, len(labels), *ngrams, widths)

    def examples(self, rows: np.ndarray) -> Tensor | Examples:
        """Return these rows in every view that there is."""
        return join_views(self.job.x[rows], select_rows(self.ngrams, rows))


@dataclass(frozen=True)
class LabelsScore:
    """One method with some of the labels of one half; ``seconds`` of CPU time are those of the adaptation.

    ``k``: labels a class; None: all. ``labels``: how many there are in all. ``strategy``: that was chosen.
    """

    half: int
    k: int | None
    labels: int
    frequencies: str
    pool: str
    method: str
    accuracy: float
    balanced_accuracy: float
    macro_f1: float
    log_loss: float
    ece: float
    strategy: str
    seconds: float


def cells_of(shots: Sequence[int], every: Sequence[str] = FREQUENCIES) -> Iterator[tuple[int, str]]:
    """Yield labels a class, and their frequencies: all labels are as frequent as they are."""
    for k in shots:
        for frequencies in every if k != ALL else (NATURAL,):
            yield k, frequencies


def pools_measured(pools: Sequence[str], labelled: int, unlabelled: int) -> list[str]:
    """Return the pools that are measured: where there are fewer unlabelled examples than labels, none."""
    return [kind for kind in pools if kind == NONE or 0 < labelled <= unlabelled]


def measure_half(job: LabelsJob, advance: Callable[[int], None] = lambda n: None) -> list[LabelsScore]:
    """Return the scores of every method, number of labels and pool.

    Test examples are as frequent as those of the pool: of a natural pool, and of none, they are the other half as it
    is; of an even one they are drawn evenly from the classes that are in the pool. Acclimate's model is scored as it
    is in use. What reads no pool is adapted once and scored on each test.

    Raises:
        UserError: the labelled examples cannot be adapted to.
    """
    model, y, scores = model_of(job), job.domain.y, list[LabelsScore]()
    views = Views(job, count_ngrams(job.domain.examples) if job.domain.family == "text" else None)
    train, test = job.parts or halve(len(y), job.domain.groups, job.own_seed)
    plain = plain_learners(job)
    for k, frequencies in cells_of(job.shots, job.frequencies):
        advance(1)
        found = labelled_rows(y[train], k, frequencies, job.own_seed)
        if found is None:
            continue
        rows, rest = train[found], np.delete(train, found)
        alone: dict[str, tuple[Classifier, str, float]] = {}
        for kind in pools_measured(job.pools, len(rows), len(rest)):
            pool, queries = draw_pool(y, rest, kind, job.own_seed), test
            if kind == EVEN:
                same = test[np.isin(y[test], y[pool])]
                queries = draw_even(y, same, MOST_POOL, np.random.default_rng(job.own_seed))
            for method in job.methods:
                if method == OURS:
                    adapted = adapt_portfolio(job, model, views.support(rows, pool))
                elif method in alone:
                    adapted = alone[method]
                else:
                    adapted = alone[method] = adapt_alone(plain[method], views.support(rows, rows[:0]))
                classifier, strategy, seconds = adapted
                p = classifier.predict_proba(views.examples(queries)).double().numpy()
                measures = measure_all(p, y[queries])
                cell = job.half, None if k == ALL else k, len(rows), frequencies, kind, method
                scores.append(LabelsScore(*cell, *measures, strategy, seconds))
    return scores


def model_of(job: LabelsJob) -> MetaModel:
    """Return the job's meta-model, or one of plain strategies alone."""
    first = job.encoders[0]
    if job.folder is None:
        return MetaModel(job.domain.family, first.identity, first.dim, None, {}, Prior(), last=first.last)
    return model_for(MetaModel.load(job.folder), job.encoders)


def plain_learners(job: LabelsJob) -> dict[str, Learner]:
    """Return the methods of a job that read no pool and no meta-model."""
    first = job.encoders[0]
    known = plain_strategies(first.dim, first.last) | {Words.name: Words(first.dim)}
    return {name: known[name] for name in job.methods if name != OURS}


def adapt_portfolio(job: LabelsJob, model: MetaModel, support: Support) -> tuple[Classifier, str, float]:
    """Return the portfolio's classifier as it is in use, the strategy that it chose, and CPU seconds."""
    started, generator = time.process_time(), torch.Generator().manual_seed(job.own_seed)
    try:
        choice = choose(model.strategies, support, model.prior, generator, others=strategies_beside(job.encoders))
    except ValueError as error:
        raise UserError(
            f"{job.domain.name}, half {job.half}, {len(support.y)} labels: {error}; look at its examples, or leave the "
            "domain out"
        ) from error
    return choice.classifier.in_use(), choice.strategy, time.process_time() - started


def adapt_alone(learner: Learner, support: Support) -> tuple[Classifier, str, float]:
    """Return the classifier of one learner by the first encoder, its name, and CPU seconds."""
    started, first = time.process_time(), support.of_encoder(0)
    return first.reading(adapt_to_all_labels(learner, first)), learner.name, time.process_time() - started


def measure_all(p: np.ndarray, y: np.ndarray) -> tuple[float, ...]:
    """Return accuracy, balanced accuracy, macro-F1, log-loss and ECE of probabilities [n, N] and labels [n]."""
    found = (metrics.accuracy, metrics.balanced_accuracy, metrics.macro_f1, metrics.log_loss, metrics.ece)
    return tuple(float(measure(p, y)) for measure in found)
