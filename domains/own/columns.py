"""Which columns of a table hold the examples, and which their labels: by what is in them; where two could be, ask."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from shlex import quote

from domains.errors import UserError
from domains.own.options import AddOptions
from domains.own.survey import parse_moment
from domains.reading.cells import as_text, count_words, image_bytes
from domains.reading.column_names import LABELS, SAYS_LABEL, TEXTS
from domains.reading.layout import TEXT, is_number
from domains.reading.tables import Table

ROWS = 2000  # rows that are looked at
SELDOM = 10  # a column of texts has more than this share (1 / SELDOM) of different ones
OFTEN = 5  # rows a value, on average, of a column that may be the label whatever its name
BINARY = {"0", "1", "true", "false"}
MARKS = {"x", "✓", "✔", "☑"}  # in a column an answer, where it is ticked


@dataclass(frozen=True)
class ColumnNames:
    """The names of the columns that are used.

    Attributes:
        examples: the columns of the text, joined in this order, or the column of images.
        labels: the column of labels, or the columns that hold 0 or 1 for a class each, or a tick.
        image: whether the examples are images.
        unused: the other columns, with what they look like.
    """

    examples: tuple[str, ...]
    labels: tuple[str, ...]
    group: str | None
    time: str | None
    image: bool
    unused: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        return (*self.examples, *self.labels, *(name for name in (self.group, self.time) if name is not None))


@dataclass(frozen=True)
class Profile:
    """What the first rows of a column look like.

    Attributes:
        words: on average; filled: cells that hold something.
        counts: how often each value stands there.
        image: whether a cell holds an image; days: whether all values are dates.
    """

    words: float
    filled: int
    counts: Mapping[str, int] = field(repr=False)
    image: bool
    days: bool

    @classmethod
    def of(cls, cells: Sequence[object]) -> "Profile":
        texts = [text for cell in cells if (text := as_text(cell) if not isinstance(cell, list) else str(cell))]
        counts: dict[str, int] = {}
        for text in texts:
            counts[text.strip()] = counts.get(text.strip(), 0) + 1
        words = sum(map(count_words, texts)) / max(1, len(texts))
        image = any(image_bytes(cell) is not None for cell in cells)
        days = bool(texts) and all(len(text) > 7 and parse_moment(text.strip()) is not None for text in counts)
        return cls(words, len(texts), counts, image, days)

    @property
    def different(self) -> int:
        return len(self.counts)

    @property
    def recurs(self) -> bool:
        """Whether it can be a label: several values, most of which come again."""
        return 2 <= self.different <= self.filled / 2 and not self.days

    @property
    def recurs_often(self) -> bool:
        return self.recurs and self.filled >= OFTEN * self.different

    @property
    def measures(self) -> bool:
        """Whether it holds numbers that are no ids: with decimals, or with some twice."""
        numbers = [value for value in self.counts if is_number(value)]
        ids = self.different == self.filled and all(value.isdigit() for value in numbers)
        return self.filled > 0 and len(numbers) >= 0.95 * self.different and not ids

    @property
    def reads_like_text(self) -> bool:
        return self.words >= TEXT and self.different * SELDOM > self.filled

    @property
    def binary(self) -> bool:
        return self.filled > 0 and {value.lower().removesuffix(".0") for value in self.counts} <= BINARY

    @property
    def ticked(self) -> bool:
        return self.filled > 0 and {value.lower() for value in self.counts} <= MARKS

    def in_words(self) -> str:
        """Return what it looks like."""
        if self.image:
            return "images"
        if self.reads_like_text:
            return "like texts"
        return "like labels" if self.recurs else ""


def find_columns(table: Table, options: AddOptions) -> ColumnNames:
    """Find the columns: those that the options name, else by what is in them; names decide where both would do.

    Raises:
        UserError: a named column is not there, the first row may be data, or several columns could be meant; the
            message lists them.
    """
    named = [("--text-column", name) for name in options.text_column]
    named += [("--label-column", name) for name in options.label_column]
    single = {"--group-column": options.group_column, "--time-column": options.time_column}
    named += [(option, name) for option, name in single.items() if name is not None]
    for option, name in named:
        if name not in table.columns:
            raise UserError(f"{table.path}: no column {name!r} ({option}); it has {', '.join(table.columns)}")
    table.check_header()
    head = list(islice(table.read(table.columns), ROWS))
    if not head:
        raise UserError(f"{table.path}: no examples in it")
    profiles = {name: Profile.of(cells) for name, cells in zip(table.columns, zip(*head, strict=True), strict=True)}
    taken = {name for _, name in named}
    examples = options.text_column or (example_column(table, profiles, taken),)
    labels = label_columns(table, profiles, taken.union(examples), options.label_column, examples)
    if set(examples) & set(labels):
        raise UserError(
            f"{table.path}: {labels[0]} cannot be both text and label; say --text-column and --label-column"
        )
    image = any(profiles[name].image for name in examples)
    if image and len(examples) > 1:
        raise UserError(f"{table.path}: columns of images cannot be joined; name one with --text-column")
    used = {*examples, *labels, *taken}
    unused = tuple(described(name, profiles[name]) for name in table.columns if name not in used)
    return ColumnNames(examples, labels, options.group_column, options.time_column, image, unused)


def described(name: str, profile: Profile) -> str:
    """Return a column's name with what it looks like."""
    return f"{name} ({what})" if (what := profile.in_words()) else name


