"""Read tables of prices as traders have them: one asset or many, wide or long, close alone or open to volume."""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from domains.errors import UserError
from domains.reading.cells import as_text
from domains.reading.column_names import LABELS
from domains.reading.packed import DAMAGED
from domains.reading.price_columns import Columns, find_columns
from domains.reading.price_dates import are_dates, read_days
from domains.reading.price_names import take_apart
from domains.reading.price_numbers import Signs, is_missing, number_share, read_numbers, signs_of_cells
from domains.reading.price_options import PriceOptions
from domains.reading.price_sheet import Sheet, open_sheet
from domains.words import quantity

HEAD = 200  # rows that show whether a table is one of prices
MOST_GAPS = 0.05  # of the dates, left out because an asset has no price
MEASURE = r"[+−-]?\d[\d.,\s]*(?:%|[^\W\d_]{1,3}\.?)?$"  # a number with %, K or Mio. after it is no word
LEAST = 0.5  # of the dates have a price of an asset, or it is left out
WORDS = 3  # a column with more words on average holds texts, if they do not come back

#: How a question ends with an option; only adding has options of reading prices.
OR_SAY = ", or say --"


@dataclass(frozen=True)
class PriceTable:
    """What a file of prices holds.

    Attributes:
        prices: closing prices [dates, assets] in order of date; a cell that is no number is as the file has it.
        layout: how the file lays them out, in words.
        columns: the columns that are used: ``date``, ``price`` if it is one, and ``asset``.
        not_used: the others, and lines that are no part of the table.
        inferred: a line for each reading that the file does not say by itself.
        warnings: a line for each doubt.
    """

    prices: pd.DataFrame
    layout: str
    columns: dict[str, str]
    not_used: tuple[str, ...]
    inferred: tuple[str, ...]
    warnings: tuple[str, ...]


def read_prices(path: Path, options: PriceOptions | None = None) -> PriceTable:
    """Read a table of prices of any layout.

    Raises:
        UserError: the file is no price table, a cell cannot be read, or may be read in two ways; what to do is said.
    """
    options = options or PriceOptions()
    sheet = open_sheet(path, options)
    texts = texts_of(sheet)
    read = read_days(texts[sheet.date], options, f"{path}: column {sheet.date}")
    days = check_days(texts[sheet.date], read.days, path)
    columns = find_columns(sheet, texts, days, options, path)
    kept, no_prices = without_events(columns, texts, days)
    wide = by_asset(columns, {name: cells[kept] for name, cells in texts.items()}, days[kept], path)
    wide, warnings = complete_dates(wide, path)
    numbers, said = read_numbers(
        wide,
        signs_of_others(texts, columns, sheet),
        sheet.separator == ";" or bool(texts[sheet.date].iloc[:1].str.match(r"\d+\.\d+\.").all()),
        options.decimal,
        str(path),
    )
    header = () if sheet.has_header else ("there is no header: columns are named by their place",)
    used = {"date": sheet.date} | ({"price": price} if (price := columns.price) else {})
    used |= {"asset": naming} if (naming := columns.asset or columns.named_by) else {}
    return PriceTable(
        numbers,
        columns.layout,
        used,
        (*columns.not_used, *sheet.left_out, *no_prices),
        (*header, *read.inferred, *columns.inferred, *said),
        (*sheet.doubts, *warnings),
    )


def looks_like_prices(path: Path, options: PriceOptions | None = None) -> bool:
    """Return whether a table has dates in a column, and numbers in those where prices would be."""
    try:
        sheet = open_sheet(path, PriceOptions(sheet=options.sheet if options else None), HEAD)
    except (UserError, ValueError, OSError, RecursionError, *DAMAGED):  # whoever reads it then says what is wrong
        return False
    texts = texts_of(sheet)
    names = {name.lower() for name in texts if name != sheet.date}
    if not are_dates(texts[sheet.date]).mean() > 0.9 or names & set(LABELS):
        return False
    others = {name: cells[~is_missing(cells)] for name, cells in texts.items() if name != sheet.date}
    numbers = [name for name, cells in others.items() if number_share(cells) > 0.5]
    words = [cells for name, cells in others.items() if name not in numbers and (~cells.str.match(MEASURE)).any()]
    if any(is_text(cells) for cells in words):
        return False
    known = any(take_apart(part).field == "close" for name in numbers for part in sheet.levels.get(name, ()))
    return bool(numbers) and (known or all(cells.nunique() <= len(cells) / 2 for cells in words))


def is_text(cells: "pd.Series[str]") -> bool:
    """Return whether cells are texts that people wrote, and no names that come back."""
    return bool(cells.str.count(r"\S+").mean() > WORDS and cells.nunique() > len(cells) / 2)


