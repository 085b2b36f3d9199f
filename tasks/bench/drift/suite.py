"""How often drift is found where there is none, and where there is: trials on the real domains of the quick start."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from domains.domain import Domain, Family, Split
from domains.episode import draw_support
from domains.errors import UserError
from learners import plain_strategies
from learners.choice.all_labels import adapt_to_all_labels
from learners.shift.drift import Drift, drift_test
from learners.support import Support
from tasks.base.progress import progress
from tasks.base.settings import Settings
from tasks.base.side_by_side import run_side_by_side
from tasks.bench.drift.market import bench_market_drift, say_limits
from tasks.bench.drift.rows import rate_row
from tasks.bench.options import BenchOptions, Row
from tasks.features.encoders import encoder_identity, last_layer
from tasks.features.encoding import encode
from tasks.features.store import FeatureStore, key_of

ALPHA, TRIALS = 0.01, 200
NEW, OLD, SHOTS = 500, 1000, 10  # of a small domain a third is new
MOST = 1800  # examples of a domain that trials draw from
SWAPPED = 0.3  # share of the new examples that come from another domain
TILT = 3.0  # a tilted domain has every second class so many times as often
RESOLUTION = 4  # divisions are fewer than in use: the false-alarm rate is the same
NAMES: dict[Family, tuple[str, ...]] = {
    "text": ("hpo", "bbc", "trec", "drugreviews"),
    "vision": ("digits", "mnist", "glyphs-latin", "glyphs-greek"),
}
MEASURED = ("hpo", "bbc", "trec", "digits")
SPLITS: tuple[Split, ...] = ("train", "pool", "test")
Say = Callable[[str], None]


@dataclass(frozen=True)
class Sample:
    """Examples of a domain: features x [n, D] and labels y [n], -1 where there is none."""

    name: str
    x: Tensor
    y: Tensor


@dataclass(frozen=True)
class DriftJob:
    """All trials of a domain, and the domains of its family whose examples are swapped in, in turn."""

    own: Sample
    others: tuple[Sample, ...]
    last: int | None
    trials: int
    seed: int


#: Outcomes of the trials by setting.
Found = dict[str, list[Drift]]


def bench_drift(settings: Settings, options: BenchOptions, say: Say = lambda line: None) -> list[Row]:
    """Run the benchmark and return its rows: a rate a domain, setting and test, with its exact 95 % interval.

    Protocol of texts and images: from at most MOST examples of a domain, ten labelled a class, 1,000 old and 500 new
    ones are drawn anew in every trial, none twice. ``transductive`` is adapted to the labelled and the old ones as its
    pool, as a champion is; its probabilities go into the test of labels. Then the new ones are left as they are, or
    30 % of them are swapped for examples of another domain of the family, or they are drawn with every second class
    three times as often.

    Raises:
        UserError: a domain is not in ``data/``.
    """
    trials = options.draws or TRIALS
    names = [name for name in MEASURED if not options.domains or name in options.domains]
    made: dict[Family, list[Sample]] = {family: read_samples(settings, family, options.domains) for family in NAMES}
    jobs = [
        DriftJob(
            own, tuple(other for other in found if other.name != own.name), last_layer(family), trials, settings.seed
        )
        for family, found in made.items()
        for own in found
        if own.name in names and len(found) > 1
    ]
    with progress("bench drift", 3 * trials * len(jobs)) as advance:
        done = run_side_by_side(
            measure_drift, jobs, settings.processes, advance, lambda job, found: say(result_line(job, found))
        )
    rows = [row for job, found in zip(jobs, done, strict=True) for row in rate_rows(job, found)]
    if not options.domains or "stocks" in options.domains:
        rows += bench_market_drift(settings, trials, say)
    if "limits" in options.domains:
        rows += say_limits(settings, say)
    if not rows:
        raise UserError(f"nothing to measure; --domains takes {', '.join((*MEASURED, 'stocks', 'limits'))}")
    return rows


def read_samples(settings: Settings, family: Family, only: Sequence[str]) -> list[Sample]:
    """Return features of the family's domains; none where no measured domain is asked for, or images are not cached.

    Raises:
        UserError: a domain is not in ``data/``.
    """
    if only and not set(only) & set(NAMES[family]) & set(MEASURED):
        return []
    domains_read = []
    for name in NAMES[family]:
        if not (settings.data_path / name / "domain.yaml").exists():
            raise UserError(f"{name} is not in data/; run `acclimate data build` first")
        domains_read.append(read_sample(Domain.read(settings.data_path / name), settings.seed))
    if family == "vision":  # encoding images takes minutes: what other work has encoded is used
        store = FeatureStore(settings.home_path / "features" / encoder_identity(family))
        known = set(store.get({key_of(example) for _, examples, _ in domains_read for example in examples}))
        domains_read = [keep_cached(each, known) for each in domains_read]
        domains_read = [each for each in domains_read if len(each[1]) >= NEW * SWAPPED]
    with progress(f"encode {family}", sum(len(examples) for _, examples, _ in domains_read)) as advance:
        return [
            Sample(name, encode(settings, family, examples, advance), torch.tensor(y))
            for name, examples, y in domains_read
        ]


def read_sample(domain: Domain, seed: int) -> tuple[str, list[Any], list[int]]:
    """Return at most MOST examples of all shards, none twice, with their labels; -1 in the pool."""
    labelled: dict[Any, int] = {}
    for split in SPLITS:
        if domain.has(split):
            column = domain.column(split)
            y = [-1] * len(column) if split == "pool" else domain.targets(split)
            labelled |= {example: label for example, label in zip(column, y, strict=True) if example not in labelled}
    order = np.random.default_rng(seed).permutation(len(labelled))[:MOST]
    every = list(labelled.items())
    return domain.name, [every[i][0] for i in order], [every[i][1] for i in order]


def keep_cached(domain: tuple[str, list[Any], list[int]], known: set[bytes]) -> tuple[str, list[Any], list[int]]:
    """Return those examples of a domain whose features are known."""
    name, examples, y = domain
    here = [i for i, example in enumerate(examples) if key_of(example) in known]
    return name, [examples[i] for i in here], [y[i] for i in here]


def measure_drift(job: DriftJob, advance: Callable[[int], None] = lambda n: None) -> Found:
    """Return the outcome of every trial in every setting."""
    x, y, found = job.own.x, job.own.y, {name: list[Drift]() for name in ("unchanged", "swapped", "tilted")}
    strategy, ways = plain_strategies(x.shape[1], job.last)["transductive"], int(y.max()) + 1
    for number in range(job.trials):
        generator = torch.Generator().manual_seed(job.seed * 100_000 + number)
        known = (y >= 0).nonzero()[:, 0]
        support = known[draw_support(y[known], SHOTS, generator)]
        rest = torch.randperm(len(x), generator=generator)
        rest = rest[~torch.isin(rest, support)]
        new_size = min(NEW, len(rest) // 3)
        new, old = rest[:new_size], rest[new_size : new_size + OLD]
        model = adapt_to_all_labels(strategy, Support(x[support], y[support], x[old], ways=ways))
        other = job.others[number % len(job.others)].x
        swapped = round(SWAPPED * new_size)
        stranger = other[torch.randperm(len(other), generator=generator)[:swapped]]
        classes = model.predict_proba(x).argmax(1)  # of the pool no label is known: the model's is as good a handle
        odds = torch.where(classes[rest] % 2 == 0, TILT, 1.0)
        tilted = rest[torch.multinomial(odds, new_size, generator=generator)]
        kept = rest[~torch.isin(rest, tilted)]
        kept = kept[torch.randperm(len(kept), generator=generator)][:OLD]
        for name, a, b in (
            ("unchanged", x[new], x[old]),
            ("swapped", torch.cat([x[new[swapped:]], stranger]), x[old]),
            ("tilted", x[tilted], x[kept]),
        ):
            p, q = model.predict_proba(a), model.predict_proba(b)
            found[name].append(drift_test(a[:, : job.last], b[:, : job.last], p, q, ALPHA, generator, RESOLUTION))
            advance(1)
    return found


SETTINGS = {
    "unchanged": "new examples of the same domain",
    "swapped": f"{100 * SWAPPED:.0f} % of another domain",
    "tilted": f"every second class {TILT:.0f} times as often",
}


def rate_rows(job: DriftJob, found: Found) -> list[Row]:
    """Return a row a setting and test."""
    rows = []
    for name, outcomes in found.items():
        hits = {
            "both": [o.found for o in outcomes],
            "features": [o.features.p <= ALPHA / 2 for o in outcomes],
            "labels": [o.labels.p <= ALPHA / 2 for o in outcomes],
        }
        metric = "false alarms" if name == "unchanged" else "detected"
        rows += [rate_row(job.own.name, SETTINGS[name], test, metric, each) for test, each in hits.items()]
    return rows


def result_line(job: DriftJob, found: Found) -> str:
    """Return the line that is said when a domain is done."""
    counts = [f"{name} {sum(o.found for o in outcomes)} of {len(outcomes)}" for name, outcomes in found.items()]
    return f"{job.own.name}: drift found: {', '.join(counts)}"
