"""Read tables row by row: CSV, TSV, JSONL, Parquet, TXT and Excel, packed or not; only JSON is whole in memory."""

import csv
import json
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import reduce
from itertools import islice, repeat
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from domains.errors import UserError, first_line
from domains.fetch import sha256_of
from domains.reading.cells import image_bytes
from domains.reading.class_labels import class_names, with_names
from domains.reading.excel import EXCEL, excel_rows
from domains.reading.layout import (
    HEAD,
    SEP_LINE,
    SEPARATORS,
    filled,
    find_layout,
    find_separator,
    has_escapes,
    has_spaces,
    skip,
    without_blank_ends,
    without_escapes,
)
from domains.reading.packed import raw_file
from domains.reading.text_encodings import TextFile, inspect

MOST_CELL = 2**24  # characters; a longer cell began with a quote that nobody closed
BATCH = 256  # rows of a Parquet file at a time: each may hold an image
FASTTEXT = "__label__"  # before each label of a line
KEYS = 1000  # objects of a JSON file whose keys are its columns

Cells = tuple[Any, ...]
T = TypeVar("T")


@dataclass(frozen=True)
class TableOptions:
    """What a person says about a table.

    Args:
        encoding: of a text file; by default UTF-8, else it is detected.
        header: whether the first row holds the names of the columns; None: it does, unless it looks like data.
        sheet: of an Excel file with several.
    """

    encoding: str | None = None
    header: bool | None = None
    sheet: str | None = None


@dataclass(frozen=True)
class Table:
    """A table that can be read again and again.

    Attributes:
        kind: what the file is read as, in words.
        columns: the names of the columns, no two the same.
        size: about how many rows it has.
        sha256: the hash of the file, unpacked.
        read: yields rows as tuples of the columns that it is given. A row's number is its place here, from 1. A cell
            is what the format holds: str in CSV, None where there is nothing.
        header: whether the columns have names; else they are called ``column 1`` and so on.
        named_by_row: whether the names are those of a first row.
        doubt: why the names may be the first row of data; empty where nothing says so.
    """

    path: Path
    kind: str
    columns: tuple[str, ...]
    size: int
    sha256: str
    read: Callable[[Sequence[str]], Iterator[Cells]]
    warnings: tuple[str, ...] = ()
    header: bool = True
    named_by_row: bool = False
    doubt: str = ""

    def check_header(self) -> None:
        """Raise UserError if the names of the columns may be the first row of data."""
        if self.doubt:
            raise UserError(
                f"{self.path}: is its first row the names of the columns, or data? {self.doubt}; say --header or "
                "--no-header"
            )


CELLS = {".csv": None, ".tsv": "\t", ".psv": None, ".tab": "\t"}  # what stands between cells; None: the rows tell
TEXT_ENDINGS = (*CELLS, ".jsonl", ".ndjson", ".json", ".txt")
ENDINGS = (*TEXT_ENDINGS, ".parquet", *EXCEL)


def open_table(path: Path, options: TableOptions | None = None, member: str = "") -> Table:
    """Open a table by its ending.

    Args:
        member: the table in a zip, if there are several.

    Raises:
        UserError: the ending, the encoding or the sheet is unknown, the file is empty or damaged, or two columns share
            a name.
    """
    options = options or TableOptions()
    file = raw_file(path, TEXT_ENDINGS, member)
    if file.ending not in ENDINGS or (file.packed and file.ending not in TEXT_ENDINGS):
        endings = ", ".join(ENDINGS)
        packed = " inside" if file.packed else ""
        raise UserError(f"{path}: a file of this ending{packed} is not known; save it as one of {endings}")
    if options.sheet is not None and file.ending not in EXCEL:
        raise UserError(f"{path}: --sheet is only for Excel files; leave it out")
    if file.ending == ".parquet":
        return check_columns(open_parquet(path))
    if file.ending in EXCEL:
        return check_columns(open_excel(path, options))
    found = inspect(file, options.encoding)
    if file.ending in CELLS:
        return check_columns(open_csv(found, options.header, CELLS[file.ending]))
    if options.header is False:
        raise UserError(f"{path}: --no-header does not apply to {file.ending}; leave it out")
    if file.ending == ".json":
        return check_columns(open_json(found))
    return check_columns(open_lines(found) if file.ending == ".txt" else open_jsonl(found))


