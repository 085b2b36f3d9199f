"""A row of the drift benchmark: a share of trials with its exact interval."""

from collections.abc import Sequence

from scipy.stats import binomtest

from tasks.bench.options import Row


def rate_row(domain: str, setting: str, method: str, metric: str, hits: Sequence[bool]) -> Row:
    """Return a share of trials with the half-width of its exact (Clopper-Pearson) 95 % interval."""
    interval = binomtest(sum(hits), len(hits)).proportion_ci()
    about = {"suite": "drift", "domain": domain, "setting": setting, "method": method, "metric": metric}
    half = round((interval.high - interval.low) / 2, 4)
    return about | {"value": round(sum(hits) / len(hits), 4), "ci95": half, "n": len(hits), "seconds": None}
