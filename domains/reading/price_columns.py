"""Which columns of a table hold closing prices, of which assets, and which are not used."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from domains.errors import UserError
from domains.reading.column_names import ASSETS
from domains.reading.price_dates import ENOUGH, are_dates
from domains.reading.price_names import SURE, ColumnName, take_apart
from domains.reading.price_numbers import (
    CELL,
    Signs,
    bare_numbers,
    is_missing,
    number_share,
    signs_of_cells,
    to_numbers,
)
from domains.reading.price_options import PriceOptions
from domains.reading.price_sheet import Sheet, error_of_column

SAMPLE = 2000  # rows that are looked at
MOST_TWICE = 0.05  # of the rows of a column of assets may be a second one of a day
INSIDE = 0.99  # of the days open and close lie between low and high
NARROW = 1.2  # high by low on a usual day, at most
MOST = 20  # columns of one asset
WILD = 0.1  # a usual daily log return of no price
SURER = 0.8  # the shorter of two distances by the longer, where it tells open from close


@dataclass(frozen=True)
class Columns:
    """What the columns are taken for.

    Attributes:
        closes: the column of closing prices by asset; of one column for all rows by the asset's name, or by "" where
            ``asset`` holds the names.
        asset: the column of assets, None where each row holds all of them.
        layout: in words.
        not_used: other columns, with a reason where the name gives none.
        inferred: a line for what names alone do not tell.
        named_by: the column that names the only asset.
    """

    closes: dict[str, str]
    asset: str | None
    layout: str
    not_used: tuple[str, ...] = ()
    inferred: tuple[str, ...] = ()
    named_by: str | None = None

    @property
    def price(self) -> str | None:
        """The column of prices, None if there are several."""
        return next(iter(self.closes.values())) if len(self.closes) == 1 else None


def find_columns(
    sheet: Sheet, texts: dict[str, "pd.Series[str]"], days: "pd.Series[pd.Timestamp]", options: PriceOptions, path: Path
) -> Columns:
    """Return what the columns are; a question where several could hold the prices.

    Args:
        texts: the cells of each column.

    Raises:
        UserError: a named column is not there, none holds prices, or several may.
    """
    for option, name in options.named_columns().items():
        if name not in texts:
            raise error_of_column(path, texts, name, option)
    others = [name for name in texts if name != sheet.date]
    idle = {name: why for name in others if (why := idleness(texts[name])) is not None}
    for named in (options.price_column, options.asset_column):
        idle.pop(named or "", None)
    asset, constant = asset_column([n for n in others if n not in idle], texts, days, options, path)
    numbers = [n for n in others if n not in idle and n != asset and number_share(texts[n]) > 0.5]
    numbers = [n for n in numbers if n != constant]
    names = {name: name_of(sheet, name) for name in numbers}
    if all(apart.field == "volume" for apart in names.values()) and options.price_column is None:
        raise UserError(f"{path}: no column holds prices; it has {', '.join(texts)}")
    found = choose_closes(names, texts, days, options, asset, sheet, path)
    used = {sheet.date, asset, *found.closes.values()} | ({constant} if "" in found.closes and asset is None else set())
    not_used = [name + (f" ({idle[name]})" if name in idle else "") for name in texts if name not in used]
    if asset is None and list(found.closes) == [""]:
        (column,) = found.closes.values()
        found = replace(found, named_by=constant)
        called = str(texts[constant].iloc[0]) if constant else own_name(names[column], column, len(numbers), path)
        found = replace(found, closes={called: column})
    if asset is not None:
        found = replace(found, layout=f"long: {asset} by {sheet.date}, prices from {found.closes['']}")
    elif found.layout == "":
        found = replace(found, layout=f"one asset by {sheet.date}, prices from {next(iter(found.closes.values()))}")
    return replace(found, asset=asset, not_used=tuple(not_used))


def idleness(cells: "pd.Series[str]") -> str | None:
    """Return why a column is no candidate for anything: it is empty, counts rows or holds dates; else None."""
    filled = cells[~is_missing(cells)].iloc[:SAMPLE]
    if not len(filled):
        return "empty"
    numbers = pd.to_numeric(filled, errors="coerce")
    goes_on = max((numbers.diff() >= 0).mean(), (numbers.diff() <= 0).mean()) >= ENOUGH  # as times do, and volumes not
    if are_dates(filled).mean() >= ENOUGH and (goes_on or numbers.isna().any()):
        return "dates"
    if len(numbers) > 2 and numbers.notna().all():
        steps = numbers.diff().dropna()
        if (numbers % 1 == 0).all() and (abs((steps == 1).mean()) >= ENOUGH or (steps == -1).mean() >= ENOUGH):
            return "counts rows"
    return None


def asset_column(
    names: Sequence[str],
    texts: dict[str, "pd.Series[str]"],
    days: "pd.Series[pd.Timestamp]",
    options: PriceOptions,
    path: Path,
) -> tuple[str | None, str | None]:
    """Return the column that tells assets apart on the same day, and the one that names the only asset of the file.

    The first holds values that come back day after day, none of them twice a day. It need have no certain name.

    Raises:
        UserError: several such columns divide the rows in different ways.
    """
    if options.asset_column is not None:
        return options.asset_column, None
    words = [name for name in names if number_share(texts[name]) <= 0.5]
    called = [name for word in ASSETS for name in names if name.lower() == word and name != options.price_column]
    if not days.duplicated().any():
        naming = [n for n in called if n in words and n.lower() != "currency" and texts[n].nunique() == 1]
        return None, naming[0] if naming else None
    fit = [name for name in names if name != options.price_column and tells_apart(texts[name], days, name in words)]
    best = [name for name in called if name in fit] or [name for name in fit if name in words] or fit
    best = [name for name in best if texts[name].nunique() > 1] or best
    if not best:
        return None, None
    codes = {name: tuple(pd.factorize(texts[name])[0]) for name in best}
    if best[0] not in called and len(set(codes.values())) > 1:
        raise UserError(f"{path}: which column names the assets? {' or '.join(best)} may; say --asset-column")
    return best[0], None


def tells_apart(cells: "pd.Series[str]", days: "pd.Series[pd.Timestamp]", words: bool) -> bool:
    """Return whether values come back over the days, and hardly any of them twice on a day."""
    twice = pd.DataFrame({"day": days, "value": cells}).duplicated().mean()
    names = cells.str.fullmatch(CELL).mean() <= 0.5 if words else cells.str.fullmatch(r"\d+(\.0)?").all()
    many = 4 * days.value_counts().iloc[0]
    return bool(names and twice <= MOST_TWICE and cells.nunique() <= min(many, len(cells) / (2 if words else 10)))


def name_of(sheet: Sheet, name: str) -> ColumnName:
    """Return a name taken apart: of several rows of a header one tells the field, the others the asset."""
    levels = sheet.levels.get(name, (name,))
    if len(levels) == 1:
        return take_apart(levels[0])
    apart = [take_apart(level) for level in levels]
    at = field_level(sheet)
    if at is None:
        return ColumnName(None, 0, False, name, False)
    asset = " ".join(level for i, level in enumerate(levels) if i != at and level)
    return replace(apart[at], asset=asset)


def field_level(sheet: Sheet) -> int | None:
    """Return which row of a header names fields in most columns, None if none does."""
    columns = [levels for name, levels in sheet.levels.items() if name != sheet.date]
    share = [
        np.mean([(apart := take_apart(names[i])).field is not None and not apart.asset for names in columns])
        for i in range(len(columns[0]))
    ]
    return int(np.argmax(share)) if max(share) > 0.5 else None


def own_name(name: ColumnName, column: str, numbers: int, path: Path) -> str:
    """Return the name of the only asset: what its column is called, if that is more than a word for prices."""
    if name.field is None and numbers == 1 and not column.startswith("column "):
        return column
    return Path(path.stem).stem if path.suffix.lower() == ".gz" else path.stem


def choose_closes(
    names: dict[str, ColumnName],
    texts: dict[str, "pd.Series[str]"],
    days: "pd.Series[pd.Timestamp]",
    options: PriceOptions,
    asset: str | None,
    sheet: Sheet,
    path: Path,
) -> Columns:
    """Return the columns of closing prices; with the layout "" if it is one."""
    if options.price_column is not None:
        return Columns({"": options.price_column}, asset, "")
    layered = len(next(iter(sheet.levels.values()), ())) > 1
    closes = [name for name, apart in names.items() if apart.field == "close"]
    plain = [name for name in closes if not names[name].asset]
    if plain and not layered:
        return best_close(plain, names)
    beside = [name for name, apart in names.items() if apart.field in ("open", "high", "low", "volume")]
    vague = [name for name, apart in names.items() if apart.field is None]
    if closes and asset is None and (beside or not vague):
        assets = {names[name].asset for name in closes}
        if len(assets) == 1:
            found = best_close(closes, names)
            whole = {apart.asset for apart in names.values()} == assets
            return replace(found, closes={next(iter(assets)): found.closes[""]}) if layered and whole else found
        if layered or {names[name].asset for name in beside} & assets:
            return closes_by_asset(closes, names, sheet.date)
        if any(not names[name].asset for name in beside):
            raise ask_price(path, closes)
    elif asset is None and any(names[name].rank < SURE for name in closes):
        raise ask_price(path, [*closes, *vague])
    elif asset is not None and len(closes) == 1:
        return best_close(closes, names)
    if len(names) == 1:
        return Columns({"": next(iter(names))}, asset, "")
    if (banded := find_by_band(names, texts, days, asset, path)) is not None:
        return banded
    if asset is not None or not sheet.has_header or any(not names[name].asset for name in beside):
        raise ask_price(path, names, "" if sheet.has_header else "it has no header; ")
    return all_assets(names, texts, days, sheet.date, path)


def ask_price(path: Path, names: Iterable[str], why: str = "") -> UserError:
    return UserError(f"{path}: {why}which column holds the closing prices? {', '.join(names)} may; say --price-column")


def best_close(closes: Sequence[str], names: dict[str, ColumnName]) -> Columns:
    """Return the adjusted close if there is one, else the one whose name is surest."""
    best = min(closes, key=lambda name: (not names[name].adjusted, names[name].rank))
    said: tuple[str, ...] = ()
    if names[best].adjusted:
        said = (f"{best} is used, not the close as it was: adjusted for splits and dividends",)
    return Columns({"": best}, None, "", inferred=said)


def closes_by_asset(closes: Sequence[str], names: dict[str, ColumnName], date: str) -> Columns:
    """Return a close an asset, where names say both; adjusted ones if every asset has one."""
    assets = list(dict.fromkeys(names[name].asset for name in closes))
    found = {asset: best_close([n for n in closes if names[n].asset == asset], names) for asset in assets}
    chosen = {asset: one.closes[""] for asset, one in found.items()}
    if len({names[name].adjusted for name in chosen.values()}) > 1:
        chosen = {
            asset: min((n for n in closes if names[n].asset == asset), key=lambda n: (names[n].adjusted, names[n].rank))
            for asset in assets
        }
    said = tuple(dict.fromkeys(line for one in found.values() for line in one.inferred))[:1]
    first = next(iter(chosen.values()))
    return Columns(chosen, None, f"wide: fields and assets by {date}, prices from {first} and so on", inferred=said)


def find_by_band(
    names: dict[str, ColumnName],
    texts: dict[str, "pd.Series[str]"],
    days: "pd.Series[pd.Timestamp]",
    asset: str | None,
    path: Path,
) -> Columns | None:
    """Find open, high, low and close by what they are: two columns that lie between two others on all days.

    The open is near the close of the day before; the close is not near the open before.

    Raises:
        UserError: there are such columns, and nothing tells open from close.
    """
    values = numbers_of(list(names), texts, days)
    if asset is not None:
        values = values.loc[texts[asset].reindex(values.index) == texts[asset].iloc[0]]
    band = find_band(values)
    if band is None:
        return None
    high, low, between = band
    known = [name for name in between if names[name].field == "open"]
    rest = [name for name in between if name not in known]
    if len(rest) == 1 and known:
        close = rest[0]
    elif len(between) == 2 and (last := tell_close(values[between[0]], values[between[1]])) is not None:
        close = between[last]
    else:
        raise ask_price(path, rest)
    said = f"{close} is taken for the close: it lies between {low} and {high} on all days, and the next open is near it"
    return Columns({"": close}, asset, "", inferred=(said,))


def numbers_of(
    names: Sequence[str], texts: dict[str, "pd.Series[str]"], days: "pd.Series[pd.Timestamp]"
) -> pd.DataFrame:
    """Return columns as numbers in order of date, as far as their signs tell without the user."""
    order = days.sort_values(kind="stable").index[-SAMPLE:]
    signs = Signs()
    for name in names:
        signs |= signs_of_cells(texts[name].iloc[:SAMPLE])
    sign = signs.sign or "."
    return pd.DataFrame({name: to_numbers(bare_numbers(texts[name].loc[order].str.strip())[0], sign) for name in names})


def find_band(values: pd.DataFrame) -> tuple[str, str, list[str]] | None:
    """Return high, low, and two or more columns between them; None if there are none such."""
    values = values.loc[:, (values > 0).mean() > INSIDE]
    values = values[(values > 0).all(axis=1)]
    if values.shape[1] > MOST:
        return None
    best: tuple[str, str, list[str]] | None = None
    for high in values:
        for low in values:
            wide = values[high] / values[low]
            if high == low or not 1 < wide.median() < NARROW or (wide >= 1).mean() < INSIDE:
                continue
            inside = [
                name
                for name in values
                if name not in (high, low)
                and ((values[name] <= values[high]) & (values[name] >= values[low])).mean() >= INSIDE
            ]
            if len(inside) >= 2 and (best is None or len(inside) > len(best[2])):
                best = str(high), str(low), [str(name) for name in inside]
    return best


def tell_close(first: "pd.Series[float]", second: "pd.Series[float]") -> int | None:
    """Return which of two columns is the close, 0 or 1; None if nothing tells."""
    second_before = float(np.nanmedian(np.abs(np.log(first / second.shift()))))  # small if the first is the open
    first_before = float(np.nanmedian(np.abs(np.log(second / first.shift()))))
    if second_before < SURER * first_before:
        return 1
    return 0 if first_before < SURER * second_before else None


def all_assets(
    names: dict[str, ColumnName],
    texts: dict[str, "pd.Series[str]"],
    days: "pd.Series[pd.Timestamp]",
    date: str,
    path: Path,
) -> Columns:
    """Return every column as an asset, except those whose name or numbers say that they are no prices."""
    kept = [name for name in names if not names[name].no_asset]
    values = numbers_of(kept, texts, days)
    moves = values.where(values > 0).apply(np.log).diff().abs().median()
    wild = [name for name in kept if moves[name] > WILD]
    kept = [name for name in kept if name not in wild]
    if not kept:
        raise ask_price(path, names)
    said = tuple(
        f"{name} is not used: it changes by {100 * np.expm1(moves[name]):.0f} % on a usual day, which no price does"
        for name in wild
    )
    return Columns({name: name for name in kept}, None, f"wide: an asset a column by {date}", inferred=said)
