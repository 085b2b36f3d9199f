"""Rows of the benchmark over the number of labels: one a half, and means over domains and halves."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict

import numpy as np

from learners import metrics
from tasks.bench.labels.measure import LabelsScore
from tasks.bench.labels.names import ABOVE_FLOOR, FLOOR, FREQUENCIES, METHODS, POOLS
from tasks.bench.options import ALL, Row

MEAN, MEAN_OF_SOURCES = "mean of domains", "mean of sources"
DIGITS = 5
#: Scores of all halves, by domain.
Found = Mapping[str, Sequence[LabelsScore]]


def result_rows(found: Found, sources: Collection[str], seed: int) -> list[Row]:
    """Return a row a domain, half, number of labels, pool and method, then the means of ``mean_rows``.

    A row of a half has accuracy as its value, and all else that was measured in fields of its own.

    Args:
        sources: the domains that the meta-model knows; their means stand apart.
    """
    rows = [half_row(domain, score) for domain, scores in found.items() for score in scores]
    for name, some in ((MEAN, found.keys() - set(sources)), (MEAN_OF_SOURCES, found.keys() & set(sources))):
        rows += mean_rows(name, {domain: found[domain] for domain in found if domain in some}, seed)
    return rows


def half_row(domain: str, score: LabelsScore) -> Row:
    """Return what was measured on one half."""
    own = {name: round(v, DIGITS) if isinstance(v, float) else v for name, v in asdict(score).items()}
    base = {"suite": "labels", "domain": domain, "setting": setting_of(score), "method": own.pop("method")}
    measured = {"metric": "accuracy", "value": own.pop("accuracy"), "ci95": None, "n": 1}
    return base | measured | {"seconds": own.pop("seconds")} | own


def setting_of(score: LabelsScore) -> str:
    """Return how many labels there were, how frequent, and with which pool."""
    labels = "all labels" if score.k is None else f"K={score.k} {score.frequencies}"
    return f"{labels}, pool={score.pool}"


def mean_rows(name: str, found: Found, seed: int) -> list[Row]:
    """Return means over domains and halves of every setting and method: accuracy, log-loss, accuracy above the floor.

    The interval is of a bootstrap of domains, and of the halves of each (``metrics.clustered_bootstrap``).

    Args:
        name: what is written as the domain.
    """
    every: dict[tuple[str, str], dict[str, dict[int, LabelsScore]]] = defaultdict(lambda: defaultdict(dict))
    by_domain_and_score = [(domain, score) for domain, scores in found.items() for score in scores]
    for domain, score in sorted(by_domain_and_score, key=lambda pair: place_of(pair[1])):
        every[setting_of(score), score.method][domain][score.half] = score
    rows = []
    for (setting, method), by_domain in every.items():
        base = {"suite": "labels", "domain": name, "setting": setting, "method": method}
        floor = every.get((setting, FLOOR)) if method != FLOOR else None
        measured = {
            metric: [[getattr(score, metric) for score in halves.values()] for halves in by_domain.values()]
            for metric in ("accuracy", "log_loss")
        }
        if floor:
            measured[ABOVE_FLOOR] = [
                [score.accuracy - floor[domain][half].accuracy for half, score in halves.items()]
                for domain, halves in by_domain.items()
            ]
        seconds = [score.seconds for halves in by_domain.values() for score in halves.values()]
        for metric, clusters in measured.items():
            value, half = mean_of_clusters(clusters, seed)
            figures = {"value": value, "ci95": half, "n": len(seconds), "seconds": round(float(np.mean(seconds)), 4)}
            rows.append(base | {"metric": metric} | figures)
    return rows


def place_of(score: LabelsScore) -> tuple[int, int, int, int]:
    """Return the place of a score among others: by labels, their frequencies, pool and method."""
    at = FREQUENCIES.index(score.frequencies), POOLS.index(score.pool), METHODS.index(score.method)
    return (score.k or ALL, *at)


def mean_of_clusters(clusters: Sequence[Sequence[float]], seed: int) -> tuple[float, float | None]:
    """Return the mean of domains' means and the half-width of its 95 % interval; None of a single value."""
    mean, low, high = metrics.clustered_bootstrap(clusters, np.random.default_rng(seed))
    single = sum(map(len, clusters)) == 1
    return round(mean, DIGITS), None if single else round((high - low) / 2, DIGITS)
