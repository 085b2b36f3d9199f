"""All registered models in a row each: what is in service, how good and how old it is."""

from datetime import UTC, datetime
from typing import Any

from tasks import registry
from tasks.artifacts import with_interval
from tasks.settings import Settings
from tasks.status import ago


def models(settings: Settings) -> list[dict[str, Any]]:
    """Return a row a registered model, domains first; numbers as numbers, None where something is unknown.

    ``age`` is of the champion, in seconds; ``accuracy`` and ``ci95`` are means over its support draws.
    """
    names = sorted(registry.names(settings), key=lambda name: (name.startswith(registry.META_PREFIX), name))
    return [_row(settings, name) for name in names]


def cells(row: dict[str, Any]) -> dict[str, str]:
    """Return a row as the terminal shows it."""
    accuracy = "" if row["accuracy"] is None else with_interval(row["accuracy"], row["ci95"])
    return {
        "model": row["model"],
        "champion": row["champion"] or "none",
        "newest": row["newest"] or "",
        "age": "" if row["age"] is None else ago(row["age"]),
        "accuracy %": accuracy,
        "decision on the newest": row["decision"],
    }


def _row(settings: Settings, name: str) -> dict[str, Any]:
    champion, newest = registry.champion(settings, name), registry.newest(settings, name, 1)
    metrics = {} if champion is None else champion.metrics
    return {
        "model": name,
        "champion": None if champion is None else champion.version,
        "newest": newest[0].version if newest else None,
        "age": None if champion is None else round((datetime.now(UTC) - champion.created).total_seconds()),
        "accuracy": metrics.get("accuracy"),
        "ci95": metrics.get("ci95"),
        "decision": newest[0].tags.get("decision", "") if newest else "",
    }
