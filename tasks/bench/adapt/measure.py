"""One domain of the benchmark of adaptation at one K: every method on the same draws, in a process of its own."""

import io
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from domains.labelled_examples import LabelledExamples
from learners import metrics
from learners.bodies import Body
from learners.encoders.ngrams import count_ngrams
from learners.examples import Examples, select_rows
from tasks.bench.adapt import models
from tasks.bench.adapt.draws import NATURAL, DrawProblem, draw_pool_rows, draw_support_rows
from tasks.bench.adapt.methods import (
    ABLATED,
    READ_POOL,
    TUNED,
    AdaptCase,
    Adapter,
    adapters,
    body_inputs,
    encoder_body,
    predict_in_parts,
)
from tasks.bench.adapt.rows import DrawScore, Scores

SMALL, LARGE = 64, 128  # pixels a side: as ``tasks.features.encoding.load_efficientnet``


@dataclass(frozen=True)
class AdaptJob:
    """All draws, pools and methods of one problem.

    Attributes:
        x: [n, D] features of the domain's examples; names: [C, D] of its labels' names, or None.
        folder: of the meta-model, or None where no method needs it.
        weights: folder of the encoder's weights; device: where fine-tuning runs.
    """

    domain: LabelledExamples
    task: DrawProblem
    x: np.ndarray
    names: np.ndarray | None
    methods: tuple[str, ...]
    pools: tuple[str, ...]
    draws: int
    tune_draws: int
    seed: int
    folder: Path | None
    weights: Path
    device: str = "cpu"


def measure_adaptation(job: AdaptJob, advance: Callable[[int], None] = lambda n: None) -> Scores:
    """Return the scores of every pool and method, one a draw.

    What reads no pool is adapted once a draw and stands beside every pool; what is slow, on its first draws only.
    """
    task, found = job.task, defaultdict(list)
    known = adapters_of(job)
    inputs = {is_raw: example_reader(job, is_raw) for is_raw in {method in TUNED for method in job.methods}}
    ngrams = count_ngrams(job.domain.examples) if job.domain.family == "text" else None
    tests = {is_raw: read(task.test) for is_raw, read in inputs.items()}
    if ngrams is not None and False in tests:
        tests[False] = Examples(tests[False], ngrams[task.test])
    names = None if job.names is None else torch.from_numpy(job.names[task.classes])
    for number in range(job.draws):
        support = draw_support_rows(task, job.seed, number)
        y, scored = torch.from_numpy(task.y[support]), {}
        for kind in job.pools:
            rows = draw_pool_rows(task, support, kind, job.seed, number)
            for method in job.methods:
                reads, is_raw = method in READ_POOL, method in TUNED
                if is_raw and number >= job.tune_draws:
                    continue
                if (key := (method, kind if reads else "")) not in scored:
                    x, pool, pool_ngrams = inputs[is_raw](support), None, None
                    if reads and len(rows):
                        pool, pool_ngrams = inputs[False](rows), select_rows(ngrams, rows)
                    views = None if is_raw else select_rows(ngrams, support), pool_ngrams
                    seed = 1000 * job.seed + number
                    case = AdaptCase(x, y.to(x.device), pool, names, len(task.classes), seed, *views)
                    test = tests[is_raw], task.y[task.test]
                    scored[key] = score_adapter(known[method], case, *test, is_raw, kind)
                found[kind, method].append(scored[key])
            advance(1)
    return dict(found)


def adapters_of(job: AdaptJob) -> dict[str, Adapter]:
    """Return what each method of a job does with a case."""
    parts = [ABLATED[method] for method in job.methods if method in ABLATED]
    model, less = (None, {}) if job.folder is None else models.load_meta_model(job.folder, parts)
    family, side = job.domain.family, image_side(job)

    def tunable(method: str) -> Body:
        return encoder_body(family, job.weights, method, side).to(job.device)

    return adapters(job.methods, family, job.x.shape[1], model, less, tunable)


def image_side(job: AdaptJob) -> int:
    """Return the side that images are fine-tuned at: that at which most of the domain's are encoded."""
    if job.domain.family != "vision":
        return 0
    sizes = [max(Image.open(io.BytesIO(image)).size) for image in job.domain.examples]
    return SMALL if np.median(sizes) <= SMALL else LARGE


def example_reader(job: AdaptJob, is_raw: bool) -> Callable[[np.ndarray], Tensor]:
    """Return what gives examples by their rows: raw ones on the job's device, or features."""
    if not is_raw:
        return lambda rows: torch.from_numpy(job.x[rows])
    family, side = job.domain.family, image_side(job)
    return lambda rows: body_inputs(family, job.weights, [job.domain.examples[i] for i in rows], side).to(job.device)


def score_adapter(
    adapter: Adapter, case: AdaptCase, x: Tensor | Examples, y: np.ndarray, is_raw: bool, pool: str = "none"
) -> DrawScore:
    """Adapt to a case and return how good it is on test examples, and the CPU seconds that adapting took.

    Where the pool is natural, test examples are as frequent as those in it, and a classifier may reckon with that.
    """
    started = time.process_time()
    classifier = adapter(case)
    seconds = time.process_time() - started
    classifier = classifier.in_use() if pool == NATURAL else classifier
    p = predict_in_parts(classifier, x, is_raw).cpu().double().numpy()
    return DrawScore(
        metrics.accuracy(p, y), metrics.log_loss(p, y), metrics.ece(p, y), metrics.ece_by_chance(p), seconds
    )
