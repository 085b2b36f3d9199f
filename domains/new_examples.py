"""Read new examples, which are to be predicted or held against those that a model learned from: a batch at a time."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from domains.domain import EXAMPLE_COLUMN, Domain, Family
from domains.errors import UserError
from domains.market.features import features
from domains.market.period import period_warnings
from domains.own.hub import is_dataset, open_dataset
from domains.own.texts import check_text, image_of, join_texts
from domains.reading.arrays import NPZ, StoredArray, image_arrays
from domains.reading.folders import TEXT_FILES, files_of, holds_files, left_out, masks_among, scans_without_ending
from domains.reading.pictures import IMAGE_ENDINGS, read_image
from domains.reading.png import to_png
from domains.reading.price_options import PriceOptions
from domains.reading.price_tables import OR_SAY, PriceTable, read_prices
from domains.reading.tables import Table, TableOptions, open_table, unnested
from domains.reading.text_encodings import decode
from domains.words import SHOWN, and_more, quantity

BATCH: dict[Family, int] = {"text": 4096, "vision": 256, "market": 4096}  # examples that are in memory at once
NAMED = 200  # files that are left out and named


@dataclass(frozen=True)
class Batch:
    """Some rows of an input: all their cells that can be written, and the examples of those that have one.

    Attributes:
        rows: [n] the columns of the input, or names of files.
        there: [n] bool, which rows have an example; examples: of these, as an encoder reads them.
    """

    rows: pd.DataFrame
    there: np.ndarray
    examples: list[Any]


@dataclass(frozen=True)
class NewExamples:
    """New examples that can be read again and again, and a line for each doubt, complete once they have been read."""

    batches: Callable[[], Iterator[Batch]]
    doubts: list[str] = field(default_factory=list)

    @property
    def warnings(self) -> tuple[str, ...]:
        return tuple(self.doubts)

    @cached_property
    def examples(self) -> list[Any]:
        """All raw examples at once."""
        return [example for batch in self.batches() for example in batch.examples]

    @cached_property
    def names(self) -> pd.DataFrame:
        """All rows at once."""
        return pd.concat([batch.rows for batch in self.batches()], ignore_index=True)


@dataclass(frozen=True)
class Reading:
    """How new examples are to be read.

    Attributes:
        columns: of the text, as the user names them; () where that is inferred.
        known: the columns that the examples of the domain came from; () where they came from none.
        header: whether the table of the domain had one.
        table: what the user says about the table.
        prices: what the user said about the prices of the domain.
    """

    columns: tuple[str, ...] = ()
    known: tuple[str, ...] = ()
    header: bool = True
    table: TableOptions = field(default_factory=TableOptions)
    prices: PriceOptions = field(default_factory=PriceOptions)

    @classmethod
    def of_domain(cls, domain: Domain, columns: tuple[str, ...]) -> "Reading":
        """Return how examples are read that come as those of a domain came."""
        prices = PriceOptions.of_domain(domain.meta)
        return cls(columns, domain.example_columns, domain.has_header, prices=prices)


def read_examples(family: Family, path: Path, how: Reading | None = None) -> NewExamples:
    """Open texts or images (a table, packed or not; files in a folder or archive; a dataset), or prices.

    Raises:
        UserError: the file is absent, unreadable or empty, or nothing tells which column is meant; one line that says
            where. Reading raises it too.
    """
    if not path.exists():
        raise UserError(f"{path}: no such file")
    how = how or Reading()
    if family == "market":
        return last_day(path, replace(how.prices, sheet=how.table.sheet))
    if path.suffix.lower() == NPZ and family == "vision":
        arrays, _ = image_arrays(path)
        return NewExamples(lambda: batches_of_arrays(arrays))
    if (found := files_in(path, family)) is not None:
        return found
    return of_table(open_any_table(path, how), how, family)


def open_any_table(path: Path, how: Reading) -> Table:
    """Open a file, or a folder that ``datasets`` wrote, as a table."""
    if path.is_dir():
        if not is_dataset(path):
            raise UserError(f"{path}: no table or dataset; give a file, or a folder that datasets wrote")
        return unnested(open_dataset(str(path)))
    table = unnested(open_table(path, how.table))
    if how.header or how.table.header is not None or not table.named_by_row:
        return table
    if not table.doubt:  # the first row looks like names, and that of the domain's table was data
        raise UserError(f"{path}: is its first row the names of the columns, or data? Say --header or --no-header")
    return open_table(path, replace(how.table, header=False))


def of_table(table: Table, how: Reading, family: Family) -> NewExamples:
    """Return the rows of a table, with all their columns; a row without a text or image has no example."""
    chosen, doubts = example_columns(table, how)
    at = [table.columns.index(name) for name in chosen]
    found = NewExamples(lambda: read(), [*table.warnings, *doubts])
    kept = [i for i in range(len(table.columns)) if family == "text" or i not in at]
    names = [table.columns[i] for i in kept]

    def read() -> Iterator[Batch]:
        faults, rows, number = Faults(found.doubts), table.read(table.columns), 0
        while part := list(islice(rows, BATCH[family])):
            examples, there = [], np.zeros(len(part), bool)
            for i, row in enumerate(part):
                number += 1
                where = f"row {number}"
                cells = [row[j] for j in at]
                example = (
                    text_of(cells, f"{table.path}: {where}: column {chosen[0]}", where, faults)
                    if family == "text"
                    else picture_of(cells[0], where, faults)
                )
                if example is not None:
                    there[i] = True
                    examples.append(example)
            cells_kept = [[as_cell(row[i]) for i in kept] for row in part]
            frame = (
                pd.DataFrame(cells_kept, columns=names, dtype=object) if names else pd.DataFrame(index=range(len(part)))
            )
            if not names:
                frame["row"] = range(number - len(part) + 1, number + 1)
            yield Batch(frame, there, examples)
        faults.tell(number, table.path)

    return found


def as_cell(cell: Any) -> Any:
    """Return a cell as it is written to the output: bytes as their number."""
    if isinstance(cell, float) and cell != cell:
        return None
    return f"{len(cell):,} bytes" if isinstance(cell, bytes) else cell


def example_columns(table: Table, how: Reading) -> tuple[tuple[str, ...], list[str]]:
    """Return the columns of the text or image, and a line for each doubt.

    Those that the user names; else those of the domain; else the one that is called as examples are, or is alone.

    Raises:
        UserError: they are not there, nothing tells which they are, or the first row may be data.
    """
    columns, listed = table.columns, ", ".join(table.columns)
    wanted = how.columns or how.known
    if wanted and set(wanted) <= set(columns):
        return wanted, []
    ask = f"{table.path}: which column is the text? It has {listed}; say --column"
    if not how.columns:
        usual = [name for name in EXAMPLE_COLUMN.values() if name in columns]
        if len(usual) == 1 and not how.known:
            return (usual[0],), []
        table.check_header()
        if len(columns) == 1 and len(how.known) < 2:
            other = how.known and columns != how.known and not table.kind.startswith("text")
            return columns, [f"column {columns[0]} is read, that of the domain is {how.known[0]}"] if other else []
        if how.known:
            ask += f" (of the domain: {' + '.join(how.known)})"
    if not columns:
        raise UserError(f"{table.path}: no examples in it")
    raise UserError(ask)


class Faults:
    """Counts the rows or files that have no example, and tells of them."""

    def __init__(self, warnings: list[str]) -> None:
        self.warnings = warnings
        self.places: dict[str, list[str]] = defaultdict(list)
        self.counts: dict[str, int] = defaultdict(int)

    def add(self, what: str, where: str) -> None:
        self.counts[what] += 1
        if len(self.places[what]) < SHOWN:
            self.places[what].append(where)

    def tell(self, size: int, path: Path) -> None:
        """Add a line for each kind to the warnings.

        Raises:
            UserError: no row has an example.
        """
        if sum(self.counts.values()) == size:
            said = "; ".join(f"{where}: {what}" for what, places in self.places.items() for where in places[:1])
            raise UserError(f"{path}: no examples in it" + (f" that can be read ({said})" if said else ""))
        for what, count in self.counts.items():
            line = f"{what}, so without a prediction: {', '.join(self.places[what])}{and_more(count)}"
            line = f"{quantity(count, 'example')} {line}"
            if line not in self.warnings:
                self.warnings.append(line)


def text_of(cells: Sequence[Any], at: str, where: str, faults: Faults) -> str | None:
    """Return the text of a row, or None if it is empty or cannot be read.

    Raises:
        UserError: a cell holds no text.
    """
    text = join_texts(cells)
    if text is None:
        raise UserError(f"{at} does not hold text examples")
    if not text.strip():
        faults.add("with an empty text", where)
        return None
    try:
        check_text(text)
    except ValueError as error:
        faults.add(str(error), where)
        return None
    return text


def picture_of(cell: Any, where: str, faults: Faults) -> bytes | None:
    """Return the image of a cell, or None if there is none or it cannot be read."""
    image = image_of(cell)
    if image is None:
        faults.add("without an image", where)
        return None
    return readable(image, where, faults)


def readable(content: bytes, where: str, faults: Faults) -> bytes | None:
    """Return an image as encoders read it, or None if it cannot be read."""
    try:
        return read_image(content, where)
    except UserError as error:
        faults.add(str(error).removeprefix(f"{where}: "), where)
        return None


def files_in(path: Path, family: Family) -> NewExamples | None:
    """Return an image, or the images or texts of a folder or archive by name; None where it is a table.

    Every file that is left out is named.

    Raises:
        UserError: there are none, or a file is a link out of the folder.
    """
    endings = IMAGE_ENDINGS if family == "vision" else TEXT_FILES
    if not path.is_dir() and not holds_files(path):
        if path.suffix.lower() not in IMAGE_ENDINGS or family != "vision":
            return None
        return NewExamples(lambda: batches_of_files(path, family, [path.name], lambda _: read_bytes(path), []))
    files = files_of(path, endings)
    masks = masks_among(files.names)
    names = [name for name in files.names if Path(name).suffix.lower() in endings and name not in masks]
    names = names or (scans_without_ending(files) if family == "vision" else [])
    if not names and path.is_dir() and (is_dataset(path) or family == "text"):
        return None
    if not names:
        raise UserError(f"{path}: no examples in it{''.join(f'; {line}' for line in left_out(files, set(), NAMED))}")
    said = [*files.warnings, *left_out(files, {*names}, NAMED)]
    found = NewExamples(lambda: batches_of_files(path, family, names, files.read, found.doubts), said)
    return found


def batches_of_files(
    path: Path, family: Family, names: Sequence[str], read: Callable[[str], bytes], warnings: list[str]
) -> Iterator[Batch]:
    """Yield images or texts by the names of their files."""
    faults = Faults(warnings)
    for start in range(0, len(names), BATCH["vision"]):
        part = names[start : start + BATCH["vision"]]
        prepare = readable if family == "vision" else text_in
        found = [prepare(read(name), name, faults) for name in part]
        there = np.array([example is not None for example in found])
        yield Batch(pd.DataFrame({"file": part}), there, [example for example in found if example is not None])
    faults.tell(len(names), path)


def batches_of_arrays(arrays: Sequence[StoredArray]) -> Iterator[Batch]:
    """Yield the images of a ``.npz``, named by their array and place."""
    for array in arrays:
        images = ((f"{array.name}[{i}]", to_png(image)) for i, image in enumerate(array.images()))
        while part := list(islice(images, BATCH["vision"])):
            names, found = zip(*part, strict=True)
            there = np.ones(len(part), bool)
            yield Batch(pd.DataFrame({"image": names}), there, list(map(read_image, found, names)))


def text_in(content: bytes, where: str, faults: Faults) -> str | None:
    """Return a file as a text, or None if it is empty or no text."""
    try:
        text, _ = decode(content)
    except ValueError as error:
        faults.add(str(error), where)
        return None
    return text_of([text], where, where, faults)


def read_bytes(path: Path) -> bytes:
    """Return what is in a file, or raise UserError that says why it cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror or error}); change its rights") from error


