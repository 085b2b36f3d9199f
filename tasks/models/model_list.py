"""All registered models, and the versions of one: what is in service, how good and how old it is."""

from datetime import UTC, datetime
from typing import Any

from domains.decisions import FAMILY as DECISIONS
from domains.domain import FAMILIES, check_name
from domains.errors import UserError
from tasks.base.artifacts import ago, with_interval
from tasks.base.settings import Settings
from tasks.models import registry


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


def model_versions(settings: Settings, name: str) -> list[dict[str, Any]]:
    """Return a row a version of a registered model, newest first.

    Raises:
        UserError: nothing is registered under that name.
    """
    return [_version(model) for model in versions_of(settings, name)]


def versions_of(settings: Settings, name: str) -> list[registry.Registered]:
    """Return all versions of a registered model, newest first.

    Raises:
        UserError: the name is neither a domain's nor a meta-model's, or nothing is registered under it.
    """
    if not (
        name.startswith(registry.META_PREFIX) and name.removeprefix(registry.META_PREFIX) in (*FAMILIES, DECISIONS)
    ):
        check_name(name)
    found = registry.versions(settings, name)
    if not found:
        raise UserError(f"no model of {name!r} yet; see `acclimate status`")
    return found


def _version(model: registry.Registered) -> dict[str, Any]:
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
