"""The page of results, made of what `bench all` wrote and of nothing else."""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from domains.whole_file import write_whole
from tasks.adapt.plots import Bar, plot_methods
from tasks.base.artifacts import table_line, table_of, with_interval
from tasks.bench.labels.names import ABOVE_FLOOR
from tasks.bench.labels.picture import plot_label_curves
from tasks.bench.parts import PARTS, BenchPart, Result

if TYPE_CHECKING:
    import rich.table

SHARES = ("accuracy", ABOVE_FLOOR, "share of labels needed", "recovered", "false alarms", "detected", "coverage")
SHARES += ("error", "error of none")
LOW = ("log_loss", "qlike", "share of labels needed")  # the lower the better
WIDE = 120  # characters of all heads; with more, settings run down
WIDEST = 5  # columns; with more, and more rows too, each domain has a table
HEAD = """# Results

Made by `acclimate bench all --json docs/results` and `acclimate results docs/results -o docs/results.md`; no figure is
written by hand, and what was not measured in this way is not here. ± is half of a 95 % interval; the protocol says over
what. **Bold** is the best under the same conditions, whoever it is.
"""

#: A table: by method (rows) and setting (columns), the row of figures.
Table = dict[str, dict[str, Mapping[str, Any]]]


def write_page(results: Sequence[Result], page: Path) -> None:
    """Write the page, and its pictures into a folder beside it that is called like it."""
    pictures = page.with_suffix("")
    pictures.mkdir(parents=True, exist_ok=True)
    sections = {}
    for result in results:
        picture = _picture(PARTS[result.name], result)
        if picture is not None:
            write_whole(pictures / f"{result.name}.png", picture)
        sections[result.name] = section_markdown(PARTS[result.name], result, "" if picture is None else pictures.name)
    write_whole(page, "\n".join([HEAD, *(sections[name] for name in PARTS if name in sections)]))


def section_markdown(part: BenchPart, result: Result, pictures: str) -> str:
    """Return one result in Markdown: figures, the picture in that folder if there is one, and what made them."""
    lines = [f"## {part.title}", ""]
    if not part.metrics:  # one figure of each
        lines += [*markdown(_pivot(result.rows, "metric", "setting"), "", part.ranked), ""]
    for metric in part.metrics:
        for of, table in tables(result.rows, metric, part.domains).items():
            caption = f"*{of}{metric}{', %' if metric in SHARES else ''}*"
            lines += [caption, "", *markdown(table, metric, part.ranked), ""]
    if pictures:
        lines += [f"![{part.title}]({pictures}/{part.name}.png)", ""]
    packages = ", ".join(f"{name} {version}" for name, version in json.loads(result.packages).items())
    code = result.code[:12] + "+changes" * result.code.endswith("+changes") if result.code else "of a wheel"
    facts = (f"`{result.command}`", f"[protocol]({part.page})", counts_line(result.rows, part.domains), result.date)
    facts += (f"{result.seconds / 60:.0f} minutes on {result.machine}", packages, f"code {code}")
    return "\n".join([*lines, " · ".join(facts), ""])


def tables(rows: Sequence[Mapping[str, Any]], metric: str, domains: str = "") -> dict[str, Table]:
    """Return what is shown of a metric, by what its caption begins with: a table a domain where that would be wide."""
    whole = pivot(rows, metric, domains)
    if min(len(whole), len(columns_of(whole))) <= WIDEST:
        return {"": whole} if whole else {}
    names = dict.fromkeys(row["domain"] for row in rows if row["domain"].startswith(domains))
    if len(names) == 1:
        return {"": whole}
    found = {f"{name}: ": pivot([row for row in rows if row["domain"] == name], metric) for name in names}
    return {name: table for name, table in found.items() if table}


def pivot(rows: Sequence[Mapping[str, Any]], metric: str, domains: str = "") -> Table:
    """Return the rows of a metric, and what was published of it, by method and by domain with setting."""
    some = [
        row for row in rows if row["metric"] in (metric, f"published {metric}") and row["domain"].startswith(domains)
    ]
    several = len({row["domain"] for row in some}) > 1
    table: Table = {}
    for row in some:
        method = row["method"] + (" (published)" if row["metric"] != metric else "")
        column = f"{row['domain']}, {row['setting']}" if several else str(row["setting"])
        table.setdefault(method, {})[column] = row
    return table


