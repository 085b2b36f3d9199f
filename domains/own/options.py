"""What a user says about a domain to add, and what was understood of it."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from domains.domain import Family
from domains.errors import UserError

#: Share of the labelled examples that become test, and the most of a class.
TEST_SHARE, TEST_MOST = 0.2, 200

#: Seed of the one shuffle that divides a domain.
SEED = 0

#: One example of the second reading: its split, and the cells of its row in the shard.
Row = tuple[str, dict[str, Any]]


@dataclass(frozen=True)
class Asked:
    """What the user said; None: inferred, or a default.

    Args:
        family: ``text``, ``vision`` or ``market``.
        text_column, label_column: of a table; the first also names a column of images.
        group_column: no value of it lies on both sides of the split (a patient, a slide).
        time_column: the newest examples are the test.
        encoding: of a text file; UTF-8, else detected.
        test_share: of the labelled examples, above 0 and under 1.
        test_most: test examples of a class at most.
        keep_case: labels that differ only by case stay apart.
        skip_unreadable: images that cannot be read are left out instead of refused.
        start, end: ISO dates between which prices are used; the latest year.
    """

    family: Family | None = None
    text_column: str | None = None
    label_column: str | None = None
    group_column: str | None = None
    time_column: str | None = None
    encoding: str | None = None
    test_share: float | None = None
    test_most: int | None = None
    keep_case: bool = False
    skip_unreadable: bool = False
    start: str | None = None
    end: str | None = None

    def __post_init__(self) -> None:
        if self.test_share is not None and not 0 < self.test_share < 1:
            raise UserError(f"--test-share {self.test_share:g}: give a share above 0 and under 1, such as 0.2")
        if self.test_most is not None and self.test_most < 1:
            raise UserError(f"--test-most {self.test_most}: give 1 or more")
        if self.group_column is not None and self.time_column is not None:
            raise UserError("--group-column and --time-column: the split follows one of them; leave one out")

    @property
    def share(self) -> float:
        return TEST_SHARE if self.test_share is None else self.test_share

    @property
    def most(self) -> int:
        return TEST_MOST if self.test_most is None else self.test_most

    def refuse(self, what: str, *options: str) -> None:
        """Raise UserError for options that were given and mean nothing for such input."""
        for option in options:
            if getattr(self, option):
                raise UserError(f"--{option.replace('_', '-')} means nothing for {what}; leave it out")


@dataclass(frozen=True)
class Found:
    """What was understood, and how to read it once more to write it.

    Attributes:
        family, kind: what an example is, and what it was read from, in words.
        file, sha256: the name of the input, without its folder, and a hash of its bytes.
        columns: what the columns of the input were taken for.
        labels: names, in the order of their indices.
        counts: examples by split.
        classes: labelled examples by label and split.
        examples: a few, with their labels.
        warnings: what was left out or is doubtful, a line each.
        rule, division: how it is divided, in words and as numbers.
        notes: more that belongs in ``domain.yaml``.
        rows: read the input once more; every example that is kept, in order.
    """

    family: Family
    kind: str
    file: str
    sha256: str
    columns: Mapping[str, str]
    labels: tuple[str, ...]
    counts: Mapping[str, int]
    classes: Mapping[str, Mapping[str, int]]
    examples: tuple[Mapping[str, str], ...]
    warnings: tuple[str, ...]
    rule: str
    division: Mapping[str, Any]
    rows: Callable[[], Iterator[Row]] = field(repr=False)
    notes: Mapping[str, Any] = field(default_factory=dict)

    def summary(self) -> dict[str, Any]:
        """Return all of it that can be printed."""
        return {key: value for key, value in vars(self).items() if key not in ("rows", "notes")} | dict(self.notes)
