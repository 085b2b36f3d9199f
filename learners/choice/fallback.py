"""The strategy that the others have to beat."""

from collections.abc import Iterable

from learners.choice.opinion_pool import OpinionPool

PROBE = "logistic"
FALLBACKS = (OpinionPool.name, "pooled", PROBE)  # the first that there is


def fallback(strategies: Iterable[str]) -> str:
    """Return what the others have to beat: what old domains say where labels are shared, else the probe."""
    there = set(strategies)
    return next(name for name in FALLBACKS if name in there)
