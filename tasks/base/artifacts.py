"""What people look at: artifacts in the Prefect UI and tables in the terminal.

What comes from data (label names, texts, names of domains) is shown as it is, and never interpreted as markdown, HTML,
console markup or formulas.
"""

import base64
import math
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tasks.base.progress import in_run, slug

if TYPE_CHECKING:
    from rich.table import Table


def with_interval(share: float, half: float | None) -> str:
    """Return a share and its interval in percent: ``61.2 ± 1.3``; without one where it is not known."""
    return f"{100 * share:.1f}" + ("" if half is None or math.isnan(half) else f" ± {100 * half:.1f}")


def time_ago(seconds: float) -> str:
    """Return an age in its largest sensible unit."""
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


# Tables


def table_of(rows: Sequence[Mapping[str, str]]) -> "Table":
    """Return rows of equal keys as a rich table; the last column is cut where the terminal is too narrow."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    table = Table(header_style="bold", box=SIMPLE_HEAD, padding=0)
    *first, last = rows[0]
    for column in first:
        table.add_column(column, no_wrap=True)
    table.add_column(last)  # rich narrows the columns that may wrap; its cells then do not
    for row in rows:
        *cells, end = map(str, row.values())
        table.add_row(*map(Text, cells), Text(end, no_wrap=True, overflow="ellipsis"))
    return table


def markdown_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return rows of equal keys as a markdown table, every cell escaped."""
    if not rows:
        return "_none_"
    lines = [rows[0].keys(), ["---"] * len(rows[0]), *(row.values() for row in rows)]
    escaped = [[cell if i == 1 else escape(cell) for cell in line] for i, line in enumerate(lines)]
    return "\n".join(map(table_line, escaped))


def table_line(cells: Sequence[str]) -> str:
    """Return a line of a markdown table; :func:`escape` foreign text."""
    return f"| {' | '.join(cells)} |"


# Artifacts


def table_artifact(key: str, rows: Sequence[Mapping[str, Any]], description: str = "") -> None:
    """Show rows as a table in the Prefect UI, where this runs in a flow or task."""
    if in_run():
        from prefect.artifacts import create_table_artifact

        table = [{plain(column): _cell(value) for column, value in row.items()} for row in rows]
        create_table_artifact(table, slug(key), plain(description), _sync=True)


def markdown_artifact(key: str, markdown: str, description: str = "") -> None:
    """Show markdown in the Prefect UI, where this runs in a flow or task; :func:`escape` foreign text."""
    if in_run():
        from prefect.artifacts import create_markdown_artifact

        create_markdown_artifact(markdown, slug(key), plain(description), _sync=True)


def image_artifact(key: str, png: bytes, description: str) -> None:
    """Show a picture in the Prefect UI, where this runs in a flow or task.

    It is sent as markdown: below an image artifact the UI prints the whole data URI as text.
    """
    markdown_artifact(key, image_markdown(png, description), description)


def image_markdown(png: bytes, description: str) -> str:
    """Return a picture as markdown that holds all its bytes."""
    return f"![{plain(description)}](data:image/png;base64,{base64.b64encode(png).decode()})"


def artifact_link(key: str, text: str) -> str:
    """Return a markdown link to the page of an artifact in the Prefect UI that this process reports to.

    Args:
        text: words of ours. A name stands beside a link, by :func:`escape`: inside of one, one Prefect UI interprets
            markdown and the other shows what is typed, backslashes too, so that nothing would be right in both.
    """
    from prefect.settings import PREFECT_UI_URL

    return f"[{plain(text)}]({(PREFECT_UI_URL.value() or '').rstrip('/')}/artifacts/key/{slug(key)})"


def escape(text: object) -> str:
    """Return text as one line of markdown that shows exactly it: no HTML, format, links or table cells.

    Not for the text of links and the description of pictures: :func:`plain`.

    By backslashes: one Prefect UI shows ``&lt;`` and its like as they are. The other makes links of bare web
    addresses whatever is done, which is harmless.
    """
    return re.sub(r"([!-/:-@\[-`{-~])", r"\\\1", _one_line(text))


def plain(text: object) -> str:
    """Return text for a table, a description or a link, with look-alikes for what means something in HTML or markdown.

    Of the two Prefect UIs one interprets them and the other shows them as they are, so that no escape would be
    right in both.
    """
    return _one_line(text).translate(str.maketrans("<>|`*_[]\\", "‹›¦'∗‗⟦⟧∖"))


def shorten(text: str, length: int) -> str:
    """Return text of at most ``length`` characters on one line, with … for what was cut."""
    line = _one_line(text)
    return line if len(line) <= length else line[: length - 1].rstrip() + "…"


def _one_line(text: object) -> str:
    return " ".join("".join(c if c.isprintable() else " " for c in str(text)).split())


def _cell(value: Any) -> Any:
    return value if isinstance(value, (int, float)) else plain(value)
