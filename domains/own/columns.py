"""Which column of a table holds the examples, and which their labels."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

from domains.errors import UserError
from domains.own.options import Asked
from domains.reading.cells import as_text, image_bytes
from domains.reading.column_names import LABELS, TEXTS
from domains.reading.tables import Table

ROWS = 2000  # that are looked at

WORDS = 3  # a column of fewer on average is no text
HEADER = 8  # a header cell of so many words is a text


@dataclass(frozen=True)
class Columns:
    """The names of the columns that are used; ``image`` says that the examples are images."""

    example: str
    label: str
    group: str | None
    time: str | None
    image: bool

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(name for name in (self.example, self.label, self.group, self.time) if name is not None)


@dataclass(frozen=True)
class Profile:
    """What the first rows of a column look like: mean words, filled cells, different values, and images."""

    words: float
    filled: int
    different: int
    image: bool

    @classmethod
    def of(cls, cells: Sequence[object]) -> "Profile":
        texts = [text for cell in cells if (text := as_text(cell))]
        words = sum(len(text.split()) for text in texts) / max(1, len(texts))
        return cls(words, len(texts), len(set(texts)), any(image_bytes(cell) is not None for cell in cells))


def find_columns(table: Table, asked: Asked) -> Columns:
    """Find the columns: as said, else by their names, else by what is in them.

    Raises:
        UserError: a column that was named is not there, or there is no telling; the message lists the columns.
    """
    said = (asked.text_column, asked.label_column, asked.group_column, asked.time_column)
    options = ("--text-column", "--label-column", "--group-column", "--time-column")
    for name, option in zip(said, options, strict=True):
        if name is not None and name not in table.columns:
            raise UserError(f"{table.path}: no column {name!r} ({option}); it has {', '.join(table.columns)}")
    if any(len(name.split()) >= HEADER for name in table.columns):
        raise UserError(f"{table.path}: its first row is no header but data; put a row such as text,label before it")
    head = list(islice(table.read(table.columns), ROWS))
    if not head:
        raise UserError(f"{table.path}: no examples in it")
    profiles = {name: Profile.of(cells) for name, cells in zip(table.columns, zip(*head, strict=True), strict=True)}
    taken = {name for name in said if name is not None}
    example = asked.text_column or example_column(table, profiles, taken)
    label = asked.label_column or label_column(table, profiles, taken | {example})
    if example == label:
        raise UserError(f"{table.path}: {example} cannot be both text and label; say --text-column and --label-column")
    return Columns(example, label, asked.group_column, asked.time_column, profiles[example].image)


def example_column(table: Table, profiles: dict[str, Profile], taken: set[str]) -> str:
    """Return the column of images, else the text column."""
    free = [name for name in table.columns if name not in taken]
    images = [name for name in free if profiles[name].image]
    named = [name for word in TEXTS for name in free if name.lower() == word]
    wordy = sorted((name for name in free if profiles[name].words >= WORDS), key=lambda name: -profiles[name].words)
    if len(images) == 1:
        return images[0]
    if named:
        return named[0]
    if wordy and (len(wordy) == 1 or profiles[wordy[0]].words > 2 * profiles[wordy[1]].words):
        return wordy[0]
    raise UserError(f"{table.path}: which column is the text? It has {', '.join(table.columns)}; say --text-column")


def label_column(table: Table, profiles: dict[str, Profile], taken: set[str]) -> str:
    """Return the column that is called like a label, else the only one whose values come again and again."""
    free = [name for name in table.columns if name not in taken]
    named = [name for word in LABELS for name in free if name.lower() == word]
    if named:
        return named[0]
    again = [name for name in free if profiles[name].filled and profiles[name].different <= profiles[name].filled / 2]
    if len(again) == 1:
        return again[0]
    names = ", ".join(table.columns)
    if not free:
        raise UserError(
            f"{table.path}: has texts and no labels (columns: {names}); add a column label, empty where unknown"
        )
    raise UserError(f"{table.path}: which column is the label? It has {names}; say --label-column")
