"""How many labels suggestions save: accuracy by the number of labels, suggested or drawn at random."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from domains.errors import check_known
from learners import metrics, plain_strategies
from learners.choice.all_labels import adapt_to_all_labels
from learners.choice.suggest import suggest
from learners.support import Support
from tasks.base.progress import progress
from tasks.base.settings import Settings
from tasks.base.side_by_side import run_side_by_side
from tasks.bench.adapt.domains import TARGETS, all_examples, targets
from tasks.bench.adapt.draws import DrawProblem, draw_support_rows, problem_at, split
from tasks.bench.adapt.suite import TARGET_CLASS
from tasks.bench.options import BenchOptions, Row
from tasks.features.encoders import last_layer
from tasks.features.encoding import encode

DRAWS = 10
BATCHES = 9  # of N labels, after one label a class
MOST_POOL = 1500
ORDERS = 2  # random orders a draw
LEARNERS = ("logistic", "transductive")
DOMAINS = {"text": ("ohsumed23", "stc2_biomedical", "medical_abstracts")}
RESAMPLED = 1000  # bootstrap samples of the draws
Say = Callable[[str], None]


@dataclass(frozen=True)
class SuggestJob:
    """All draws of one domain: features x [n, D] of its examples, and how many of them are of the last layer."""

    task: DrawProblem
    name: str
    x: np.ndarray
    learners: tuple[str, ...]
    draws: int
    seed: int
    last: int | None = None


#: Accuracies [draws, 1 + ORDERS, 1 + BATCHES] by learner: suggested first, then random orders.
Curves = dict[str, np.ndarray]


def bench_suggest(settings: Settings, options: BenchOptions, say: Say = lambda line: None) -> list[Row]:
    """Run the benchmark of suggestions and return its rows.

    Raises:
        UserError: a name is unknown, a file of the mirror is absent, or a domain is too small.
    """
    check_known([options.family], TARGETS, "benchmark of suggestions for family")
    check_known(options.methods, LEARNERS, "method", " in this benchmark")
    learners, draws = options.methods or LEARNERS, options.draws or DRAWS
    corpora = targets(options.family, options.domains or DOMAINS.get(options.family, ()))
    every = [
        all_examples(settings, options.family, corpus).sample(TARGET_CLASS, seed=settings.seed) for corpus in corpora
    ]
    tasks = [problem_at(domain.name, domain.y, split(domain.y, domain.groups, settings.seed), 1) for domain in every]
    with progress("bench suggest: encode targets", sum(len(domain.y) for domain in every)) as advance:
        x = [encode(settings, options.family, domain.examples, advance).numpy() for domain in every]
    jobs = [
        SuggestJob(task, domain.name, features, learners, draws, settings.seed, last_layer(options.family))
        for task, domain, features in zip(tasks, every, x, strict=True)
    ]
    with progress("bench suggest", len(jobs) * draws) as advance:
        done = run_side_by_side(
            measure_suggestions, jobs, settings.processes, advance, lambda job, found: say(result_line(job, found))
        )
    return [row for job, curves in zip(jobs, done, strict=True) for row in suggestion_rows(job, curves)]


def measure_suggestions(job: SuggestJob, advance: Callable[[int], None] = lambda n: None) -> Curves:
    """Return the accuracy after every batch of N labels, of every learner, draw and order of the pool.

    Each draw starts from one label a class at random and a pool of at most MOST_POOL other training examples, and
    labels N more nine times: those that ``learners/choice/suggest.py`` names, or the next of a random order.
    """
    task, found = job.task, {name: [] for name in job.learners}
    strategies = plain_strategies(job.x.shape[1], job.last)
    x, y, ways = torch.from_numpy(job.x), torch.from_numpy(task.y), len(task.classes)
    for number in range(job.draws):
        support = draw_support_rows(task, job.seed, number)
        rng = np.random.default_rng((job.seed, number, 7))
        pool = rng.permutation(task.train[~np.isin(task.train, support)])[:MOST_POOL]
        most = min(BATCHES * ways, len(pool))
        orders = [pool[suggest(x[pool], x[support], most).rows.numpy()]]
        orders += [rng.permutation(pool)[:most] for _ in range(ORDERS)]
        for name in job.learners:
            curves = np.empty((len(orders), BATCHES + 1))
            for i, order in enumerate(orders):
                for batch in range(BATCHES + 1):
                    labelled = np.concatenate([support, order[: batch * ways]])
                    rest = pool[~np.isin(pool, labelled)]
                    examples = Support(x[labelled], y[labelled], x[rest], ways=ways)
                    classifier = adapt_to_all_labels(strategies[name], examples)
                    right = classifier.logits(x[task.test]).argmax(1) == y[task.test]
                    curves[i, batch] = float(right.float().mean())
            found[name].append(curves)
        advance(1)
    return {name: np.stack(curves) for name, curves in found.items()}


def share_needed(curves: np.ndarray) -> float:
    """Return the share of 10 N random labels that suggestions need for the same mean accuracy; 1 if they need more.

    Args:
        curves: [draws, 1 + ORDERS, 1 + BATCHES] of :func:`measure_suggestions`; accuracy is taken as linear between
            two batches.
    """
    ours, goal = curves[:, 0].mean(0), curves[:, 1:, -1].mean()
    reached = np.flatnonzero(ours >= goal)
    if not len(reached):
        return 1.0
    after = int(reached[0])
    if after == 0:
        return 1 / len(ours)
    before = ours[after - 1]
    return float((after + (goal - before) / (ours[after] - before)) / len(ours))


def suggestion_rows(job: SuggestJob, found: Curves) -> list[Row]:
    """Return a row a learner, order and number of labels, and one of the share of labels needed, with its interval."""
    ways, rng, made = len(job.task.classes), np.random.default_rng(job.seed), list[Row]()
    for name, curves in found.items():
        base = {"suite": "suggest", "domain": job.name, "method": name}
        n = {"n": job.draws, "seconds": None}
        for order, values in (("suggested", curves[:, 0]), ("random", curves[:, 1:].mean(1))):
            for batch in range(BATCHES + 1):
                mean, ci95 = metrics.mean_interval(values[:, batch])
                half = None if np.isnan(ci95) else round(ci95, 5)
                setting = {"setting": f"labels={(batch + 1) * ways} {order}", "metric": "accuracy"}
                made.append(base | setting | {"value": round(mean, 5), "ci95": half} | n)
        again = [share_needed(curves[rng.integers(job.draws, size=job.draws)]) for _ in range(RESAMPLED)]
        low, high = np.quantile(again, [0.025, 0.975])
        share = {"setting": f"as {(BATCHES + 1) * ways} random labels", "metric": "share of labels needed"}
        half = round(float(high - low) / 2, 5) if job.draws > 1 else None
        made.append(base | share | {"value": round(share_needed(curves), 5), "ci95": half} | n)
    return made


def result_line(job: SuggestJob, found: Curves) -> str:
    """Return the line that is said when a domain is done."""
    parts = [f"{name} {100 * share_needed(curves):.0f} %" for name, curves in found.items()]
    return f"{job.name}: labels needed relative to random choice: {', '.join(parts)}"
