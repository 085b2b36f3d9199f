"""Read tables row by row, never whole in memory but for JSON: CSV, TSV, JSONL, Parquet and TXT."""

import csv
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from domains.errors import UserError, first_line
from domains.fetch import sha256_of
from domains.reading.text_encodings import TextFile, inspect

MOST_CELL = 2**24  # characters; a longer cell began with a quote that nobody closed
BATCH = 256  # rows of a Parquet file at a time: each may hold an image
KEYS = 1000  # objects of a JSONL file whose keys are its columns

Cells = tuple[Any, ...]
T = TypeVar("T")


@dataclass(frozen=True)
class Table:
    """A table that can be read again and again.

    Attributes:
        kind: what the file is read as, in words.
        columns: the names of the columns, no two the same.
        size: about how many rows it has.
        sha256: the hash of the file.
        read: yields rows as tuples of the columns that it is given. A row's number is its place here, from 1. A cell
            is what the format holds: str in CSV, None where there is nothing.
    """

    path: Path
    kind: str
    columns: tuple[str, ...]
    size: int
    sha256: str
    read: Callable[[Sequence[str]], Iterator[Cells]]
    warnings: tuple[str, ...] = ()


ENDINGS = (".csv", ".tsv", ".jsonl", ".ndjson", ".parquet", ".txt", ".json")


def open_table(path: Path, encoding: str | None = None) -> Table:
    """Open a table by its ending.

    Raises:
        UserError: the ending or the encoding is unknown, the file is empty or damaged, or two columns share a name.
    """
    ending = path.suffix.lower()
    if ending not in ENDINGS:
        raise UserError(f"{path}: a file of this ending is not known; save it as one of {', '.join(ENDINGS)}")
    if ending == ".parquet":
        return check_columns(open_parquet(path))
    found = inspect(path, encoding)
    opener = {".csv": open_csv, ".tsv": open_csv, ".txt": open_lines, ".json": open_json}.get(ending, open_jsonl)
    return check_columns(opener(path, found))


def check_columns(table: Table) -> Table:
    """Return the table, or raise UserError if two columns have the same name."""
    for name in table.columns:
        if table.columns.count(name) > 1:
            raise UserError(f"{table.path}: two columns are called {name}; rename one of them")
    return table


def open_csv(path: Path, found: TextFile) -> Table:
    """Read a table with a header; the separator is the commonest of comma, semicolon and tab in the header."""
    with path.open(encoding=found.encoding, newline="") as stream:
        first = stream.readline(MOST_CELL)
    separator = "\t" if path.suffix.lower() == ".tsv" else max(",;\t", key=first.count)

    def all_rows() -> Iterator[list[str]]:
        csv.field_size_limit(MOST_CELL)
        with path.open(encoding=found.encoding, newline="") as stream:
            reader = csv.reader(stream, delimiter=separator, strict=True)
            try:
                yield from reader
            except csv.Error as error:
                raise UserError(f"{path}: line {reader.line_num}: {error}; mend its quotes") from error

    header = [name.strip() or f"column {i}" for i, name in enumerate(next(all_rows(), []), 1)]

    def read(wanted: Sequence[str]) -> Iterator[Cells]:
        at, nothing = [header.index(name) for name in wanted], tuple("" for _ in wanted)
        rows = all_rows()
        next(rows, None)
        for number, row in enumerate(drop_blank_end(rows, []), 1):
            if len(row) not in (len(header), 0):
                raise UserError(
                    f"{path}: row {number} has {len(row)} cells and the header {len(header)}; "
                    "put quotes around a cell that holds the separator"
                )
            yield tuple(row[i] for i in at) if row else nothing

    name = {",": "comma", ";": "semicolon", "\t": "tab"}[separator]
    kind = f"CSV, {name} between cells, {encoding_name(found.encoding)}"
    return Table(path, kind, tuple(header), found.lines, found.sha256, read, found.warnings)


def open_jsonl(path: Path, found: TextFile) -> Table:
    """Read one JSON object a line; the columns are the keys of the first thousand."""

    def all_rows() -> Iterator[dict[str, Any] | None]:
        with path.open(encoding=found.encoding) as stream:
            for number, text in enumerate(stream, 1):
                if not text.strip():
                    yield None
                    continue
                try:
                    row = json.loads(text)
                except (ValueError, RecursionError):
                    row = None
                if not isinstance(row, dict):
                    raise UserError(f"{path}: line {number} is not a JSON object; mend or remove it")
                yield row

    columns: dict[str, None] = {}
    for _, row in zip(range(KEYS), all_rows(), strict=False):
        columns |= dict.fromkeys(row or ())

    def read(wanted: Sequence[str]) -> Iterator[Cells]:
        for row in drop_blank_end(all_rows(), None):
            yield tuple((row or {}).get(name) for name in wanted)

    return Table(
        path, f"JSONL, {encoding_name(found.encoding)}", tuple(columns), found.lines, found.sha256, read, found.warnings
    )


def open_json(path: Path, found: TextFile) -> Table:
    """Read a list of JSON objects, whole in memory; or one object a line, as some write under this ending."""
    try:
        rows = json.loads(path.read_text(found.encoding))
    except (ValueError, RecursionError):
        return open_jsonl(path, found)
    if isinstance(rows, dict):
        inner = [value for value in rows.values() if isinstance(value, list) and value and isinstance(value[0], dict)]
        rows = inner[0] if len(inner) == 1 else None
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise UserError(f"{path}: is no list of JSON objects; save it as a list of rows, [{{...}}, {{...}}]")
    columns = tuple(dict.fromkeys(str(name) for row in rows for name in row))

    def read(wanted: Sequence[str]) -> Iterator[Cells]:
        yield from (tuple(row.get(name) for name in wanted) for row in rows)

    kind = f"JSON, {encoding_name(found.encoding)}"
    return Table(path, kind, columns, len(rows), found.sha256, read, found.warnings)


def open_lines(path: Path, found: TextFile) -> Table:
    """Read one text a line."""

    def read(wanted: Sequence[str]) -> Iterator[Cells]:
        with path.open(encoding=found.encoding) as stream:
            for text in drop_blank_end((row.rstrip("\n") if row.strip() else "" for row in stream), ""):
                yield tuple(text for _ in wanted)

    kind = f"text, {encoding_name(found.encoding)}"
    return Table(path, kind, ("text",), found.lines, found.sha256, read, found.warnings)


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
    except (pa.ArrowException, OSError) as error:
        raise UserError(f"{path}: not a whole Parquet file ({first_line(error)}); write or copy it again") from error

    def read(wanted: Sequence[str]) -> Iterator[Cells]:
        try:
            with pq.ParquetFile(path, buffer_size=2**20, pre_buffer=False) as file:
                for batch in file.iter_batches(BATCH, columns=list(wanted)):
                    yield from zip(*(batch.column(name).to_pylist() for name in wanted), strict=True)
        except (pa.ArrowException, OSError) as error:
            raise UserError(
                f"{path}: not a whole Parquet file ({first_line(error)}); write or copy it again"
            ) from error

    return Table(path, "Parquet", columns, size, sha256, read)


def encoding_name(encoding: str) -> str:
    """Return an encoding as people write it."""
    return "UTF-8" if encoding == "utf-8-sig" else encoding