def _pivot(rows: Sequence[Mapping[str, Any]], down: str, across: str) -> Table:
    table: Table = {}
    for row in rows:
        table.setdefault(row[down], {})[row[across]] = row
    return table


def columns_of(table: Table) -> list[str]:
    """Return the settings that any method has, in their order."""
    return list(dict.fromkeys(column for cells in table.values() for column in cells))


def markdown(table: Table, metric: str, ranked: bool) -> list[str]:
    """Return the lines of a table; the longer side runs down."""
    columns = columns_of(table)
    best = {column: _best([cells[column] for cells in table.values() if column in cells], metric) for column in columns}

    def cell(method: str, column: str) -> str:
        row = table[method].get(column)
        if row is None:
            return ""
        text = with_interval(row["value"], row["ci95"]) if metric in SHARES else _plain(row["value"], row["ci95"])
        return f"**{text}**" if ranked and row["value"] == best[column] else text

    every = grid(table, cell)
    every.insert(1, ["---"] * len(every[0]))
    return [table_line([cell.replace("|", "\\|") for cell in line]) for line in every]


def grid(table: Table, cell: Callable[[str, str], str]) -> list[list[str]]:
    """Return the heads of columns, and lines of a cell for each method and setting; the longer side runs down."""
    methods, columns = list(table), columns_of(table)
    if len(columns) > max(len(methods), 6) or (len(columns) > len(methods) and sum(map(len, columns)) > WIDE):
        return [["", *methods], *([column, *(cell(method, column) for method in methods)] for column in columns)]
    return [["", *columns], *([method, *(cell(method, column) for column in columns)] for method in methods)]


def bench_tables(rows: Sequence[Mapping[str, Any]]) -> "list[rich.table.Table]":
    """Return accuracies as a terminal shows them, of halves their means; where there are none, rows as they are."""
    means = [row for row in rows if "half" not in row]
    if len(means) < len(rows):
        names = dict.fromkeys(row["domain"] for row in means)
        found = {name: pivot([row for row in means if row["domain"] == name], "accuracy") for name in names}
    else:
        found = tables(rows, "accuracy")
    if not found:
        keys = ("domain", "method", "metric", "value", "setting")
        return [table_of([{key: str(row[key]) for key in keys} for row in rows])]

    def terminal_table(of: str, table: Table) -> "rich.table.Table":
        def cell(method: str, column: str) -> str:
            row = table[method].get(column)
            return "" if row is None else with_interval(row["value"], row["ci95"])

        (_, *heads), *lines = grid(table, cell)
        return table_of([dict(zip([of.rstrip(": "), *heads], line, strict=True)) for line in lines])

    return [terminal_table(of, table) for of, table in found.items()]


def counts_line(rows: Sequence[Mapping[str, Any]], domains: str = "") -> str:
    """Return over how many draws, trials or rounds the figures are, of domains that begin so."""
    found = sorted({int(row["n"]) for row in rows if row.get("n") and row["domain"].startswith(domains)})
    if not found:
        return "n not facts"
    return f"n = {found[0]}" if len(found) == 1 else f"n = {found[0]} to {found[-1]}"


def _best(rows: Sequence[Mapping[str, Any]], metric: str) -> float | None:
    values = [row["value"] for row in rows]
    return None if len(values) < 2 else min(values) if metric in LOW else max(values)


def _plain(value: float, half: float | None) -> str:
    known = half is not None and not math.isnan(half)
    largest = max(abs(value), half or 0.0) if known else abs(value)
    digits = 1 if largest >= 100 else 2 if largest >= 10 else 3
    return f"{value:.{digits}f}" + (f" ± {half:.{digits}f}" if known else "")


def _picture(part: BenchPart, result: Result) -> bytes | None:
    """Return accuracies by the number of labels as a picture, or, where accuracies are shown, the middle column's."""
    if part.name == "labels":
        return plot_label_curves(part.title, result.rows)
    table = pivot(result.rows, "accuracy", part.domains) if part.metrics[:1] == ("accuracy",) else {}
    columns = columns_of(table)
    if not columns or len(table) < 2:
        return None
    column = columns[len(columns) // 2]
    bars = [
        Bar(method, cells[column]["value"], cells[column]["ci95"], method.startswith("acclimate"))
        for method, cells in table.items()
        if column in cells
    ]
    return plot_methods(f"{part.title}: {column}", bars)
