"""How rows of cells make a table: the separator, lines above the header, and whether the first row is one."""

import csv
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from typing import Any

from domains.reading.cells import as_text, count_words
from domains.reading.column_names import LABELS, TEXTS
from domains.words import some

SEPARATORS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "pipe"}
HEAD = 200  # rows that are looked at
MOST_ABOVE = 20  # rows before the header
STEADY = 0.8  # share of rows of one width, from which on a separator is believed
TEXT = 3  # words of a text, on average
LONG = 8  # words of a header cell that is rather a text

SEP_LINE = re.compile(r'"?sep=(.)"?\s*', re.IGNORECASE)
ESCAPED = re.compile(r'(?<!\\)((?:\\\\)*)\\"')  # a quote after a backslash that is itself after none
SPACED = re.compile(r'\s+"')  # begins a cell in quotes after the space that people write behind a comma


@dataclass(frozen=True)
class Layout:
    """Where a table begins.

    Attributes:
        above: rows before the header, or before the first row where there is no header.
        columns: the names of the columns.
        header: whether the names are those of a row.
        doubt: why that row may hold data; empty where nothing says so.
        warnings: about the rows above.
    """

    above: int
    columns: tuple[str, ...]
    header: bool
    doubt: str = ""
    warnings: tuple[str, ...] = ()


def find_separator(lines: Sequence[str]) -> str:
    """Return the separator by which most rows have the same number of cells, if nearly all have.

    Else the commonest of them in the first line.
    """
    steady = {separator: steadiness(split_lines(lines, separator)) for separator in SEPARATORS}
    first = lines[0] if lines else ""
    best = max(steady, key=lambda separator: (round(steady[separator], 2), first.count(separator)))
    return best if steady[best] >= STEADY else max(SEPARATORS, key=first.count)


def split_lines(lines: Iterable[str], separator: str, spaces: bool = False) -> list[list[str]]:
    """Return the rows of some lines, as far as their quotes are whole.

    Args:
        spaces: whether those before a quote are no part of a cell.
    """
    rows: list[list[str]] = []
    with suppress(csv.Error):
        for row in csv.reader(lines, delimiter=separator, strict=True, skipinitialspace=spaces):
            rows.append(row)
    return rows


def has_spaces(lines: Sequence[str], separator: str) -> bool:
    """Whether most rows have a cell in quotes after a space, ``text, "label"``, and quotes are whole if it is left."""
    rows = split_lines(lines, separator)
    spaced = sum(any(SPACED.match(cell) for cell in row[1:]) for row in rows)
    return 2 * spaced > len(rows) and steadiness(split_lines(lines, separator, True)) >= steadiness(rows)


def has_escapes(lines: Callable[[], Iterable[str]], separator: str) -> bool:
    """Whether a backslash stands before quotes inside of cells: quotes are whole if they are read so, and not else."""
    if not any('\\"' in line for line in lines()):
        return False
    return not is_whole(lines(), separator) and is_whole(without_escapes(lines()), separator)


def is_whole(lines: Iterable[str], separator: str) -> bool:
    """Whether the quotes of all lines are closed, and followed by a separator or the end of the line."""
    try:
        for _ in csv.reader(lines, delimiter=separator, strict=True):
            pass
    except csv.Error:
        return False
    return True


def without_escapes(lines: Iterable[str]) -> Iterator[str]:
    """Yield lines whose quotes inside of cells are doubled, ``""``, where a backslash stood before them."""
    return (ESCAPED.sub(r'\1""', line) for line in lines)


def steadiness(rows: Sequence[Sequence[object]]) -> float:
    """Return the share of rows, without blank ones, that have the commonest number of cells above one."""
    widths = Counter(len(row) for row in rows if row)
    return max((count for width, count in widths.items() if width > 1), default=0) / max(1, widths.total())


def find_layout(rows: Iterable[Sequence[Any]], header: bool | None) -> Layout:
    """Find where the table begins in its rows, of which the first few are read.

    Rows with one filled cell above a table of several columns are titles.

    Args:
        header: whether there is one; None: there is, but with doubt if the first row looks like the others.
    """
    head = list(islice(rows, HEAD))
    first = next((i for i, row in enumerate(head) if filled(row)), len(head))
    titles = []
    if starts_below(head):
        while first < len(head) and len(filled(head[first])) < 2 and is_title(head, first, header):
            titles += filled(head[first])
            first += 1
    warnings = (f"left out above the table: {some([repr(title) for title in titles])}",) if titles else ()
    names = [] if first == len(head) else [as_text(cell) or "" for cell in head[first]]
    numbered = tuple(f"column {i}" for i in range(1, len(names) + 1))
    if header is False:
        return Layout(first, numbered, False, warnings=warnings)
    while names and not names[-1].strip() and not any(filled(row[len(names) - 1 :]) for row in head[first + 1 :]):
        names.pop()  # a separator at the end of each line
    columns = tuple(name.strip() or number for name, number in zip(names, numbered, strict=False))
    doubt = "" if header else header_doubt(columns, head[first + 1 :])
    return Layout(first, columns, True, doubt, warnings)


def filled(row: Sequence[Any]) -> list[str]:
    """Return the cells of a row that hold something, as text."""
    return [text for cell in row if (text := "?" if as_text(cell) is None else as_text(cell)) and text.strip()]


def starts_below(head: Sequence[Sequence[Any]]) -> bool:
    """Whether most rows have several filled cells, so that one with a single cell at the top is no row of the table."""
    several = [len(filled(row)) > 1 for row in head if filled(row)]
    return len(several) > 1 and sum(several[1:]) >= STEADY * len(several[1:])


def is_title(head: Sequence[Sequence[Any]], at: int, header: bool | None) -> bool:
    """Whether a row with at most one filled cell stands above the table and is not its header or its first row."""
    row = head[at]
    if at >= MOST_ABOVE or (len(row) > 1 and header is False):
        return False
    if not filled(row):
        return True
    if len(row) == 1:
        return row[0].strip().lower() not in (*TEXTS, *LABELS)  # the name of an only column, of texts with separators
    return len(row) > 2 or bool(filled(row[:1]))


def header_doubt(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Return why the names of columns may be the first row of data; empty where nothing says so."""
    for i, name in enumerate(columns):
        below = [text.strip() for row in rows if i < len(row) and (text := as_text(row[i])) and text.strip()]
        if name.casefold() in {text.casefold() for text in below}:
            return f"{name!r} stands below it too"
        if below and is_number(name) and sum(map(is_number, below)) >= STEADY * len(below):
            return f"{name!r} is a number, like what is below it"
        words, usual = count_words(name), sum(map(count_words, below)) / max(1, len(below))
        if words >= LONG or (words > TEXT and usual >= TEXT and 2 * words >= usual):
            return f"{name!r} reads like a text"
    return ""


def is_number(text: str) -> bool:
    """Whether a text is a number."""
    try:
        float(text)
    except ValueError:
        return False
    return True


def without_blank_ends(row: Sequence[Any], width: int) -> Sequence[Any]:
    """Return a row without the empty cells that it has beyond a width."""
    return row[:width] if len(row) > width and not filled(row[width:]) else row


def skip(rows: Iterator[Any], count: int) -> Iterator[Any]:
    """Return what comes after the first few rows."""
    for _ in islice(rows, count):
        pass
    return rows
