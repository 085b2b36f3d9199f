"""The examples of a table: texts, or images in its cells."""

import json
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

from domains.domain import Family
from domains.errors import UserError
from domains.own.columns import BINARY, MARKS, ColumnNames, find_columns
from domains.own.options import AddOptions
from domains.own.survey import Item, Items
from domains.reading.cells import MISSING, as_text, image_bytes
from domains.reading.pictures import to_picture
from domains.reading.tables import Table

BETWEEN = "\n"  # texts of several columns


def items_of_table(table: Table, options: AddOptions, columns: ColumnNames | None = None) -> Items:
    """Return the examples of a table.

    Args:
        columns: which is which, where that is found already.

    Raises:
        UserError: nothing tells which column is which, or a cell holds no example.
    """
    columns = columns or find_columns(table, options)
    family: Family = "vision" if columns.image else "text"
    if options.family not in (None, family):
        raise UserError(f"{table.path}: column {columns.examples[0]} holds {family} and not {options.family} examples")
    used: dict[str, str | list[str]] = {"text" if family == "text" else "image": one_or_more(columns.examples)}
    used["label"] = one_or_more(columns.labels)
    used |= {key: name for key, name in (("group", columns.group), ("time", columns.time)) if name is not None}
    prepare = (lambda raw: (p := to_picture(raw), (p.content, p.changes))[1]) if columns.image else check_text
    return Items(
        family=family,
        kind=table.kind,
        file=table.path.name,
        size=table.size,
        read=lambda: read_items(table, columns, family),
        where=lambda i: f"row {i + 1}",
        prepare=prepare,
        sha256=lambda: table.sha256,
        columns=used,
        warnings=table.warnings,
        notes=({} if table.header else {"header": False})
        | ({"not_used": list(columns.unused)} if columns.unused else {}),
    )


def one_or_more(names: Sequence[str]) -> str | list[str]:
    return names[0] if len(names) == 1 else list(names)


def read_items(table: Table, columns: ColumnNames, family: Family) -> Iterator[Item]:
    """Yield the rows of a table as examples.

    Raises:
        UserError: a cell does not hold what its column is taken for.
    """
    ends = [0, len(columns.examples), len(columns.examples) + len(columns.labels), len(columns.names)]
    for i, row in enumerate(table.read(columns.names), 1):
        where = f"{table.path}: row {i}: column"
        cells, labels, rest = (row[start:end] for start, end in pairwise(ends))
        texts = [as_text(value) for value in rest]
        if None in texts:
            raise UserError(f"{where} {columns.names[ends[2] + texts.index(None)]} does not hold a single value")
        by_name = dict(zip((key for key in ("group", "time") if getattr(columns, key)), texts, strict=True))
        example = image_of(cells[0]) if columns.image else join_texts(cells)
        if example is None and not columns.image:
            raise UserError(f"{where} {columns.examples[0]} does not hold {family} examples")
        if len(labels) == 1:
            label = label_text(labels[0], f"{where} {columns.labels[0]}")
        else:
            label = label_of_flags(labels, columns.labels, where)
        yield Item(example, label, by_name.get("group") or "", by_name.get("time") or "")


def image_of(cell: Any) -> bytes | None:
    """Return the image of a cell, if there is one."""
    return image_bytes(cell) if cell else None


def join_texts(cells: Sequence[Any]) -> str | None:
    """Return the texts of a row as one, without the empty ones; None if a cell holds no text."""
    texts = [as_text(cell) for cell in cells]
    if len(texts) == 1 or None in texts:
        return None if None in texts else texts[0]
    return BETWEEN.join(text for text in texts if text and text.strip())


def label_text(cell: Any, where: str) -> str:
    """Return the label of a cell as text; a list of labels is one as JSON, unless it has only one.

    Raises:
        UserError: it holds something else.
    """
    labels = [as_text(each) for each in cell] if isinstance(cell, list) else [as_text(cell)]
    if None in labels:
        raise UserError(f"{where} does not hold a single value")
    return (labels[0] or "") if len(labels) == 1 else json.dumps(labels, ensure_ascii=False) if labels else ""


def label_of_flags(cells: Sequence[Any], names: Sequence[str], where: str) -> str:
    """Return the names of the columns that hold 1, one as it is and several as JSON.

    Raises:
        UserError: a cell holds neither 0 nor 1.
    """
    found = []
    for cell, name in zip(cells, names, strict=True):
        flag = (as_text(cell) or "").strip().lower().removesuffix(".0")
        if flag not in BINARY | MARKS | MISSING:
            raise UserError(f"{where} {name} holds {cell!r}, neither 0 nor 1; name one --label-column")
        if flag in {"1", "true"} | MARKS:
            found.append(name)
    return label_text(found, where)


def check_text(text: Any) -> tuple[str, tuple[str, ...]]:
    """Return a text that can be written, or raise ValueError."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError("half a character, \\ud800 or the like") from None
    return text, ()
