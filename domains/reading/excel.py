"""Sheets of Excel files, row by row."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any
from zipfile import BadZipFile, ZipFile

from domains.errors import UserError, first_line

EXCEL = (".xlsx", ".xlsm")
MOST_BYTES = 2**30  # unpacked: a sheet of a million rows has a tenth of it

Rows = Callable[[], Iterator[Sequence[Any]]]


def excel_rows(path: Path, sheet: str | None) -> tuple[Rows, str, int]:
    """Return what reads the rows of a sheet, its name, and about how many rows it has. Formulas are their values.

    Args:
        sheet: its name; None: the only one that holds something.

    Raises:
        UserError: it is no Excel file; there is no such sheet, or several are filled and none is named.
    """
    with closing(open_workbook(path)) as book:
        names = [each.title for each in book.worksheets]
        if sheet is not None and sheet not in names:
            raise UserError(f"{path}: no sheet {sheet!r}; it has {', '.join(names)}")
        filled = [sheet] if sheet else [name for name in names if has_cells(book[name])]
        if len(filled) > 1:
            raise UserError(f"{path}: which sheet? It has {', '.join(filled)}; say --sheet")
        if not filled:
            raise UserError(f"{path}: no examples in it; all its sheets are empty")
        chosen = filled[0]
        widths = [len(trimmed(row)) for row in book[chosen].iter_rows(values_only=True)]
        width = max(widths, default=0)

    def rows() -> Iterator[Sequence[Any]]:
        with closing(open_workbook(path)) as book:
            for row in book[chosen].iter_rows(values_only=True):
                yield (*row[:width], *(None for _ in range(width - len(row))))

    return rows, chosen, len(widths)


def open_workbook(path: Path) -> Any:
    """Open an Excel file to be read in a stream.

    Raises:
        UserError: it is none.
    """
    from openpyxl import load_workbook
    from openpyxl.utils.exceptions import InvalidFileException

    try:
        with ZipFile(path) as archive:
            unpacked = sum(member.file_size for member in archive.infolist())
        if unpacked > MOST_BYTES:
            raise UserError(f"{path}: unpacks to {unpacked:,} bytes, at most {MOST_BYTES:,}; save it as CSV")
        book = load_workbook(path, read_only=True, data_only=True, keep_links=False)
    except (InvalidFileException, BadZipFile, OSError, KeyError, ValueError) as error:
        if isinstance(error, PermissionError):
            raise
        raise UserError(f"{path}: not a whole Excel file ({first_line(error)}); write or copy it again") from error
    for sheet in book.worksheets:
        sheet.reset_dimensions()  # which some programs write wrongly
    return book


def has_cells(sheet: Any) -> bool:
    """Whether any cell of a sheet holds something."""
    return any(cell is not None for row in sheet.iter_rows(values_only=True) for cell in row)


def trimmed(row: Sequence[Any]) -> Sequence[Any]:
    """Return a row without the empty cells at its end."""
    end = len(row)
    while end and row[end - 1] is None:
        end -= 1
    return row[:end]
