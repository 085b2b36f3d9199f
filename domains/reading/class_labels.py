"""Names of classes that ``datasets`` keeps beside the numbers in a Parquet file."""

import json
from collections.abc import Mapping, Sequence
from typing import Any


def class_names(metadata: Mapping[bytes, bytes] | None) -> dict[str, list[str]]:
    """Return the class names by column that the metadata of a Parquet schema hold; none where they hold none."""
    try:
        features = json.loads((metadata or {})[b"huggingface"])["info"]["features"]
        return {name: names for name, feature in features.items() if (names := names_of(feature))}
    except (KeyError, TypeError, ValueError, AttributeError):
        return {}


def names_of(feature: Any) -> list[str] | None:
    """Return the names of a ClassLabel, or of a list of such, as ``datasets`` writes a feature down; else None."""
    if isinstance(feature, list):
        return names_of(feature[0]) if len(feature) == 1 else None
    if not isinstance(feature, dict):
        return None
    if feature.get("_type") == "ClassLabel":
        names = feature.get("names")
        return names if isinstance(names, list) and all(isinstance(name, str) for name in names) else None
    return names_of(feature.get("feature"))


def with_names(values: list[Any], names: Sequence[str] | None) -> list[Any]:
    """Return cells with names of classes in place of their numbers; None for no class (-1)."""
    return values if names is None else [name_of(value, names) for value in values]


def name_of(value: Any, names: Sequence[str]) -> Any:
    if isinstance(value, list):
        return [name_of(each, names) for each in value]
    if not isinstance(value, int):
        return value
    return names[value] if 0 <= value < len(names) else None
