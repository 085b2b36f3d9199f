"""All registered models, and the versions of one: what is in service, how good and how old it is."""

from datetime import UTC, datetime
from typing import Any

from tasks.base.artifacts import time_ago, with_interval
from tasks.base.settings import Settings
from tasks.models import registry
from tasks.models.lookup import versions_of


def list_models(settings: Settings) -> list[dict[str, Any]]:
    """Return a row a registered model, domains first; numbers as numbers, None where something is unknown.

    ``age`` is of the champion, in seconds; ``accuracy`` and ``ci95`` are those of its adaptation.
    """
    names = sorted(registry.names(settings), key=lambda name: (name.startswith(registry.META_PREFIX), name))
    return [_model_row(settings, name) for name in names]


def table_cells(row: dict[str, Any]) -> dict[str, str]:
    """Return a row as the terminal shows it."""
    accuracy = "" if row["accuracy"] is None else with_interval(row["accuracy"], row["ci95"])
    return {
        "model": row["model"],
        "champion": row["champion"] or "none",
        "newest": row["newest"] or "",
        "age": "" if row["age"] is None else time_ago(row["age"]),
        "accuracy %": accuracy,
        "decision on the newest": row["decision"],
    }


def _model_row(settings: Settings, name: str) -> dict[str, Any]:
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


def list_versions(settings: Settings, name: str) -> list[dict[str, Any]]:
    """Return a row a version of a registered model, newest first.

    Raises:
        UserError: nothing is registered under that name.
    """
    return [_version_row(model) for model in versions_of(settings, name)]


def _version_row(model: registry.Registered) -> dict[str, Any]:
    accuracy = model.metrics.get("accuracy")
    return {
        "version": model.version,
        "in service": ", ".join(model.aliases),
        "strategy": model.params.get("strategy", ""),
        "k": model.params.get("k", ""),
        "accuracy": "" if accuracy is None else f"{100 * accuracy:.1f}",
        "decision": model.tags.get("decision", ""),
        "created": f"{model.created:%Y-%m-%d %H:%M}",
    }