def check_columns(table: Table) -> Table:
    """Return the table, or raise UserError if two columns have the same name."""
    for name in table.columns:
        if table.columns.count(name) > 1:
            table.check_header()
            raise UserError(f"{table.path}: two columns are called {name}; rename one of them")
    return table


def open_csv(file: TextFile, header: bool | None, separator: str | None) -> Table:
    """Read cells between separators: the one that a first line ``sep=;`` names, else the one that fits the rows."""
    with file.open(newline="") as stream:
        lines = [line for _ in range(HEAD) if (line := stream.readline(MOST_CELL))]
    named = SEP_LINE.fullmatch(lines[0]) if lines else None
    if named:
        separator = named[1]
    between = separator or find_separator(lines)
    csv.field_size_limit(MOST_CELL)

    def below() -> Generator[str]:
        with file.open(newline="") as stream:
            yield from skip(stream, 1 if named else 0)

    spaces, escapes = has_spaces(lines[1 if named else 0 :], between), has_escapes(below, between)

    def all_rows() -> Iterator[list[str]]:
        with closing(below()) as stream:
            rows = without_escapes(stream) if escapes else stream
            reader = csv.reader(rows, delimiter=between, strict=True, skipinitialspace=spaces)
            try:
                yield from reader
            except csv.Error as error:
                raise UserError(f"{file.path}: line {reader.line_num}: {error}; correct its quotes") from error

    kind = f"CSV, {SEPARATORS.get(between, between)} between cells, {encoding_name(file.encoding)}"
    return table_of_rows(file.path, kind, all_rows, header, file.lines, file.sha256, file.warnings)


def open_excel(path: Path, options: TableOptions) -> Table:
    """Read a sheet of an Excel file: the only one that holds something, or the one that is named."""
    rows, sheet, size = excel_rows(path, options.sheet)
    return table_of_rows(path, f"Excel, sheet {sheet}", rows, options.header, size, sha256_of(path), ())


def table_of_rows(
    path: Path,
    kind: str,
    all_rows: Callable[[], Iterator[Sequence[Any]]],
    header: bool | None,
    size: int,
    sha256: str,
    warnings: tuple[str, ...],
) -> Table:
    """Return rows of cells as a table, whose columns are named by its first row."""
    layout = find_layout(all_rows(), header)
    columns = layout.columns

    def read(wanted: Sequence[str]) -> Iterator[Cells]:
        at, nothing = [columns.index(name) for name in wanted], tuple("" for _ in wanted)
        rows = skip(all_rows(), layout.above + layout.header)
        for number, row in enumerate(drop_blank_end((row if any(row) and filled(row) else [] for row in rows), []), 1):
            row = without_blank_ends(row, len(columns))
            if len(row) not in (len(columns), 0):
                raise UserError(
                    f"{path}: row {number} has {len(row)} cells and the {'header' if layout.header else 'first'} "
                    f"{len(columns)}; put quotes around a cell that holds the separator"
                )
            yield tuple(row[i] for i in at) if row else nothing

    warned = (*warnings, *layout.warnings)
    return Table(path, kind, columns, size, sha256, read, warned, layout.header, layout.header, layout.doubt)


