"""Which column of a table holds the examples, and which their labels."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

from domains.errors import UserError
from domains.own.options import AddOptions
from domains.reading.cells import as_text, image_bytes
from domains.reading.column_names import LABELS, TEXTS
from domains.reading.tables import Table

ROWS = 2000  # rows that are looked at

WORDS = 3  # a column with fewer words on average is no column of texts
HEADER = 8  # a header cell with so many words is a text


@dataclass(frozen=True)
class ColumnNames:
    """The names of the columns that are used; ``image`` says whether the examples are images."""

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


def find_columns(table: Table, options: AddOptions) -> ColumnNames:
    """Find the columns: those that the options name, else by their names, else by what is in them.

    Raises:
        UserError: a named column is not there, or nothing tells which column is meant; the message lists the columns.
    """
    named = {
        "--text-column": options.text_column,
        "--label-column": options.label_column,
        "--group-column": options.group_column,
        "--time-column": options.time_column,
    }
    for option, name in named.items():
        if name is not None and name not in table.columns:
            raise UserError(f"{table.path}: no column {name!r} ({option}); it has {', '.join(table.columns)}")
    if any(len(name.split()) >= HEADER for name in table.columns):
        raise UserError(f"{table.path}: its first row is no header but data; put a row such as text,label before it")
    head = list(islice(table.read(table.columns), ROWS))
    if not head:
        raise UserError(f"{table.path}: no examples in it")
    profiles = {name: Profile.of(cells) for name, cells in zip(table.columns, zip(*head, strict=True), strict=True)}
    taken = {name for name in named.values() if name is not None}
    example = options.text_column or example_column(table, profiles, taken)
    label = options.label_column or label_column(table, profiles, taken | {example})
    if example == label:
        raise UserError(f"{table.path}: {example} cannot be both text and label; say --text-column and --label-column")
    return ColumnNames(example, label, options.group_column, options.time_column, profiles[example].image)


def example_column(table: Table, profiles: dict[str, Profile], taken: set[str]) -> str:
    """Return the column of images, or else the text column, or raise UserError."""
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
    """Return the column that has the name of a label, or else the only one whose values recur, or raise UserError."""
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
