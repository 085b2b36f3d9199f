"""Beside published figures of few-shot text classification, on their protocols: intents, and episodes of Bao et al."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import numpy as np
from torch import Tensor

from domains.catalogue import find_source
from domains.errors import UserError, check_known
from domains.labelled_examples import LabelledExamples
from domains.mirror import FileReader, read_mirror
from learners import metrics
from learners.meta_model import MetaModel
from tasks.adapt.plan import meta_model_in_service
from tasks.base.progress import progress
from tasks.base.settings import Settings
from tasks.base.side_by_side import run_side_by_side
from tasks.bench.adapt.methods import NAMELESS, PLAIN
from tasks.bench.labels.domains import is_known_to
from tasks.bench.labels.measure import LabelsJob, LabelsScore
from tasks.bench.labels.names import EVEN, FLOOR, NATURAL, NONE, OURS
from tasks.bench.options import BenchOptions, Row
from tasks.bench.published.figures import PUBLISHED
from tasks.bench.published.measure import WAYS, PublishedJob, measure_draws
from tasks.features.encoders import family_encoders, names_set
from tasks.features.encoding import encode, encode_names
from tasks.features.reading import readable
from tasks.features.spec import EncoderSpec

LOGISTIC = "logistic"
METHODS = (OURS, NAMELESS, PLAIN, FLOOR, LOGISTIC)  # of intents all but PLAIN, of episodes it and logistic
INTENTS = ("banking77", "clinc150", "hwu64")
DOMAINS = tuple(dict.fromkeys(domain for domain, _ in PUBLISHED))
POOLS = (NONE, NATURAL)  # of intents
SPLIT, TRAIN, TEST = "split", "train", "test"  # the column of a file of intents, and the parts that are used
DRAWS, EPISODES = 5, 300
AT_ONCE = 50  # episodes of a job
Say = Callable[[str], None]


@dataclass(frozen=True)
class Part:
    """A domain of the benchmark: its features x [n, D] by encoders side by side, and the numbers of labels a class."""

    domain: LabelledExamples
    x: Tensor
    encoders: tuple[EncoderSpec, ...]
    shots: tuple[int, ...]


def bench_published(settings: Settings, options: BenchOptions, say: Say = lambda line: None) -> list[Row]:
    """Measure on the protocols of published figures, and return the rows of both.

    Raises:
        UserError: a name is unknown, a file of the mirror or a meta-model is absent, or nothing is published of the
            numbers of labels asked for.
    """
    check_known(options.pools, POOLS, "pool", " in this benchmark")
    check_known(options.methods, METHODS, "method", " in this benchmark")
    check_known(options.domains, DOMAINS, "domain", " in this benchmark")
    shots = {
        name: tuple(k for k in options.shots if (name, k) in PUBLISHED)
        for name in DOMAINS
        if name in (options.domains or DOMAINS)
    }
    names = [name for name, some in shots.items() if some]
    if not names:
        raise UserError("--shots: nothing is published of so many labels; ask for 5 or 10 of intents, 1 or 5 of others")
    domains = {name: read_published(settings, name) for name in names}
    folder = meta_model_of_intents(settings, [name for name in names if name in INTENTS], say)
    encoders = {
        name: readable(settings, family_encoders("text"), d.examples, bool(names_set("text")))[0]
        for name, d in domains.items()
    }
    with progress("bench published: encode", sum(len(d.y) * len(encoders[n]) for n, d in domains.items())) as advance:
        x = {name: encode(settings, "text", d.examples, advance, encoders[name]) for name, d in domains.items()}
    parts = [Part(domains[name], x[name], encoders[name], shots[name]) for name in names]
    methods = [method for method in METHODS if method in (options.methods or METHODS)]
    jobs = [
        job
        for part in parts
        for job in (
            intent_jobs(settings, part, methods, options, folder)
            if part.domain.name in INTENTS
            else episode_jobs(settings, part, methods, options)
        )
    ]
    with progress("bench published", sum(len(job.numbers) for job in jobs)) as advance:
        done = run_side_by_side(
            measure_draws, jobs, settings.processes, advance, lambda job, found: say(job_line(job, found))
        )
    scores: dict[str, list[LabelsScore]] = defaultdict(list)
    for job, found in zip(jobs, done, strict=True):
        scores[job.whole.domain.name] += found
    return [row for name in names for k in shots[name] for row in rows_of(name, k, scores[name])]


def intent_jobs(
    settings: Settings, part: Part, methods: Sequence[str], options: BenchOptions, folder: Path | None
) -> list[PublishedJob]:
    """Return a job a draw: K labels of every class from the published train examples, and all test examples."""
    (names,) = encode_names(settings, "text", [part.domain.labels], part.encoders)
    train, test = (np.flatnonzero(np.array(part.domain.groups) == split) for split in (TRAIN, TEST))
    pools = tuple(pool for pool in POOLS if pool in (options.pools or POOLS))
    how = tuple(name for name in methods if name != PLAIN), settings.seed, folder, part.encoders, (EVEN,), (train, test)
    whole = LabelsJob(part.domain, part.x, names, 0, part.shots, pools, *how)
    return [PublishedJob(whole, range(i, i + 1), False) for i in range(options.draws or DRAWS)]


def episode_jobs(settings: Settings, part: Part, methods: Sequence[str], options: BenchOptions) -> list[PublishedJob]:
    """Return jobs of AT_ONCE episodes, for each K; names of labels are not read."""
    named = tuple(OURS if name == PLAIN else name for name in methods if name in (PLAIN, LOGISTIC))
    how = (NONE,), named, settings.seed, None, part.encoders
    numbers = range(options.episodes or EPISODES)
    return [
        PublishedJob(LabelsJob(part.domain, part.x, None, 0, (k,), *how), numbers[i : i + AT_ONCE], True)
        for k in part.shots
        for i in numbers[::AT_ONCE]
    ]


def read_published(settings: Settings, name: str) -> LabelledExamples:
    """Return a domain as published: of intents the examples of train and test, else those of the test classes.

    Raises:
        UserError: its file is not in the mirror, or lacks what is read.
    """
    read = cast(FileReader, find_source(name).read)
    group = SPLIT if name in INTENTS else None
    found = read_mirror(settings.mirror, "text", read.stem, read.label, group, read.without, read.only)
    if found.groups is not None:
        if missing := {TRAIN, TEST} - set(found.groups):
            raise UserError(
                f"{name}: no {' and no '.join(sorted(missing))} in column {SPLIT!r} of its file in the mirror"
            )
        found = found.take([i for i, part in enumerate(found.groups) if part in (TRAIN, TEST)])
    return replace(found, name=name)


def meta_model_of_intents(settings: Settings, intents: Sequence[str], say: Say) -> Path | None:
    """Return the folder of the meta-model that adapts to intents, and say which of them it was trained on."""
    if not intents:
        return None
    folder = meta_model_in_service(settings, "text").folder
    sources = MetaModel.load(folder).about.get("sources", {})
    for name in intents:
        if is_known_to(name, sources):
            say(f"{name}: the meta-model was trained on examples of it, so its figures compare with none")
    return folder


def rows_of(name: str, k: int, scores: Sequence[LabelsScore]) -> list[Row]:
    """Return the rows of a domain and K: means over draws with a Student-t interval, then what is published."""
    theirs = PUBLISHED[name, k]
    beside = {"published": next(iter(theirs.values()))}
    if len(theirs) > 1:
        beside["best_published"] = max(theirs.values())
    base = {"suite": "published", "domain": name}
    values: dict[tuple[str, str], list[LabelsScore]] = defaultdict(list)
    for score in scores:
        if score.k == k:
            values[score.pool, score.method].append(score)
    rows: list[Row] = []
    for (pool, method), found in values.items():
        mean, ci95 = metrics.mean_interval([score.accuracy for score in found])
        rows.append(
            base
            | {"setting": setting_of(name, k, pool), "method": method, "metric": "accuracy", "value": round(mean, 5)}
            | {"ci95": None if np.isnan(ci95) else round(ci95, 5), "n": len(found)}
            | {"seconds": round(float(np.mean([score.seconds for score in found])), 4)}
            | beside
        )
    for method, value in theirs.items():
        told = {"metric": "published accuracy", "value": value, "ci95": None, "n": None, "seconds": None}
        rows.append(base | {"setting": setting_of(name, k, NONE), "method": method} | told)
    return rows


def setting_of(name: str, k: int, pool: str) -> str:
    """Return how many labels and classes there are, and with which pool."""
    return f"K={k} pool={pool}" if name in INTENTS else f"{WAYS}-way K={k}"


def job_line(job: PublishedJob, found: Sequence[LabelsScore]) -> str:
    """Return the line that is said when a job is done: mean accuracies without a pool."""
    k, pool, numbers = job.whole.shots[-1], job.whole.pools[0], job.numbers
    by_method = defaultdict(list)
    for score in found:
        if (score.k, score.pool) == (k, pool):
            by_method[score.method].append(score.accuracy)
    parts = [f"{method} {100 * np.mean(values):.1f}" for method, values in by_method.items()]
    which = f"draw {numbers[0]}" if len(numbers) == 1 else f"draws {numbers[0]} to {numbers[-1]}"
    return f"{job.whole.domain.name} K={k}, {which}: {', '.join(parts)}"
