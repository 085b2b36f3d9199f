"""Find the table in a file of prices: titles, header, the column of dates, and where the rows begin."""

import codecs
import csv
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from domains.errors import UserError, first_line
from domains.reading.cells import as_text
from domains.reading.column_names import DATES
from domains.reading.excel import EXCEL, excel_rows
from domains.reading.packed import RawFile, raw_file
from domains.reading.price_dates import ENOUGH, are_dates, serial_days
from domains.reading.price_numbers import number_share
from domains.reading.price_options import PriceOptions
from domains.reading.tables import CELLS, MOST_CELL, open_table
from domains.reading.text_encodings import BLOCK, OR_SAY, TextFile, inspect
from domains.reading.whole_tables import parquet_frame
from domains.words import quantity, some

TEXT_ENDINGS = (*CELLS, ".txt")
TABLES = (*TEXT_ENDINGS, ".jsonl", ".ndjson", ".json")  # that may be packed
SEPARATORS = ",;\t|"
HEAD = 400  # rows that show where the table begins
TITLES = 40  # lines before the header at most
LEVELS = 4  # rows of a header at most


@dataclass(frozen=True)
class Sheet:
    """The table of a file.

    Attributes:
        cells: the rows of data, as text where the file has no types; columns by name.
        levels: the header of each column, a name a level; () where the file has none.
        date: the name of the column of dates.
        separator: between cells; empty where the file has columns of its own.
        doubts: a line for each doubt.
        left_out: lines that are no part of the table, in words.
    """

    cells: pd.DataFrame
    levels: dict[str, tuple[str, ...]]
    date: str
    separator: str
    doubts: tuple[str, ...]
    left_out: tuple[str, ...]

    @property
    def has_header(self) -> bool:
        return bool(self.levels)


def open_sheet(path: Path, options: PriceOptions, most: int | None = None) -> Sheet:
    """Read the table of a file, or its first ``most`` rows.

    Raises:
        UserError: the file cannot be read, has no rows or no second column, or a row has other cells than the header.
    """
    file = raw_file(path, TABLES)
    if options.sheet is not None and file.ending not in EXCEL:
        raise UserError(f"{path}: --sheet is only for Excel files; leave it out")
    if file.ending in EXCEL:
        rows, _, _ = excel_rows(path, options.sheet)
        texts = ([(as_text(cell) or "").strip() for cell in row] for row in rows())
        return sheet_of_rows(texts, "", options, most, path)
    if file.ending in TEXT_ENDINGS:
        return sheet_of_text(file, options, most)
    frame, doubts = typed_frame(path, most)
    names = [name if isinstance(name, tuple) else (str(name),) for name in frame.columns]
    levels = {" ".join(filter(None, map(str, name))): tuple(map(str, name)) for name in names}
    if len(levels) < len(names):
        raise UserError(f"{path}: two columns have the same name; rename one of them")
    frame = frame.set_axis(list(levels), axis=1)
    if len(levels) < 2:
        raise UserError(f"{path}: expected dates in the first column and the prices of an asset in each other one")
    head = frame.iloc[:HEAD].map(lambda cell: as_text(cell) or "")
    date = date_column({str(name): head[name].astype(object) for name in head}, options, path)
    return Sheet(frame, levels, date, "", doubts, ())


