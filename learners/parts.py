"""Modules that a classifier may contain: known by name, so that a saved model is tensors and words, never code."""

from typing import Any, ClassVar, TypeVar

from torch import nn


class Part(nn.Module):
    """A module that can be made again from its name and its ``config``."""

    name: ClassVar[str]
    config: dict[str, Any]  # JSON-able arguments of the constructor


PARTS: dict[str, type[Part]] = {}
Kind = TypeVar("Kind", bound=type[Part])


def register_part(kind: Kind) -> Kind:
    """Register a class of modules under its name (a class decorator)."""
    PARTS[kind.name] = kind
    return kind


def make_part(name: str, config: dict[str, Any]) -> Part:
    """Return a new module by name.

    Raises:
        ValueError: no module has that name.
    """
    if name not in PARTS:
        raise ValueError(f"unknown module {name!r}; made by a newer version? Known: {', '.join(sorted(PARTS))}")
    return PARTS[name](**config)
