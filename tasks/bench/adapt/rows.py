"""Rows of the benchmark of adaptation: means over draws, and means over the medical targets."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from learners import metrics
from tasks.bench.options import Row

OURS, FLOOR = "acclimate", "logistic"


@dataclass(frozen=True)
class DrawScore:
    """One method on one draw; ``seconds`` of CPU time are those of the adaptation, choice included.

    ``ece_by_chance`` is the ECE to expect of so many test examples if the method were perfectly calibrated.
    """

    accuracy: float
    log_loss: float
    ece: float
    ece_by_chance: float
    seconds: float


#: Scores of the draws, by pool and method.
Scores = dict[tuple[str, str], list[DrawScore]]


def result_rows(
    scores: Mapping[tuple[str, int], Scores], medical: Sequence[str], singles: Sequence[str] = ()
) -> list[Row]:
    """Return a row a domain, K, pool, method and metric, then the rows of ``regret_rows`` and ``mean_rows``.

    Args:
        scores: by domain and K.
        medical: the domains that a summary is taken over.
        singles: methods that are one strategy.
    """
    found: list[Row] = []
    for (domain, k), by_method in scores.items():
        for (pool, method), draws in by_method.items():
            seconds = round(float(np.mean([draw.seconds for draw in draws])), 4)
            for metric in ("accuracy", "log_loss", "ece", "ece_by_chance"):
                values = np.array([getattr(draw, metric) for draw in draws])
                found.append(interval_row(domain, k, pool, method, metric, values, seconds))
    return found + regret_rows(scores, singles) + mean_rows(scores, medical)


def regret_rows(scores: Mapping[tuple[str, int], Scores], singles: Sequence[str]) -> list[Row]:
    """Return by how much each domain's best single strategy is more accurate than ours, and the mean over domains.

    The best is chosen by its mean over the same draws, with hindsight, so that what is due to chance counts against us.
    """
    found: list[Row] = []
    regrets: dict[tuple[int, str], list[np.ndarray]] = {}
    for (domain, k), by_method in scores.items():
        for pool in dict.fromkeys(pool for pool, _ in by_method):
            own = {name: mean_by_draw([by_method[pool, name]]) for of, name in by_method if of == pool}
            rivals = {name: values for name, values in own.items() if name in singles}
            if OURS not in own or not rivals:
                continue
            best = max(rivals, key=lambda name: rivals[name].mean())
            regret = rivals[best] - own[OURS]
            regrets.setdefault((k, pool), []).append(regret)
            found.append(interval_row(domain, k, pool, best, f"regret of {OURS}", regret))
    for (k, pool), every in regrets.items():
        if len(every) > 1:
            mean = np.mean([values[: min(map(len, every))] for values in every], axis=0)
            found.append(interval_row(f"mean of {len(every)} domains", k, pool, OURS, f"regret of {OURS}", mean))
    return found


def mean_rows(scores: Mapping[tuple[str, int], Scores], medical: Sequence[str]) -> list[Row]:
    """Return means over domains, their interval over draws: draw i of the mean is the mean of every domain's draw i.

    Beside accuracy: ``gain over logistic``, and ``gain of acclimate`` over each method, paired by draw. Domains stay
    the same ones, so the interval is about supports and pools, not about other domains.
    """
    shots = list(dict.fromkeys(k for _, k in scores))
    found: list[Row] = []
    if len(medical) < 2:
        return found
    domain = f"mean of {len(medical)} medical targets"
    for k in shots:
        every = [scores[name, k] for name in medical]
        means = {key: mean_by_draw([each[key] for each in every]) for key in every[0]}
        for (pool, method), values in means.items():
            found.append(interval_row(domain, k, pool, method, "accuracy", values))
            for metric, one, other in (
                (f"gain over {FLOOR}", method, FLOOR),
                (f"gain of {OURS}", OURS, method),
            ):
                if one != other and (pool, one) in means and (pool, other) in means:
                    n = min(len(means[pool, one]), len(means[pool, other]))
                    gain = means[pool, one][:n] - means[pool, other][:n]
                    found.append(interval_row(domain, k, pool, method, metric, gain))
    return found


def mean_by_draw(every: Sequence[Sequence[DrawScore]]) -> np.ndarray:
    """Return the mean accuracy [draws] over domains, of the draws that all have."""
    n = min(len(draws) for draws in every)
    return np.array([[draw.accuracy for draw in draws[:n]] for draws in every]).mean(0)


def interval_row(
    domain: str, k: int, pool: str, method: str, metric: str, values: np.ndarray, seconds: float | None = None
) -> Row:
    """Return one row, with a Student-t interval over the draws where there are two."""
    mean, ci95 = metrics.mean_interval(values)
    base = {"suite": "adapt", "domain": domain, "setting": f"K={k} pool={pool}", "method": method, "metric": metric}
    half = None if np.isnan(ci95) else round(ci95, 5)
    return base | {"value": round(mean, 5), "ci95": half, "n": len(values), "seconds": seconds}
