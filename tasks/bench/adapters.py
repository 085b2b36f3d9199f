"""Whether tuning gains by a learned start: Reptile over source domains on the matrices that tuning adds to an encoder.

A. Nichol, J. Achiam and J. Schulman. On first-order meta-learning algorithms. 2018. https://arxiv.org/abs/1803.02999
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from domains.labelled_examples import LabelledExamples
from learners import metrics
from learners.plain.tuned_encoder import fit_head, read, tune, tuned_state
from tasks.adapt.tuning import RECIPES
from tasks.base.progress import progress
from tasks.base.settings import Settings
from tasks.base.side_by_side import Advance, run_side_by_side
from tasks.bench.labels.domains import read_domain
from tasks.bench.options import BenchOptions, Row
from tasks.features.encoders import BUILT_IN, weights
from tasks.features.tuned import make_tunable

SOURCES = ("agnews", "20newsgroups", "snips", "clinc150", "stc2_stackoverflow", "tweeteval_emotion")
SOURCES += ("amazon_products", "mag", "huffpost", "banking77")
TARGETS = ("hwu64", "ohsumed23", "stc2_biomedical")
DRAWS = 2
STEPS, WAYS, PER_CLASS, EPOCHS = 130, 10, 16, 3  # of an episode: classes at most, examples of each, and epochs
TOKENS = 64  # word pieces of a text that are read, for time
STEP_SIZE = 0.4  # of the first meta-update; it falls to 0 in a line
TARGET_WAYS, QUERIES, TARGET_EPOCHS = 12, 40, 8
ZERO, LEARNED = "zero", "a learned start"

State = dict[str, Tensor]


@dataclass(frozen=True)
class TuneJob:
    """One draw of one domain at K labels a class, from every start: matrices of low rank by their names."""

    domain: LabelledExamples
    k: int
    draw: int
    starts: Mapping[str, State]
    folder: Path
    seed: int


def bench_adapters(settings: Settings, options: BenchOptions, say: Callable[[str], None]) -> list[Row]:
    """Learn a start by Reptile on SOURCES, then tune to few labels of TARGETS from it and from zero.

    The rows have accuracy in percent of the head on the start's vectors (``frozen``), and after tuning.

    Raises:
        UserError: a file of the mirror is absent, or a domain unknown.
    """
    spec = BUILT_IN["text"]["minilm"]
    folder, seed = weights(settings, spec), settings.seed
    targets = [read_domain(settings, name) for name in options.domains or TARGETS]
    sources = [read_domain(settings, name) for name in SOURCES if name not in {target.name for target in targets}]
    steps = options.steps or STEPS
    with progress("bench adapters: learn a start", steps) as advance:
        starts = learn_start(sources, folder, steps, seed, advance)
    jobs = [
        TuneJob(target, k, draw, starts, folder, seed)
        for target in targets
        for k in options.shots
        for draw in range(options.draws or DRAWS)
    ]
    with progress("bench adapters: tune", len(jobs)) as advance:
        done = run_side_by_side(measure_starts, jobs, settings.processes, advance)
    found: dict[tuple[str, int, str], list[float]] = defaultdict(list)
    for job, by_method in zip(jobs, done, strict=True):
        for method, accuracy in by_method.items():
            found[job.domain.name, job.k, method].append(accuracy)
    rows = []
    for (name, k, method), values in found.items():
        value, ci95 = metrics.mean_interval(values)
        about = {"suite": "adapters", "domain": name, "setting": f"K={k}", "method": method, "metric": "accuracy"}
        rows.append(about | {"value": round(value, 5), "ci95": ci95, "n": len(values), "seconds": None})
    return rows


def learn_start(
    sources: Sequence[LabelledExamples], folder: Path, steps: int, seed: int, advance: Advance = lambda n: None
) -> dict[str, State]:
    """Return the starts: zero, and what Reptile makes of it.

    theta <- theta + e_t (tuned to an episode from theta - theta), episodes of one source after the other.
    """
    torch.set_num_threads(1)
    encoder, recipe, rng = _tunable(folder, seed), RECIPES["text"], np.random.default_rng(seed)
    zero = {name: value.clone() for name, value in tuned_state(encoder.model).items()}
    theta = dict(zero)
    for step in range(steps):
        rows, y, _ = draw_ways(sources[step % len(sources)], WAYS, PER_CLASS, 0, rng)
        examples = [sources[step % len(sources)].examples[row] for row in rows]
        encoder.model.load_state_dict(theta, strict=False)
        prepared = encoder.prepare(examples)
        head, generator = fit_head(encoder, prepared, y), torch.Generator().manual_seed(step)
        for _ in tune(encoder, head, prepared, y, EPOCHS, recipe, generator):
            pass
        tuned, size = tuned_state(encoder.model), STEP_SIZE * (1 - step / steps)
        theta = {name: value + size * (tuned[name] - value) for name, value in theta.items()}
        advance(1)
    return {ZERO: zero, LEARNED: theta}


def measure_starts(job: TuneJob, advance: Advance) -> dict[str, float]:
    """Return accuracy from every start, before tuning and after it, on the same queries."""
    rng = np.random.default_rng((job.seed, job.draw))
    rows, y, where = draw_ways(job.domain, TARGET_WAYS, job.k, QUERIES, rng)
    support, queries = ([job.domain.examples[row] for row in some] for some in (rows, where[0]))
    found = {}
    for name, start in job.starts.items():
        encoder = _tunable(job.folder, job.seed)
        encoder.model.load_state_dict(start, strict=False)
        prepared, asked = encoder.prepare(support), encoder.prepare(queries)
        head = fit_head(encoder, prepared, y)
        found[f"{name}, frozen"] = _accuracy(encoder, head, asked, where[1])
        generator = torch.Generator().manual_seed(job.draw)
        for _ in tune(encoder, head, prepared, y, TARGET_EPOCHS, RECIPES["text"], generator):
            pass
        found[f"{name}, tuned"] = _accuracy(encoder, head, asked, where[1])
    advance(1)
    return found


def draw_ways(
    domain: LabelledExamples, ways: int, k: int, queries: int, rng: np.random.Generator
) -> tuple[list[int], Tensor, tuple[list[int], Tensor]]:
    """Return K rows of each of some classes with their labels from 0, and further rows and labels as queries."""
    enough = np.flatnonzero(np.bincount(domain.y) > k)
    drawn = [rng.permutation(np.flatnonzero(domain.y == c)) for c in rng.permutation(enough)[:ways]]
    parts = []
    for some in ([rows[:k] for rows in drawn], [rows[k : k + queries] for rows in drawn]):
        labels = np.repeat(np.arange(len(some)), [len(rows) for rows in some])
        parts.append((np.concatenate(some).tolist(), torch.from_numpy(labels)))
    return *parts[0], parts[1]


def _tunable(folder: Path, seed: int) -> Any:
    spec, generator = BUILT_IN["text"]["minilm"], torch.Generator().manual_seed(seed)
    encoder = make_tunable(spec, folder, RECIPES["text"].rank, generator)
    encoder.tokens = TOKENS
    return encoder


def _accuracy(encoder: Any, head: Any, asked: Sequence[Tensor], y: Tensor) -> float:
    with torch.no_grad():
        return float((head(read(encoder, asked)).argmax(1) == y).float().mean())