def open_jsonl(file: TextFile) -> Table:
    """Read one JSON object a line."""

    def all_rows() -> Iterator[dict[str, Any] | None]:
        with file.open() as stream:
            for number, text in enumerate(stream, 1):
                if not text.strip():
                    yield None
                    continue
                try:
                    row = json.loads(text)
                except (ValueError, RecursionError):
                    row = None
                if not isinstance(row, dict):
                    raise UserError(f"{file.path}: line {number} is not a JSON object; correct or remove it")
                yield row

    return table_of_objects(file, "JSONL", all_rows, file.lines)


def open_json(file: TextFile) -> Table:
    """Read a list of JSON objects, alone or as the only list in an object; or columns; or an object a line.

    Raises:
        UserError: it is none of these.
    """
    with file.open() as stream:
        try:
            content = json.load(stream)
        except (ValueError, RecursionError):
            return open_jsonl(file)
    rows = rows_of_json(content)
    if rows is None:
        raise UserError(
            f"{file.path}: holds no list of objects; write [{{...}}, {{...}}], or an object a line (.jsonl)"
        )
    return table_of_objects(file, "JSON", lambda: iter(rows), len(rows))


def rows_of_json(content: Any) -> list[dict[str, Any] | None] | None:
    """Return the objects of a JSON file, or None if it holds no table."""
    if isinstance(content, list):
        return content if content and all(isinstance(row, dict) for row in content) else None
    if not isinstance(content, dict) or not content:
        return None
    lists = {key: value for key, value in content.items() if isinstance(value, list)}
    names = content.get("columns")  # as pandas' orient="split"
    if isinstance(names, list) and isinstance(content.get("data"), list):
        rows = content["data"]
        fits = all(isinstance(row, list) and len(row) == len(names) for row in rows)
        return [dict(zip(map(str, names), row, strict=True)) for row in rows] if fits else None
    nested = [value for value in content.values() if isinstance(value, list) or is_dict_of_dicts(value)]
    of_objects = [found for value in nested if (found := rows_of_json(value)) is not None]
    if of_objects:
        return of_objects[0] if len(of_objects) == 1 else None
    if len(lists) == len(content) and len({len(value) for value in lists.values()}) == 1:
        return [dict(zip(lists, row, strict=True)) for row in zip(*lists.values(), strict=True)]
    if is_dict_of_dicts(content):
        keys = list(dict.fromkeys(key for inner in content.values() for key in inner))
        if len(content) > len(keys):  # rows by their names
            return [{"index": name, **row} for name, row in content.items()]
        return [{name: column.get(key) for name, column in content.items()} for key in keys]
    return None


def is_dict_of_dicts(value: Any) -> bool:
    """Whether a value holds rows by name, or columns by row as pandas writes them."""
    return isinstance(value, dict) and bool(value) and all(isinstance(inner, dict) for inner in value.values())


def table_of_objects(
    file: TextFile, kind: str, all_rows: Callable[[], Iterator[dict[str, Any] | None]], size: int
) -> Table:
    """Return JSON objects as a table; the columns are the keys of the first thousand."""
    columns: dict[str, None] = {}
    for row in islice(all_rows(), KEYS):
        columns |= dict.fromkeys(row or ())

    def read(wanted: Sequence[str]) -> Iterator[Cells]:
        for row in drop_blank_end(all_rows(), None):
            yield tuple((row or {}).get(name) for name in wanted)

    kind = f"{kind}, {encoding_name(file.encoding)}"
    return Table(file.path, kind, tuple(columns), size, file.sha256, read, file.warnings)


def open_lines(file: TextFile) -> Table:
    """Read one text a line; after labels, ``__label__cat text``, where most lines have them as fastText wants it."""
    with file.open() as stream:
        head = [line for line in islice(stream, KEYS) if line.strip()]
    if 2 * sum(line.startswith(FASTTEXT) for line in head) > len(head):
        return table_of_objects(file, "fastText", lambda: labelled_lines(file), file.lines)

    def read(wanted: Sequence[str]) -> Iterator[Cells]:
        with file.open() as stream:
            for text in drop_blank_end((row.rstrip("\n") if row.strip() else "" for row in stream), ""):
                yield tuple(text for _ in wanted)

    kind = f"text, {encoding_name(file.encoding)}"
    return Table(file.path, kind, ("text",), file.lines, file.sha256, read, file.warnings)