def typed_frame(path: Path, most: int | None) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Read Parquet or JSON, with an index of dates as the first column; of its first rows no more than these."""
    doubts: tuple[str, ...] = ()
    if path.suffix.lower() == ".parquet":
        try:
            frame = parquet_frame(pq.read_table(path) if most is None else first_batch(path, most))
        except (ValueError, OSError, pa.ArrowException) as error:
            raise UserError(
                f"{path}: not a whole Parquet file ({first_line(error)}); write or copy it again"
            ) from error
        if not isinstance(frame.index, pd.RangeIndex):
            frame = frame.reset_index()
    else:
        table = open_table(path)
        rows = islice(table.read(table.columns), most)
        frame = pd.DataFrame(rows, columns=list(table.columns), dtype=object)
        doubts = table.warnings
    if frame.empty:
        raise UserError(f"{path}: no examples in it")
    return frame, doubts


def first_batch(path: Path, most: int) -> pa.Table:
    """Return the first rows of a Parquet file."""
    with pq.ParquetFile(path) as file:
        return pa.Table.from_batches([*islice(file.iter_batches(most), 1)], file.schema_arrow)


def peek(file: RawFile) -> TextFile:
    """Return the encoding of a text file by its beginning."""
    with file.open() as stream:
        head = stream.read(BLOCK)
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return TextFile(file.path, file.open, "", "utf-16", 0)
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeError:
        return TextFile(file.path, file.open, "", "cp1252", 0)
    return TextFile(file.path, file.open, "", "utf-8-sig", 0)


def sheet_of_text(file: RawFile, options: PriceOptions, most: int | None) -> Sheet:
    """Read the table of a CSV, TSV or TXT file."""
    found = inspect(file) if most is None else peek(file)
    separator = choose_separator(found)
    sheet = sheet_of_rows(split_lines(found, separator), separator, options, most, file.path)
    warnings = (warning.removesuffix(OR_SAY) for warning in found.warnings)
    return replace(sheet, doubts=(*warnings, *sheet.doubts))


def sheet_of_rows(
    all_rows: Iterable[list[str]], separator: str, options: PriceOptions, most: int | None, path: Path
) -> Sheet:
    """Find the table in rows of stripped cells."""
    rows = [row for row in islice(all_rows, most) if any(row)]
    if not rows:
        raise UserError(f"{path}: no examples in it")
    width = Counter(map(len, rows[:HEAD])).most_common(1)[0][0]
    if width < 2:
        raise UserError(f"{path}: expected dates in the first column and the prices of an asset in each other one")
    rows, doubts = with_serial_days(rows, width)
    at, first = find_dates(rows[:HEAD], width, options)
    header, date, titles = split_header(rows[:first], width, at, path)
    names, levels = name_columns(header, date, width, at, path)
    if options.date_column is not None and names[at] != options.date_column:
        raise error_of_column(path, names, options.date_column, "--time-column")
    body, footers = fit_rows(rows[first:], width, at, path)
    if not body:
        raise UserError(f"{path}: no examples in it")
    left_out = [
        f"{quantity(len(lines), 'line')} {where}: {some([repr(text[:60]) for text in lines])}"
        for where, lines in (("before the header", titles), ("after the last date", footers))
        if lines
    ]
    cells = pd.DataFrame(body, columns=names, dtype=object)
    return Sheet(cells, levels, names[at], separator, doubts, tuple(left_out))


def error_of_column(path: Path, names: Iterable[str], name: str, option: str) -> UserError:
    return UserError(f"{path}: no column {name!r} ({option}); it has {', '.join(names)}")


def split_lines(found: TextFile, separator: str) -> Iterator[list[str]]:
    """Yield rows of stripped cells; a line ``sep=;``, which spreadsheets write, is none."""
    csv.field_size_limit(MOST_CELL)
    with found.open(newline="") as stream:
        reader = csv.reader(stream, delimiter=separator, strict=True)
        try:
            for row in reader:
                if reader.line_num > 1 or not ",".join(row).lower().startswith("sep="):
                    yield [cell.strip() for cell in row]
        except csv.Error as error:
            raise UserError(f"{found.path}: line {reader.line_num}: {error}; correct its quotes") from error


def choose_separator(found: TextFile) -> str:
    """Return what parts cells: with it a column holds dates, and most lines have equally many cells."""
    best = (False, 0.0, 0), ","
    for separator in SEPARATORS:
        try:
            rows = [row for row in islice(split_lines(found, separator), HEAD) if any(row)]
        except UserError:
            continue
        width, count = Counter(map(len, rows)).most_common(1)[0] if rows else (0, 0)
        if width > 1:
            dates = any(dates_begin(column_of(rows, i)) is not None for i in range(width))
            best = max(best, ((dates, round(count / len(rows), 1), width), separator))
    return best[1]


def column_of(rows: Sequence[Sequence[str]], i: int) -> "pd.Series[str]":
    return pd.Series([row[i] if i < len(row) else "" for row in rows], dtype=object)


def with_serial_days(rows: list[list[str]], width: int) -> tuple[list[list[str]], tuple[str, ...]]:
    """Return rows with dates in place of the numbers by which spreadsheets count days, and a line that says so.

    Where a column has dates, the rows stay as they are.
    """
    if any(dates_begin(column_of(rows[:HEAD], i)) is not None for i in range(width)):
        return rows, ()
    for i in range(width):
        cells = column_of(rows, i)
        first = next((at for at, cell in enumerate(cells[:TITLES]) if cell[:1].isdigit()), 0)
        if (days := serial_days(cells[first:])) is not None:
            known = days.dropna().dt.strftime("%Y-%m-%d")
            at = int(known.index[0])
            rows = [
                [*row[:i], known.get(n, row[i]), *row[i + 1 :]] if i < len(row) else row for n, row in enumerate(rows)
            ]
            return rows, (f"days are counted as spreadsheets do: {cells[at]} is {known[at]}",)
    return rows, ()


def dates_begin(cells: "pd.Series[str]") -> int | None:
    """Return the first cell from which on nearly all are dates, if there is one among the first."""
    dated = are_dates(cells).to_numpy()
    first = int(dated.argmax())
    return first if dated[first:].mean() >= ENOUGH and dated[first] and first < TITLES else None


def find_dates(rows: Sequence[Sequence[str]], width: int, options: PriceOptions) -> tuple[int, int]:
    """Return the column of dates, and the row at which the data begin.

    Of several such columns the one that is named wins, then one that is called so, then one of dates as texts, and then
    the leftmost. Without any, the data begin at the second row.
    """
    columns = [column_of(rows, i) for i in range(width)]
    found = {i: first for i, cells in enumerate(columns) if (first := dates_begin(cells)) is not None}
    heads = {i: {cell.strip("<>").lower() for cell in columns[i].iloc[: max(1, found.get(i, 1))]} for i in range(width)}
    if options.date_column is not None:
        named = options.date_column.strip("<>").lower()
        found = {i: found.get(i, 1) for i in range(width) if named in heads[i]} or found
    if not found:
        called = [i for i in range(width) if heads[i] & set(DATES)]
        return (called[0] if called else 0), 1
    at = min(found, key=lambda i: (not heads[i] & set(DATES), is_count(columns[i].iloc[found[i] :]), i))
    return at, found[at]


def is_count(cells: "pd.Series[str]") -> bool:
    """Return whether cells are plain numbers, as times since 1970 are."""
    return bool(cells.str.fullmatch(r"\d+(\.0)?").mean() > 0.5)


def split_header(above: list[list[str]], width: int, at: int, path: Path) -> tuple[list[list[str]], str, list[str]]:
    """Divide the rows above the data into the rows of the header, the name of the dates, and lines of titles."""
    header: list[list[str]] = []
    date, rest = "", list(above)
    while rest and len(header) < LEVELS:
        row = fit(rest[-1], width)
        filled = [cell for cell in row or () if cell]
        if row and len(filled) == 1 and row[at] and not header and len(rest) > 1:
            date = row[at]  # pandas writes the name of its index in a row of its own
        elif row is None or len(filled) < 2 or are_dates(pd.Series(filled, dtype=object)).any():
            break  # a title, or a line such as "from, 2024-01-01"
        elif len(rest) > 1 and fit(rest[-2], width) and is_data(row, at):
            raise UserError(f"{path}: row 1: {row[at]!r} is not a date; write YYYY-MM-DD")
        else:
            header.insert(0, row)
        rest.pop()
    return header, date, [" ".join(filter(None, row)) for row in rest]


def is_data(row: list[str], at: int) -> bool:
    """Return whether a row holds prices and not names."""
    others = [cell for i, cell in enumerate(row) if cell and i != at]
    return number_share(pd.Series(others, dtype=object)) > 0.5 and any(c in cell for cell in others for c in ".,")


def fit(row: list[str], width: int) -> list[str] | None:
    """Return a row with so many cells if only empty ones are too many or lacking, else None."""
    if len(row) > width and any(row[width:]):
        return None
    return [*row, ""][:width] if len(row) >= width - 1 else None


def name_columns(
    header: list[list[str]], date: str, width: int, at: int, path: Path
) -> tuple[list[str], dict[str, tuple[str, ...]]]:
    """Return the names of the columns, and the header of each by level; a name left blank in an upper row goes on."""
    if not header:
        return [f"column {i}" for i in range(1, width + 1)], {}
    for row in header[:-1]:
        for i in range(1, width):
            row[i] = row[i] or (row[i - 1] if i - 1 != at else "")
    levels = [tuple(cell.strip("<>").strip() for cell in cells) for cells in zip(*header, strict=True)]
    names = [" ".join(dict.fromkeys(filter(None, names))) or f"column {i}" for i, names in enumerate(levels, 1)]
    names[at] = (date or next(filter(None, reversed(levels[at])), names[at])) if len(header) > 1 else names[at]
    for name in names:
        if names.count(name) > 1:
            raise UserError(f"{path}: two columns are called {name}; rename one of them")
    return names, dict(zip(names, levels, strict=True))


def fit_rows(rows: list[list[str]], width: int, at: int, path: Path) -> tuple[list[list[str]], list[str]]:
    """Return rows of so many cells, and the lines after the last date, which are no rows.

    Raises:
        UserError: another row has more cells, or fewer.
    """
    end = len(rows)
    while end and sum(map(bool, rows[end - 1])) < 2 and not are_dates(pd.Series(rows[end - 1], dtype=object)).any():
        end -= 1
    body = [fit(row, width) for row in rows[:end]]
    for number, row in enumerate(body, 1):
        if row is None:
            raise UserError(
                f"{path}: row {number} has {len(rows[number - 1])} cells and the header {width}; "
                "put quotes around a cell that holds the separator"
            )
    return [row for row in body if row is not None], [" ".join(filter(None, row)) for row in rows[end:]]


def date_column(cells: dict[str, "pd.Series[str]"], options: PriceOptions, path: Path) -> str:
    """Return the column of dates of a table that has names: named, called so, or nearly all dates; else the first."""
    if options.date_column is not None:
        if options.date_column not in cells:
            raise error_of_column(path, cells, options.date_column, "--time-column")
        return options.date_column
    dated = [name for name, texts in cells.items() if are_dates(texts).mean() >= ENOUGH]
    called = [name for word in DATES for name in cells if name.strip().lower() == word]
    best = sorted(dated, key=lambda name: (name not in called, is_count(cells[name])))
    return (best or called or list(cells))[0]
