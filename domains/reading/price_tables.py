"""Read tables of prices as traders have them: one asset or many, wide or long, close alone or open to volume."""

from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import pandas as pd

from domains.errors import UserError
from domains.reading.cells import MISSING, as_text
from domains.reading.column_names import ASSETS, BESIDE, CLOSES, DATES, LABELS, TEXTS
from domains.reading.tables import Table
from domains.reading.whole_tables import read_table
from domains.words import quantity

#: How a text with a time zone ends.
OFFSET = r"\d{2}:\d{2}.*[+-]\d{2}:?\d{2}$"

HEAD = 200  # rows that show whether a table is one of prices
MOST_GAPS = 0.05  # of the dates, left out because an asset has no price


@dataclass(frozen=True)
class PriceTable:
    """What a file of prices holds.

    Attributes:
        prices: closing prices [dates, assets] in order of date; cells are as the file has them.
        layout: how the file lays them out, in words.
        warnings: a line for each doubt.
    """

    prices: pd.DataFrame
    layout: str
    warnings: tuple[str, ...]


def read_prices(path: Path) -> PriceTable:
    """Read a table of prices of any layout.

    Raises:
        UserError: the file is no price table, as ``prices_by_asset`` has it, or an asset lacks too many prices.
    """
    table, doubts = read_table(path)
    prices, layout = prices_by_asset(table, path)
    prices, warnings = complete_dates(prices, path)
    return PriceTable(prices, layout, (*doubts, *warnings))


def looks_like_prices(table: Table) -> bool:
    """Return whether a table has dates in one column, and numbers in those where prices would be."""
    lower = {name.strip().lower(): name for name in table.columns}
    if len(lower) < 2 or {*TEXTS, *LABELS} & set(lower):
        return False
    head = list(islice(table.read(table.columns), HEAD))
    cells = {name: [as_text(row[i]) or "" for row in head] for i, name in enumerate(table.columns)}
    date, close, asset = (find_column(lower, names) for names in (DATES, CLOSES, ASSETS))
    date = date or table.columns[0]
    prices = [close] if close else [name for name in table.columns if name not in (date, asset)]
    filled = [pd.Series([cell for cell in cells[name] if cell.strip()], dtype=object) for name in prices]
    numbers = [pd.to_numeric(decimal_points(column), errors="coerce").notna().mean() for column in filled]
    dated = bool(head) and bool(parse_dates(pd.Series(cells[date])).notna().all())
    return dated and bool(min(numbers, default=0) > 0.5)


def find_column(lower: dict[str, str], names: tuple[str, ...]) -> str | None:
    """Return the column that has the best of the names."""
    return next((lower[name] for name in names if name in lower), None)


def parse_dates(column: "pd.Series[Any]") -> "pd.Series[Any]":
    """Return days; NaT where a cell is no ISO date (or one with slashes, year first)."""
    texts = column.astype(str).str.strip().str.replace("/", "-")
    return pd.to_datetime(texts, format="ISO8601", errors="coerce", utc=True).dt.tz_localize(None).dt.normalize()


def decimal_points(column: "pd.Series[Any]") -> "pd.Series[Any]":
    """Return prices with points if all of them are written with commas (``1,25``)."""
    texts = column.dropna().astype(str)
    texts = texts[texts.str.strip() != ""]
    if len(texts) and texts.str.fullmatch(r"\s*\d+(,\d+)?\s*").all() and texts.str.contains(",").any():
        return column.astype(str).str.replace(",", ".")
    return column


def prices_by_asset(table: pd.DataFrame, path: Path) -> tuple[pd.DataFrame, str]:
    """Return the closing prices [dates, assets] of a table of any layout, with its cells as they are, and the layout.

    Raises:
        UserError: there is no price column, a date cannot be read, is in the future or is another day in UTC, or two
            rows have the same date and asset.
    """
    if isinstance(table.index, pd.DatetimeIndex):
        table = table.reset_index()
    if table.shape[1] < 2:
        raise UserError(f"{path}: expected dates in the first column and the prices of an asset in each other one")
    lower = {str(name).strip().lower(): name for name in table.columns}
    found, close, asset = (find_column(lower, names) for names in (DATES, CLOSES, ASSETS))
    date = table.columns[0] if found is None else found
    dates = parse_dates(table[date])
    if dates.isna().any():
        row = int(dates.isna().argmax())
        raise UserError(f"{path}: row {row + 1}: {table[date].iloc[row]!r} is not a date; write YYYY-MM-DD")
    check_days(table[date].astype(str).str.strip(), dates, path)
    index = pd.DatetimeIndex(dates, name="date")
    if close is not None and asset is not None:
        names = table[asset].astype(str).str.strip()
        long = pd.DataFrame({"date": dates, "asset": names, "price": table[close]})
        if (twice := long.duplicated(["date", "asset"])).any():
            row = int(twice.argmax())
            raise UserError(
                f"{path}: row {row + 1}: a second price of {names.iloc[row]} on {dates.iloc[row]:%Y-%m-%d}; "
                "keep one a day"
            )
        wide = long.pivot(index="date", columns="asset", values="price")
        return wide.set_axis(pd.DatetimeIndex(wide.index), axis=0), f"long: {asset} by {date}, prices from {close}"
    rest = set(lower) - {str(date).strip().lower()}
    if close is not None and rest <= BESIDE | set(CLOSES):
        one = pd.DataFrame({path.stem: table[close].to_numpy()}, index)
        return one, f"one asset by {date}, prices from {close}"
    return table.drop(columns=date).set_axis(index, axis=0), f"wide: an asset a column by {date}"


def check_days(texts: "pd.Series[Any]", days: "pd.Series[Any]", path: Path) -> None:
    """Raise UserError at the first row whose time zone makes it another day, or whose day is yet to come."""
    zoned = texts.str.contains(OFFSET) & (texts.str.slice(0, 10).str.replace("/", "-") != days.dt.strftime("%Y-%m-%d"))
    if zoned.any():
        row = int(zoned.argmax())
        raise UserError(
            f"{path}: row {row + 1}: {texts.iloc[row]!r} has a time zone in which it is another day than in UTC; write "
            "the day at the exchange, YYYY-MM-DD"
        )
    future = days > pd.Timestamp.now() + pd.Timedelta(days=1)
    if future.any():
        row = int(future.argmax())
        raise UserError(f"{path}: row {row + 1}: {texts.iloc[row]!r} is in the future; leave that row out or mend it")


def complete_dates(prices: pd.DataFrame, path: Path) -> tuple[pd.DataFrame, list[str]]:
    """Return prices in order of date, without the dates on which an asset has none, and warnings.

    Raises:
        UserError: an asset lacks too many prices.
    """
    warnings = []
    if not prices.index.is_monotonic_increasing:
        prices = prices.sort_index(kind="stable")
        warnings.append("dates were not in order: sorted")
    prices = prices.apply(decimal_points)
    gap = prices.apply(lambda column: column.isna() | column.astype(str).str.strip().str.lower().isin(MISSING))
    share = gap.mean()
    if gap.any(axis=1).mean() > MOST_GAPS:
        worst = share.idxmax()
        raise UserError(
            f"{path}: asset {worst} has no price on {int(gap[worst].sum()):,} of {len(prices):,} dates; leave that "
            "asset out, or give only dates on which all have one"
        )
    lost = gap.any(axis=1)
    if lost.any():
        day = prices.index[lost][0]
        dates = quantity(int(lost.sum()), "date")
        warnings.append(f"{dates} left out on which an asset has no price, the first is {day:%Y-%m-%d}")
    return prices[~lost], warnings