def example_column(table: Table, profiles: Mapping[str, Profile], taken: Collection[str]) -> str:
    """Return the column of images, or else the only one that reads like texts or has the name of one.

    Raises:
        UserError: none does, or several do.
    """
    free = {
        name: profiles[name]
        for name in table.columns
        if name not in taken and (profiles[name].filled or profiles[name].image)
    }
    images = [name for name, profile in free.items() if profile.image]
    if len(images) == 1:
        return images[0]
    wordy = [name for name, profile in free.items() if profile.reads_like_text and not says_label(name, profile)]
    named = [name for name in free if name.lower() in TEXTS and name not in wordy and not free[name].recurs]
    alone = [name for name in free if name.lower() in TEXTS]
    found = images or wordy + named or alone
    if len(found) == 1:
        return found[0]
    if found:
        joined = " ".join(f"--text-column {quote(name)}" for name in found)
        raise UserError(
            f"{table.path}: which column is the text? {', '.join(found)} could be; name one with --text-column, or "
            f"join them: {joined}"
        )
    raise UserError(f"{table.path}: which column is the text? It has {', '.join(table.columns)}; say --text-column")


def says_label(name: str, profile: Profile) -> bool:
    """Whether a column is called a label, or by what labels tell and its values come again."""
    return name.lower() in SAYS_LABEL or (name.lower() in LABELS and profile.recurs)


def label_columns(
    table: Table,
    profiles: Mapping[str, Profile],
    taken: Collection[str],
    given: tuple[str, ...],
    examples: Sequence[str],
) -> tuple[str, ...]:
    """Return the column of labels, or those that hold 0 or 1 for a class each.

    A column that is called label is; else the only one whose values come again and again, or whose name is of what
    labels tell. Of columns that say the same, the one in words counts.

    Raises:
        UserError: there is none, or several could be.
    """
    if given:
        return given
    free = {name: profiles[name] for name in table.columns if name not in taken}
    if not free:
        names = ", ".join(table.columns)
        raise UserError(
            f"{table.path}: has texts and no labels (columns: {names}); add a column label, empty where unknown"
        )
    called = [name for name in free if name.lower() in SAYS_LABEL]
    known = [name for name, profile in free.items() if name.lower() in LABELS and profile.filled]
    often = [name for name, profile in free.items() if profile.recurs_often or (name in known and profile.recurs)]
    ticked = tuple(name for name, profile in free.items() if profile.ticked)
    if len(ticked) > 1 and not called:
        return ticked
    found = called or often or known or [name for name, profile in free.items() if profile.recurs]
    found = without_same(table, found, profiles)
    if len(found) == 1:
        return (found[0],)
    could = [name for name in found if not profiles[name].binary]
    if len(found) > 1 and not could:
        return tuple(name for name in free if profiles[name].binary)
    numbers = [name for name, profile in free.items() if profile.measures]
    if not found and numbers:
        raise UserError(
            f"{table.path}: no column of classes; {', '.join(numbers)} holds numbers, as in regression, which is not "
            "learned here; add a column label (of intervals, say)"
        )
    listed = ", ".join(found or free)
    text = f" (text: {', '.join(examples)})"
    if found:
        raise UserError(f"{table.path}: which column is the label? {listed} could be{text}; say --label-column")
    raise UserError(f"{table.path}: which column is the label? It has {listed}{text}; say --label-column")


def without_same(table: Table, names: Sequence[str], profiles: Mapping[str, Profile]) -> list[str]:
    """Return columns without those that say the same as another, value by value; the one with most words is kept."""
    if len(names) < 2 or all(profiles[name].binary for name in names):
        return list(names)
    rows = list(islice(table.read(names), ROWS))
    columns = dict(zip(names, zip(*([as_text(cell) for cell in row] for row in rows), strict=True), strict=True))
    kept: list[str] = []
    for name in sorted(names, key=lambda name: -profiles[name].words):
        pairs = (set(zip(columns[name], columns[other], strict=True)) for other in kept)
        counts = ((len(pair), len({a for a, _ in pair}), len({b for _, b in pair})) for pair in pairs)
        if not any(both == one == other for both, one, other in counts):
            kept.append(name)
    return [name for name in names if name in kept]
