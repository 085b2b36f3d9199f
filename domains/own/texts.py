"""The examples of a table: texts, or images in its cells."""

from collections.abc import Iterator
from typing import Any

from domains.domain import Family
from domains.errors import UserError
from domains.own.columns import find_columns
from domains.own.options import AddOptions
from domains.own.survey import Item, Items
from domains.reading.cells import as_text, image_bytes
from domains.reading.pictures import to_picture
from domains.reading.tables import Table


def items_of_table(table: Table, options: AddOptions) -> Items:
    """Return the examples of a table.

    Raises:
        UserError: nothing tells which column is which, or a cell holds no example.
    """
    columns = find_columns(table, options)
    family: Family = "vision" if columns.image else "text"
    if options.family not in (None, family):
        raise UserError(f"{table.path}: column {columns.example} holds {family} and not {options.family} examples")
    optional = {"group": columns.group, "time": columns.time}
    used = {"text" if family == "text" else "image": columns.example, "label": columns.label}
    used |= {key: name for key, name in optional.items() if name is not None}

    def read() -> Iterator[Item]:
        for i, (example, label, *rest) in enumerate(table.read(columns.names), 1):
            texts = [as_text(value) for value in (label, *rest)]
            if None in texts:
                name = columns.names[1 + texts.index(None)]
                raise UserError(f"{table.path}: row {i}: column {name} does not hold a single value")
            example = (example and image_bytes(example)) if columns.image else as_text(example)
            if example is None and not columns.image:
                raise UserError(f"{table.path}: row {i}: column {columns.example} does not hold {family} examples")
            by_name = dict(zip((key for key, name in optional.items() if name), texts[1:], strict=True))
            yield Item(example, texts[0] or "", by_name.get("group") or "", by_name.get("time") or "")

    prepare = (lambda raw: (p := to_picture(raw), (p.content, p.changes))[1]) if columns.image else check_text
    return Items(
        family=family,
        kind=table.kind,
        file=table.path.name,
        size=table.size,
        read=read,
        where=lambda i: f"row {i + 1}",
        prepare=prepare,
        sha256=lambda: table.sha256,
        columns=used,
        warnings=table.warnings,
    )


def check_text(text: Any) -> tuple[str, tuple[str, ...]]:
    """Return a text that can be written, or raise ValueError."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError("half a character, \\ud800 or the like") from None
    return text, ()
