"""A domain that is about to be added: what it is, and how its examples are read once more to be written."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from domains.domain import Family

#: One example of the second reading: its split, and the cells of its row in the shard.
Row = tuple[str, dict[str, Any]]


@dataclass(frozen=True)
class NewDomain:
    """What a user's input was understood to be.

    Attributes:
        family, kind: what an example is, and what it is read from, in words.
        file, sha256: the name of the input, without its folder, and a hash of its bytes.
        columns: what the columns of the input are taken for.
        labels: label names, in the order of their indices.
        counts: number of examples by split.
        classes: number of labelled examples by label and split.
        examples: a few examples, with their labels.
        warnings: a line for all that is left out or doubtful.
        rule, division: how the examples are divided, in words and as numbers.
        notes: more that belongs in ``domain.yaml``.
        rows: reads the input once more and yields every example that is kept, in order.
        role: ``target`` or ``source``.
    """

    family: Family
    kind: str
    file: str
    sha256: str
    columns: Mapping[str, str | list[str]]
    labels: tuple[str, ...]
    counts: Mapping[str, int]
    classes: Mapping[str, Mapping[str, int]]
    examples: tuple[Mapping[str, str], ...]
    warnings: tuple[str, ...]
    rule: str
    division: Mapping[str, Any]
    rows: Callable[[], Iterator[Row]] = field(repr=False)
    notes: Mapping[str, Any] = field(default_factory=dict)
    role: str = "target"

    def with_note(self, key: str, value: object) -> "NewDomain":
        """Return it with one more note."""
        return replace(self, notes={**self.notes, key: value})

    def summary(self) -> dict[str, Any]:
        """Return all of it that can be printed as JSON."""
        return {key: value for key, value in vars(self).items() if key not in ("rows", "notes")} | dict(self.notes)
