"""Counts and lists in a line for people."""

from collections.abc import Sequence

SHOWN = 5  # of a list in a line


def quantity(count: int, one: str, more: str = "") -> str:
    """Return a count with its noun: ``1 copy``, ``2,000 copies``."""
    return f"{count:,} {one if count == 1 else more or one + 's'}"


def some(values: Sequence[object], shown: int = SHOWN) -> str:
    """Return the first few of some values, and how many more there are: ``3, 17, 20 and 4 more``."""
    return ", ".join(map(str, values[:shown])) + and_more(len(values), shown)


def and_more(count: int, shown: int = SHOWN) -> str:
    """Return what ends a list of which only the first few are shown; nothing where all are."""
    return f" and {count - shown:,} more" if count > shown else ""