def texts_of(sheet: Sheet) -> dict[str, "pd.Series[str]"]:
    """Return the cells of every column as text."""
    return {str(name): sheet.cells[name].map(lambda cell: as_text(cell) or "").astype(object) for name in sheet.cells}


def check_days(texts: "pd.Series[str]", days: "pd.Series[pd.Timestamp]", path: Path) -> "pd.Series[pd.Timestamp]":
    """Return the days, or raise UserError at the first row that has none, or whose day is yet to come."""
    if days.isna().any():
        row = int(days.isna().to_numpy().argmax())
        raise UserError(f"{path}: row {row + 1}: {texts.iloc[row]!r} is not a date; write YYYY-MM-DD")
    future = days > pd.Timestamp.now() + pd.Timedelta(days=1)
    if future.any():
        row = int(future.to_numpy().argmax())
        raise UserError(f"{path}: row {row + 1}: {texts.iloc[row]!r} is in the future; correct it or leave it out")
    return days


def without_events(
    columns: Columns, texts: dict[str, "pd.Series[str]"], days: "pd.Series[pd.Timestamp]"
) -> tuple["pd.Series[bool]", tuple[str, ...]]:
    """Return which rows to keep, and a line about the others: dividends and splits have a row of their own.

    Such a row has no price, and another of its date has one.
    """
    bare = pd.concat([is_missing(texts[name]) for name in columns.closes.values()], axis=1).all(axis=1)
    twin = bare & days.isin(days[~bare]) if columns.asset is None else bare & False
    rows = quantity(int(twin.sum()), "row")
    return ~twin, (f"{rows} without a price beside one of the same date",) if twin.any() else ()


def by_asset(
    columns: Columns, texts: dict[str, "pd.Series[str]"], days: "pd.Series[pd.Timestamp]", path: Path
) -> pd.DataFrame:
    """Return the cells of closing prices [dates, assets] in the order of the rows, or of dates where rows are assets.

    Raises:
        UserError: two rows have the same date and asset, or a row names no asset.
    """
    if columns.asset is None:
        if days.duplicated().any():
            row = int(days.duplicated().to_numpy().argmax())
            raise UserError(
                f"{path}: row {row + 1}: a second row of {days.iloc[row]:%Y-%m-%d}, and no column tells assets apart; "
                "keep one row a date, or say --asset-column"
            )
        index = pd.DatetimeIndex(days, name="date")
        return pd.DataFrame({asset: texts[name].to_numpy() for asset, name in columns.closes.items()}, index)
    names = texts[columns.asset].str.strip()
    if (names == "").any():
        raise UserError(f"{path}: row {int((names == '').to_numpy().argmax()) + 1}: {columns.asset} is empty")
    long = pd.DataFrame({"date": days, "asset": names, "price": texts[columns.closes[""]]})
    if (twice := long.duplicated(["date", "asset"])).any():
        row = int(twice.to_numpy().argmax())
        raise UserError(
            f"{path}: row {row + 1}: a second price of {names.iloc[row]} on {days.iloc[row]:%Y-%m-%d}; keep one a day"
        )
    wide = long.pivot(index="date", columns="asset", values="price").fillna("")
    return wide.set_axis(pd.DatetimeIndex(wide.index), axis=0)


def signs_of_others(texts: dict[str, "pd.Series[str]"], columns: Columns, sheet: Sheet) -> Signs:
    """Return what columns that hold no closing prices say about points and commas."""
    signs = Signs()
    for name, cells in texts.items():
        if name not in (sheet.date, columns.asset, *columns.closes.values()) and not are_dates(cells.iloc[:9]).any():
            signs |= signs_of_cells(cells)
    return signs


def complete_dates(prices: pd.DataFrame, path: Path) -> tuple[pd.DataFrame, list[str]]:
    """Return prices in order of date, without the dates on which an asset has none, and warnings.

    Raises:
        UserError: an asset lacks too many prices.
    """
    warnings = []
    if not prices.index.is_monotonic_increasing:
        prices = prices.sort_index(kind="stable")
        warnings.append("dates were not in order: sorted")
    gap = prices.apply(is_missing)
    rare = [asset for asset in prices if gap[asset].mean() > 1 - LEAST]
    if rare and len(rare) < prices.shape[1]:
        named = ", ".join(f"{asset} ({int((~gap[asset]).sum()):,} of {len(prices):,})" for asset in rare)
        warnings.append(f"{quantity(len(rare), 'asset')} left out, without a price on most dates: {named}")
        prices, gap = prices.drop(columns=rare), gap.drop(columns=rare)
    if gap.any(axis=1).mean() > MOST_GAPS:
        worst = gap.mean().idxmax()
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