def unnested(table: Table) -> Table:
    """Return a table whose objects in cells are columns of their own, called ``name.key``; images stay as they are.

    The keys are those of the first rows.
    """
    found: dict[tuple[str, ...], None] = {}
    for row in islice(table.read(table.columns), HEAD):
        for name, cell in zip(table.columns, row, strict=True):
            found |= dict.fromkeys((name, *keys) for keys in keys_of(cell))
    inner = {keys[:end] for keys in found for end in range(1, len(keys))}
    columns = {".".join(keys): keys for keys in found if keys not in inner}
    if not inner or len(columns) < len(set(found) - inner):
        return table

    def read(wanted: Sequence[str]) -> Iterator[Cells]:
        outer = list(dict.fromkeys(columns[name][0] for name in wanted))
        for row in table.read(outer):
            cells = dict(zip(outer, row, strict=True))
            yield tuple(reduce(value_at, columns[name], cells) for name in wanted)

    return replace(table, columns=tuple(columns), read=read)


def keys_of(cell: Any) -> Iterator[tuple[str, ...]]:
    """Yield the keys that lead to each value in a cell; an empty tuple where it is no object."""
    if not isinstance(cell, dict) or not cell or image_bytes(cell) is not None:
        yield ()
        return
    for key, value in cell.items():
        yield from ((key, *keys) for keys in keys_of(value))


def value_at(cell: Any, key: str) -> Any:
    """Return what an object has at a key, None where it is no object or has no such key."""
    return cell.get(key) if isinstance(cell, dict) else None


def labelled_lines(file: TextFile) -> Iterator[dict[str, Any] | None]:
    """Yield the text and the labels of each line."""
    with file.open() as stream:
        for line in stream:
            labels, text = [], line.strip()
            while text.startswith(FASTTEXT):
                label, _, text = text.removeprefix(FASTTEXT).partition(" ")
                labels.append(label)
                text = text.lstrip()
            yield {"text": text, "label": labels[0] if len(labels) == 1 else labels} if line.strip() else None


def drop_blank_end(rows: Iterable[T], nothing: T) -> Iterator[T]:
    """Yield rows, except those at the end that are ``nothing``: a blank line is an example only if a row follows."""
    held = 0
    for row in rows:
        if row == nothing:
            held += 1
            continue
        yield from repeat(nothing, held)
        held = 0
        yield row


def open_parquet(path: Path) -> Table:
    """Read a Parquet file in batches."""
    sha256 = sha256_of(path)
    try:
        with pq.ParquetFile(path) as file:
            columns, size = tuple(file.schema_arrow.names), file.metadata.num_rows
            names = class_names(file.schema_arrow.metadata)
    except (pa.ArrowException, OSError) as error:
        raise UserError(f"{path}: not a whole Parquet file ({first_line(error)}); write or copy it again") from error

    def read(wanted: Sequence[str]) -> Iterator[Cells]:
        try:
            with pq.ParquetFile(path, buffer_size=2**20, pre_buffer=False) as file:
                for batch in file.iter_batches(BATCH, columns=list(wanted)):
                    cells = {name: batch.column(name).to_pylist() for name in wanted}
                    yield from zip(*(with_names(cells[name], names.get(name)) for name in wanted), strict=True)
        except (pa.ArrowException, OSError) as error:
            raise UserError(
                f"{path}: not a whole Parquet file ({first_line(error)}); write or copy it again"
            ) from error

    return Table(path, "Parquet", columns, size, sha256, read)


def encoding_name(encoding: str) -> str:
    """Return an encoding as people write it."""
    return "UTF-8" if encoding == "utf-8-sig" else encoding
