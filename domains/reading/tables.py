"""Read tables row by row: CSV, TSV, JSONL, Parquet and TXT, none of them whole in memory."""

import csv
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from domains.errors import UserError, line
from domains.fetch import sha256_of
from domains.reading.text_encodings import Scan, scan

MOST_CELL = 2**24  # characters; a cell that is longer began with a quote that nobody closed
BATCH = 256  # rows of a Parquet file at a time: each may hold an image
KEYS = 1000  # objects of a JSONL file whose keys are its columns

Cells = tuple[Any, ...]
T = TypeVar("T")


@dataclass(frozen=True)
class Table:
    """A table that can be read again and again.

    Attributes:
        kind: what it was read as, in words.
        columns: names, no two the same.
        size: about how many rows it has.
        sha256: of the file.
        read: rows as tuples of the columns asked for. A row number is its place here, from 1. A cell is what the
            format holds: str in CSV, None where there is nothing.
    """

    path: Path
    kind: str
    columns: tuple[str, ...]
    size: int
    sha256: str
    read: Callable[[Sequence[str]], Iterator[Cells]]
    warnings: tuple[str, ...] = ()


ENDINGS = (".csv", ".tsv", ".jsonl", ".ndjson", ".parquet", ".txt")


def open_table(path: Path, encoding: str | None = None) -> Table:
    """Open a table by its ending.

    Raises:
        UserError: the ending is unknown, the encoding too, the file is empty or damaged, or two columns share a name.
    """
    ending = path.suffix.lower()
    if ending not in ENDINGS:
        raise UserError(f"{path}: a file of this ending is not known; save it as one of {', '.join(ENDINGS)}")
    if ending == ".parquet":
        return checked(open_parquet(path))
    found = scan(path, encoding)
    opener = {".csv": open_csv, ".tsv": open_csv, ".txt": open_lines}.get(ending, open_jsonl)
    return checked(opener(path, found))


def checked(table: Table) -> Table:
    """Return the table, or raise UserError for columns of one name."""
    for name in table.columns:
        if table.columns.count(name) > 1:
            raise UserError(f"{table.path}: two columns are called {name}; rename one of them")
    return table


def open_csv(path: Path, found: Scan) -> Table:
    """Read a table with a header; the separator is the commonest of comma, semicolon and tab in the header."""
    with path.open(encoding=found.encoding, newline="") as stream:
        first = stream.readline(MOST_CELL)
    separator = "\t" if path.suffix.lower() == ".tsv" else max(",;\t", key=first.count)

    def every() -> Iterator[list[str]]:
        csv.field_size_limit(MOST_CELL)
        with path.open(encoding=found.encoding, newline="") as stream:
            reader = csv.reader(stream, delimiter=separator, strict=True)
            try:
                yield from reader
            except csv.Error as error:
                raise UserError(f"{path}: line {reader.line_num}: {error}; mend its quotes") from error

    header = [name.strip() or f"column {i}" for i, name in enumerate(next(every(), []), 1)]

    def read(wanted: Sequence[str]) -> Iterator[Cells]:
        at, nothing = [header.index(name) for name in wanted], tuple("" for _ in wanted)
        rows = every()
        next(rows, None)
        for number, row in enumerate(without_end(rows, []), 1):
            if len(row) not in (len(header), 0):
                raise UserError(
                    f"{path}: row {number} has {len(row)} cells and the header {len(header)}; "
                    "put quotes around a cell that holds the separator"
                )
            yield tuple(row[i] for i in at) if row else nothing

    name = {",": "comma", ";": "semicolon", "\t": "tab"}[separator]
    kind = f"CSV, {name} between cells, {shown(found.encoding)}"
    return Table(path, kind, tuple(header), found.lines, found.sha256, read, found.warnings)


def open_jsonl(path: Path, found: Scan) -> Table:
    """Read one JSON object a line; the columns are the keys of the first thousand."""

    def every() -> Iterator[dict[str, Any] | None]:
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
    for _, row in zip(range(KEYS), every(), strict=False):
        columns |= dict.fromkeys(row or ())

    def read(wanted: Sequence[str]) -> Iterator[Cells]:
        for row in without_end(every(), None):
            yield tuple((row or {}).get(name) for name in wanted)

    return Table(
        path, f"JSONL, {shown(found.encoding)}", tuple(columns), found.lines, found.sha256, read, found.warnings
    )


def open_lines(path: Path, found: Scan) -> Table:
    """Read one text a line."""

    def read(wanted: Sequence[str]) -> Iterator[Cells]:
        with path.open(encoding=found.encoding) as stream:
            for text in without_end((row.rstrip("\n") if row.strip() else "" for row in stream), ""):
                yield tuple(text for _ in wanted)

    kind = f"text, {shown(found.encoding)}"
    return Table(path, kind, ("text",), found.lines, found.sha256, read, found.warnings)


def without_end(rows: Iterable[T], nothing: T) -> Iterator[T]:
    """Yield rows but those at the end that are ``nothing``: a blank line is an example only if another follows."""
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
        raise UserError(f"{path}: not a whole Parquet file ({line(error)}); write or copy it again") from error

    def read(wanted: Sequence[str]) -> Iterator[Cells]:
        try:
            with pq.ParquetFile(path, buffer_size=2**20, pre_buffer=False) as file:
                for batch in file.iter_batches(BATCH, columns=list(wanted)):
                    yield from zip(*(batch.column(name).to_pylist() for name in wanted), strict=True)
        except (pa.ArrowException, OSError) as error:
            raise UserError(f"{path}: not a whole Parquet file ({line(error)}); write or copy it again") from error

    return Table(path, "Parquet", columns, size, sha256, read)


def shown(encoding: str) -> str:
    """Return an encoding as people write it."""
    return "UTF-8" if encoding == "utf-8-sig" else encoding