def last_day(path: Path, options: PriceOptions) -> NewExamples:
    """Read the features of every asset on the last day of a price table."""
    x, warnings = price_features(path, options)
    names = x.index.to_frame(index=False).set_axis(["date", "asset"], axis=1)
    last = (names["date"] == names["date"].max()).to_numpy()
    names = names.assign(date=names["date"].dt.strftime("%Y-%m-%d"))[last].reset_index(drop=True)
    batch = Batch(names, np.ones(len(names), bool), list(x.to_numpy()[last]))
    return NewExamples(partial(iter, [batch]), list(warnings))


def price_features(path: Path, options: PriceOptions | None = None) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Return the features [dates * assets, F] of a price table, indexed by date and asset, and a line for each doubt.

    Args:
        options: those of the domain; a file that cannot be read by them is read without.

    Raises:
        UserError: the file is no price table, or its prices are not usable or too few.
    """
    if not path.exists():
        raise UserError(f"{path}: no such file")
    try:
        found, doubts = read_as_domain(path, options or PriceOptions())
        return features(found.prices), (*found.warnings, *doubts, *period_warnings(found.prices.index))
    except UserError as error:
        said = str(error).partition(OR_SAY)[0].partition("; say --")[0]
        raise UserError(said if said.startswith(f"{path}: ") else f"{path}: {said}") from error


def read_as_domain(path: Path, options: PriceOptions) -> tuple[PriceTable, tuple[str, ...]]:
    """Read prices by the options of their domain, or without them and with a doubt.

    Raises:
        UserError: they can be read neither way.
    """
    if not (kept := options.to_keep()):
        return read_prices(path, options), ()
    try:
        return read_prices(path, options), ()
    except UserError as error:
        try:
            said = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in kept.items())
            return read_prices(path, PriceOptions(sheet=options.sheet)), (f"not read as the domain was, by {said}",)
        except UserError:
            raise error from None
