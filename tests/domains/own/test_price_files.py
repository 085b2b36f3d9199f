"""Price files as vendors and tools write them: each kind has the right closes, days and assets, or a question."""

import csv
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from domains.checks import run_checks
from domains.domain import Domain
from domains.errors import UserError
from domains.new_examples import read_examples
from domains.own.writing import write_domain
from domains.reading.price_options import PriceOptions
from domains.reading.price_tables import PriceTable, looks_like_prices, read_prices
from tests.domains.own.inputs import understand

DAYS = pd.bdate_range("2023-01-02", periods=60)
CLOSES = [round(float(x), 2) for x in 100 * np.exp(np.random.default_rng(0).normal(0, 0.01, len(DAYS)).cumsum())]
OPENS = [round(close * 1.001, 2) for close in [100, *CLOSES[:-1]]]
HIGHS = [round(max(pair) + 0.5, 2) for pair in zip(OPENS, CLOSES, strict=True)]
LOWS = [round(min(pair) - 0.5, 2) for pair in zip(OPENS, CLOSES, strict=True)]
VOLUMES = [1000 + (i * 7919) % 800 for i in range(len(DAYS))]
DATES = list(DAYS.strftime("%Y-%m-%d"))

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write a CSV of columns; ``above`` are lines before the header, without which a header may be left out."""

    def to_file(
        columns: dict[str, Sequence[Any]], above: str = "", header: bool = True, name: str = "ACME.csv", sep: str = ","
    ) -> Path:
        path = tmp_path / name
        with path.open("w", newline="") as stream:
            stream.write(above)
            rows = csv.writer(stream, delimiter=sep)
            rows.writerows([list(columns)] * header)
            rows.writerows(zip(*columns.values(), strict=True))
        return path

    return to_file


def closes_of(found: PriceTable, asset: str = "ACME") -> list[float]:
    return found.prices[asset].tolist()


def is_right(found: PriceTable, asset: str = "ACME", closes: Sequence[float] = CLOSES) -> bool:
    """Whether a table holds one asset, its closes and days."""
    return (list(found.prices.columns), closes_of(found, asset)) == ([asset], list(closes)) and (
        list(found.prices.index) == list(DAYS)
    )


def refused(path: Path, **options: Any) -> str:
    with pytest.raises(UserError) as caught:
        read_prices(path, PriceOptions(**options))
    assert "\n" not in str(caught.value)
    return str(caught.value)


# Columns


@pytest.mark.parametrize(
    ("others", "price"),
    [
        ({"Open": OPENS, "High": HIGHS, "Low": LOWS, "Volume": VOLUMES, "Market Cap": [9e9] * 60}, "Close"),
        ({"Volume": VOLUMES, "Open": OPENS, "High": HIGHS, "Low": LOWS}, "Close/Last"),
        ({"Otwarcie": OPENS, "Najwyzszy": HIGHS, "Najnizszy": LOWS, "Wolumen": VOLUMES}, "Zamkniecie"),
        ({"Eröffnungskurs": OPENS, "Tageshoch": HIGHS, "Tagestief": LOWS, "Volumen": VOLUMES}, "Schlusskurs"),
        ({"Open Interest": VOLUMES}, "Settle"),
        ({"Open": OPENS, "High": HIGHS, "Low": LOWS, "Volume": VOLUMES, "OpenInt": [0] * 60}, "Close"),
        ({"Open": OPENS, "High": HIGHS, "Low": LOWS}, "Price"),
        ({"SMA_20": CLOSES, "RSI": [50.5] * 60, "Signal": [-1] * 60}, "Close"),
        ({"Prev Close": [100, *CLOSES[:-1]], "OPEN": OPENS, "52W H": HIGHS, "VWAP": OPENS}, "close"),
        ({"1. open": OPENS, "2. high": HIGHS, "3. low": LOWS, "5. volume": VOLUMES}, "4. close"),
        ({"PX_OPEN": OPENS, "PX_VOLUME": VOLUMES}, "PX_LAST"),
        ({"Open (USD)": OPENS, "Volume": VOLUMES}, "Close (USD)"),
        ({"Currency": ["USD"] * 60}, "Close"),
        ({"Unnamed: 0": range(60)}, "Close"),
        ({"Vol.": ["1.2M"] * 60, "Change %": ["-0.52%"] * 60}, "Price"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_close_and_what_stands_beside_it_are_one_asset(write: Write, others: dict[str, Any], price: str) -> None:
    path = write({"Date": DATES, **others, price: CLOSES})
    found = read_prices(path)
    assert is_right(found)
    assert looks_like_prices(path)
    assert found.columns == {"date": "Date", "price": price}
    assert [name.partition(" (counts")[0] for name in found.not_used] == list(others)


@pytest.mark.parametrize("adjusted", ["Adj Close", "adjusted_close", "Adj. Close", "AdjClose", "Adj Close**"])
def test_an_adjusted_close_is_chosen_and_said(write: Write, adjusted: str) -> None:
    found = read_prices(
        write({"timestamp": DATES, "open": OPENS, "close": OPENS, adjusted: CLOSES, "split": [1.0] * 60})
    )
    assert is_right(found)
    assert found.not_used == ("open", "close", "split")
    assert found.inferred == (f"{adjusted} is used, not the close as it was: adjusted for splits and dividends",)


def test_names_in_no_known_language_are_told_by_what_is_in_them(write: Write) -> None:
    found = read_prices(write({"Pvm": DATES, "Avaus": OPENS, "Ylin": HIGHS, "Alin": LOWS, "Paatos": CLOSES}))
    assert is_right(found)
    assert "Paatos is taken for the close: it lies between Alin and Ylin on all days" in found.inferred[0]
    turned = read_prices(
        write(
            {
                "Pvm": DATES[::-1],
                **{n: v[::-1] for n, v in (("P", CLOSES), ("A", OPENS))},
                "Y": HIGHS[::-1],
                "L": LOWS[::-1],
            }
        )
    )
    assert is_right(turned)


def test_where_nothing_tells_open_from_close_the_column_is_asked_for(write: Write) -> None:
    near = [round(close * 1.001, 4) for close in CLOSES]
    path = write({"Pvm": DATES, "A": near, "B": HIGHS, "C": LOWS, "D": CLOSES})
    assert "which column holds the closing prices? A, D may; say --price-column" in refused(path)
    assert is_right(read_prices(path, PriceOptions(price_column="D")))
    assert "no column 'E' (--price-column); it has Pvm, A, B, C, D" in refused(path, price_column="E")
    with pytest.raises(UserError, match=r"which column holds the closing prices\? A, D may$"):
        read_examples("market", path)


@pytest.mark.parametrize("name", ["Code", "Company", "Symbol", "Ticker", "Firma", "permno"])
def test_the_column_of_assets_is_found_by_structure(write: Write, name: str) -> None:
    assets = ["10107", "14593"] if name == "permno" else ["Acme Holding Corp of Ohio", "Bolt"]
    path = write(
        {
            "n": [*range(60), *range(60)],
            "Date": DATES * 2,
            name: np.repeat(assets, 60),
            "Sector": ["Metal"] * 120,
            "Close": CLOSES + OPENS,
            "Volume": VOLUMES * 2,
            "Change %": [f"{v / 999:.2f}%" for v in VOLUMES] * 2,
        }
    )
    found = read_prices(path)
    assert looks_like_prices(path)
    assert list(found.prices.columns) == assets
    assert found.prices[assets[0]].tolist() == CLOSES
    assert found.prices[assets[1]].tolist() == OPENS
    assert found.columns == {"date": "Date", "price": "Close", "asset": name}
    assert found.not_used == ("n (counts rows)", "Sector", "Volume", "Change %")


def test_rows_of_several_a_day_that_no_column_tells_apart_are_refused(write: Write) -> None:
    path = write({"Date": DATES * 2, "Close": CLOSES + OPENS})
    assert (
        "row 61: a second row of 2023-01-02, and no column tells assets apart; keep one row a date, or say --asset"
        in refused(path)
    )


def test_columns_of_assets_leave_volumes_empty_columns_and_wild_ones_out(write: Write) -> None:
    wild = [float(v) for v in np.random.default_rng(1).lognormal(9, 1, 60).round(2)]
    table = {
        "date": DATES,
        "High Yield": CLOSES,
        "Open Text": OPENS,
        "SP500_volume": VOLUMES,
        "ACME_RSI14": OPENS,
        "foo": wild,
        "": [""] * 60,
    }
    found = read_prices(write(table))
    assert list(found.prices.columns) == ["High Yield", "Open Text"]
    assert found.not_used == ("SP500_volume", "ACME_RSI14", "foo", "column 7 (empty)")
    assert "foo is not used: it changes by" in found.inferred[0]
    two = read_prices(write({"Date": DATES, "Close USD": CLOSES, "Close EUR": OPENS}))
    assert list(two.prices.columns) == ["Close USD", "Close EUR"]


def test_fields_by_asset_in_one_row_of_names(write: Write) -> None:
    found = read_prices(
        write(
            {"Date": DATES, "BRK.B_Close": CLOSES, "BRK.B_Volume": VOLUMES, "ACME_Close": OPENS, "ACME_Volume": VOLUMES}
        )
    )
    assert list(found.prices.columns) == ["BRK.B", "ACME"]
    assert found.prices["ACME"].tolist() == OPENS
    assert found.not_used == ("BRK.B_Volume", "ACME_Volume")


@pytest.mark.parametrize("order", [("Price", "Ticker"), ("Ticker", "Price")])
def test_two_rows_of_a_header_are_fields_and_assets(write: Write, order: tuple[str, str]) -> None:
    fields, tickers = ["Close", "Close", "Volume", "Volume"], ["ACME", "BOLT", "ACME", "BOLT"]
    lines = {"Price": ["Price", *fields], "Ticker": ["Ticker", *tickers]}
    above = "".join(",".join(lines[name]) + "\n" for name in order) + "Date,,,,\n"
    table = {"d": DATES, "a": CLOSES, "b": OPENS, "c": VOLUMES, "e": VOLUMES}
    found = read_prices(write(table, above, header=False))
    assert list(found.prices.columns) == ["ACME", "BOLT"]
    assert (closes_of(found), found.prices["BOLT"].tolist()) == (CLOSES, OPENS)
    one = write({"d": DATES, "a": CLOSES, "c": VOLUMES}, "Price,Close,Volume\nTicker,BOLT,BOLT\nDate,,\n", header=False)
    assert is_right(read_prices(one), "BOLT")
    assert looks_like_prices(one)


def test_an_index_of_dates_and_two_levels_of_columns_come_from_parquet(tmp_path: Path) -> None:
    columns = pd.MultiIndex.from_product([["Close", "Volume"], ["ACME"]], names=["Price", "Ticker"])
    table = pd.DataFrame(dict.fromkeys(columns, CLOSES), DAYS.tz_localize("Asia/Tokyo"))
    table.to_parquet(tmp_path / "a.parquet")
    assert is_right(read_prices(tmp_path / "a.parquet"))
    table.droplevel(1, axis=1).rename_axis("Date").to_parquet(tmp_path / "ACME.parquet")
    assert is_right(read_prices(tmp_path / "ACME.parquet"))


def test_rows_of_dividends_and_lines_of_a_period_are_no_prices(write: Write) -> None:
    path = write({"Date": DATES, "Open": OPENS, "Close": CLOSES, "Volume": VOLUMES})
    path.write_text(path.read_text() + f"{DATES[9]},0.24 Dividend,,\n")
    found = read_prices(path)
    assert is_right(found)
    assert found.not_used[-1] == "1 row without a price beside one of the same date"
    above = "Start Date,2023-01-02,\nEnd Date,2023-03-24,\n,ACME,BOLT\nDates,PX_LAST,PX_LAST\n"
    found = read_prices(write({"d": DATES, "a": CLOSES, "b": OPENS}, above, header=False))
    assert list(found.prices.columns) == ["ACME", "BOLT"]
    assert found.not_used == ("2 lines before the header: 'Start Date 2023-01-02', 'End Date 2023-03-24'",)


def test_a_volume_alone_is_no_price_and_a_share_beside_prices_no_word(write: Write) -> None:
    with pytest.raises(UserError, match="no column holds prices; it has Date, total_volume"):
        read_prices(write({"Date": DATES, "total_volume": VOLUMES}))
    changes = [f"{i / 7:.4f} %" for i in range(60)]
    path = write({"Tag": DATES, "Eröffn.": OPENS, "Hoch": HIGHS, "Tief": LOWS, "Stand": CLOSES, "+/- %": changes})
    assert looks_like_prices(path)
    assert is_right(read_prices(path))


def test_excel_json_and_packed_files_are_tables_of_prices_too(tmp_path: Path, write: Write) -> None:
    table = pd.DataFrame({"Date": DAYS, "Open": OPENS, "Close": CLOSES, "Volume": VOLUMES})
    book = tmp_path / "ACME.xlsx"
    with pd.ExcelWriter(book) as sheets:
        table.to_excel(sheets, sheet_name="prices", startrow=2, index=False)
        table[:0].to_excel(sheets, sheet_name="notes", index=False)
    named = PriceOptions(sheet="prices")
    assert is_right(read_prices(book, named))
    assert looks_like_prices(book, named)
    with pytest.raises(UserError, match="which sheet"):
        read_prices(book)
    with pytest.raises(UserError, match="--sheet is only for Excel files"):
        read_prices(write({"Date": DATES, "Close": CLOSES}), named)
    table.to_csv(tmp_path / "ACME.csv.gz", index=False)
    table.to_csv(tmp_path / "ACME.zip", index=False, compression={"method": "zip", "archive_name": "a.csv"})
    table.to_json(tmp_path / "ACME.json", orient="records", date_format="iso")
    by_day = {day: {"1. open": str(o), "4. close": str(c)} for day, o, c in zip(DATES, OPENS, CLOSES, strict=True)}
    (tmp_path / "day").mkdir()
    (tmp_path / "day" / "ACME.json").write_text(json.dumps({"Meta Data": {"Symbol": "ACME"}, "Daily": by_day}))
    for name in ("ACME.csv.gz", "ACME.zip", "ACME.json", "day/ACME.json"):
        assert looks_like_prices(tmp_path / name)
        assert is_right(read_prices(tmp_path / name))


def test_lines_that_are_no_part_of_the_table_are_left_out_and_said(write: Write) -> None:
    path = write({"unix": range(60), "date": DATES, "symbol": ["BTC/USD"] * 60, "close": CLOSES}, "https://x.example\n")
    path.write_text(path.read_text() + "Source: somebody\n")
    found = read_prices(path)
    assert is_right(found, "BTC/USD")
    assert found.columns["asset"] == "symbol"
    assert found.not_used[1:] == (
        "1 line before the header: 'https://x.example'",
        "1 line after the last date: 'Source: somebody'",
    )


def test_bulk_files_in_brackets_name_their_asset(write: Write) -> None:
    stamp = list(DAYS.strftime("%Y%m%d"))
    table = {"<TICKER>": ["ACME.US"] * 60, "<PER>": ["D"] * 60, "<DATE>": stamp, "<TIME>": ["000000"] * 60}
    table |= {
        "<OPEN>": OPENS,
        "<HIGH>": HIGHS,
        "<LOW>": LOWS,
        "<CLOSE>": CLOSES,
        "<VOL>": VOLUMES,
        "<OPENINT>": [0] * 60,
    }
    path = write(table, name="acme.us.txt")
    assert looks_like_prices(path)
    assert is_right(read_prices(path), "ACME.US")


def test_candles_without_a_header_are_read_by_what_is_in_them_or_asked(write: Write) -> None:
    stamp = [int(day.timestamp() * 1000) for day in DAYS]
    table = {
        "t": stamp,
        "o": OPENS,
        "h": HIGHS,
        "l": LOWS,
        "c": CLOSES,
        "v": VOLUMES,
        "x": [s + 86399999 for s in stamp],
    }
    path = write(table, header=False)
    assert looks_like_prices(path)
    found = read_prices(path)
    assert is_right(found)
    assert found.columns == {"date": "column 1", "price": "column 5"}
    assert found.inferred[0] == "there is no header: columns are named by their place"
    wide = write({"t": DATES, "a": CLOSES, "b": OPENS}, header=False)
    assert "it has no header; which column holds the closing prices? column 2, column 3 may; say --price" in refused(
        wide
    )
    assert is_right(read_prices(write({"t": DATES, "a": CLOSES}, header=False)))


# Dates


@pytest.mark.parametrize(
    "how",
    [
        *("%d.%m.%Y", "%m/%d/%Y", "%d/%m/%Y", "%d-%m-%Y", "%Y/%m/%d", "%Y.%m.%d", "%Y%m%d", "%-m/%-d/%y", "%d-%b-%y"),
        *(
            "%b %d, %Y",
            "%B %-d, %Y",
            "%d %b %Y",
            "%a %d %B %Y",
            "%Y-%m-%d 00:00:00",
            "%Y-%m-%dT00:00:00Z",
            "%Y年%m月%d日",
        ),
        *("%Y-%m-%d 00:00:00-05:00", "%Y-%m-%d 00:00:00+09:00", "%Y-%m-%d 20:00:00-05:00", "%Y-%m-%dT21:00:00Z"),
        *("%d.%m.%Y 00:00:00.000 GMT+0100", "%Y-%m-%d 16:00:00", "%m/%d/%Y 4:00 PM", "%Y-%m-%d 05:00:00+00:00", "%s"),
    ],
)
def test_days_are_those_at_the_exchange(write: Write, how: str) -> None:
    dates = [str(int(day.timestamp())) if how == "%s" else day.strftime(how) for day in DAYS]
    path = write({"Date": dates, "Close": CLOSES})
    assert is_right(read_prices(path))
    assert looks_like_prices(path)


def test_midnight_in_another_zone_is_recognised_or_asked(write: Write) -> None:
    def in_utc(days: pd.DatetimeIndex, zone: str) -> list[str]:
        return list(days.tz_localize(zone).tz_convert("UTC").strftime("%Y-%m-%dT%H:%M:%SZ"))

    berlin = read_prices(write({"Date": in_utc(DAYS, "Europe/Berlin"), "Close": CLOSES}))
    assert is_right(berlin)
    assert "'2023-01-01T23:00:00Z' is 2023-01-02" in berlin.inferred[0]
    assert is_right(read_prices(write({"Date": in_utc(DAYS, "Asia/Tokyo"), "Close": CLOSES})))
    assert is_right(read_prices(write({"Date": in_utc(DAYS, "America/New_York"), "Close": CLOSES})))
    every_day = pd.date_range("2023-01-02", periods=60)
    path = write({"Date": in_utc(every_day, "Europe/Berlin"), "Close": CLOSES})
    assert "may be the day before or after at the exchange" in refused(path)
    assert refused(path).endswith("or say --time-zone, such as UTC or Europe/Berlin")
    assert list(read_prices(path, PriceOptions(time_zone="Europe/Berlin")).prices.index) == list(every_day)
    with pytest.raises(UserError, match="--time-zone 'Mars': no such time zone"):
        PriceOptions(time_zone="Mars")


def test_days_may_be_counted_as_spreadsheets_do(write: Write) -> None:
    serial = [(day - pd.Timestamp("1899-12-30")).days for day in DAYS]
    path = write({"Datum": serial, "Close": CLOSES, "Volume": VOLUMES})
    assert looks_like_prices(path)
    found = read_prices(path)
    assert list(found.prices.index) == list(DAYS)
    assert found.warnings == (f"days are counted as spreadsheets do: {serial[0]} is {DATES[0]}",)
    path = write({"id": list(range(40000, 40060)), "a": CLOSES, "b": OPENS})
    assert not looks_like_prices(path)  # every day of the week


def test_returns_are_no_prices(write: Write) -> None:
    path = write({"date": DATES, "ret": [0, *np.diff(np.log(CLOSES))]})
    with pytest.raises(UserError, match="of the dates, as returns are; give the prices"):
        understand(path)


def test_day_and_month_that_nothing_tells_apart_are_asked_for(write: Write) -> None:
    path = write({"Date": ["01/02/2022", "02/02/2022", "03/02/2022"], "Close": CLOSES[:3]})
    said = refused(path)
    assert "column Date: '01/02/2022' is 2022-02-01 or 2022-01-02, and no other date tells" in said
    assert said.endswith("or say --date-order dmy or mdy")
    assert str(read_prices(path, PriceOptions(date_order="dmy")).prices.index[1].date()) == "2022-02-02"
    assert str(read_prices(path, PriceOptions(date_order="mdy")).prices.index[1].date()) == "2022-02-02"
    assert str(read_prices(path, PriceOptions(date_order="mdy")).prices.index[-1].date()) == "2022-03-02"
    monthly = write({"Date": ["01.01.2022", "01.02.2022"], "Close": CLOSES[:2]})
    assert "'01.02.2022' is 2022-02-01 or 2022-01-02" in refused(monthly)
    mixed = write({"Date": ["31/12/2022", "12/30/2022"], "Close": CLOSES[:2]})
    assert "'12/30/2022' has no day first and '31/12/2022' no month first" in refused(mixed)


# Numbers


@pytest.mark.parametrize(
    ("cells", "values"),
    [
        (["999", "1,002", "1,000"], [999, 1002, 1000]),
        (["1,234.50", "1,235.00"], [1234.5, 1235]),
        (["1.234,50", "1.235,00"], [1234.5, 1235]),
        (["1 234,50", "1 235,00"], [1234.5, 1235]),
        (["1\u202f234,50", "999,00"], [1234.5, 999]),
        (["1'234.50", "1’235.00"], [1234.5, 1235]),
        (["$1,234.50", "$999.00"], [1234.5, 999]),
        (["12,5 €", "12,75 €"], [12.5, 12.75]),
        (["USD 12.5", "USD 12.75"], [12.5, 12.75]),
        (["12,34,567.50", "12,35,000.00"], [1234567.5, 1235000]),
        (["1.002", "999", "998"], [1002, 999, 998]),
        (["98.125", "98.250"], [98.125, 98.25]),
        (["1.2e-05", "1.3E-05"], [1.2e-05, 1.3e-05]),
    ],
    ids=lambda value: str(value[0]),
)
def test_numbers_are_read_by_the_whole_column(write: Write, cells: list[str], values: list[float]) -> None:
    found = read_prices(write({"Date": DATES[: len(cells)], "Close": cells}))
    assert closes_of(found) == values


def test_numbers_that_may_be_read_in_two_ways_are_asked_for(write: Write) -> None:
    path = write({"Date": DATES[:2], "Close": ["1,102", "1,103"]})
    assert "'1,102' may be a thousand and more, or one and decimals" in refused(path)
    assert refused(path).endswith("or say --decimal , or --decimal .")
    assert closes_of(read_prices(path, PriceOptions(decimal=","))) == [1.102, 1.103]
    assert closes_of(read_prices(path, PriceOptions(decimal="."))) == [1102, 1103]
    with pytest.raises(UserError, match=r"no other sign$"):
        read_examples("market", path)
    told = write({"Date": DATES[:2], "Close": ["1,102", "1,103"], "Volume": ["1,234,567", "2,345,678"]})
    assert closes_of(read_prices(told)) == [1102, 1103]
    german = write({"Date": DATES[:2], "Close": ["1.102", "1.103"]}, sep=";")
    assert "'1.102' may be a thousand and more" in refused(german)
    assert "'12,5' and '12.5' contradict each other" in refused(write({"Date": DATES[:2], "Close": ["12.5", "12,5"]}))
    assert "in several currencies ('$', '€')" in refused(write({"Date": DATES[:2], "Close": ["$12", "€12"]}))


def test_cells_without_a_price_are_dropped_and_counted(write: Write) -> None:
    for sign in (".", "null", "N/A", "-", "", "ND"):
        found = read_prices(write({"DATE": DATES, "DEXUSEU": [*CLOSES[:9], sign, *CLOSES[10:]]}))
        assert found.prices["DEXUSEU"].tolist() == CLOSES[:9] + CLOSES[10:]
        assert found.warnings == ("1 date left out on which an asset has no price, the first is 2023-01-13",)
    rare = read_prices(write({"Date": DATES, "USD": CLOSES, "RUB": [85.1] * 9 + ["N/A"] * 51, "": [""] * 60}))
    assert list(rare.prices.columns) == ["USD"]
    assert rare.warnings == ("1 asset left out, without a price on most dates: RUB (9 of 60)",)


# Domains


def walk(rows: int, frequency: str) -> pd.DataFrame:
    steps = np.random.default_rng(0).normal(0, 0.01, rows)
    return pd.DataFrame(
        {"Close": (100 * np.exp(steps.cumsum())).round(3)}, pd.date_range("1990-01-05", periods=rows, freq=frequency)
    ).rename_axis("Date")


def saved(table: pd.DataFrame, path: Path) -> Path:
    table.to_csv(path)
    return path


def test_weekly_and_monthly_prices_are_counted_in_weeks_and_months(tmp_path: Path) -> None:
    found = understand(saved(walk(420, "W-FRI"), tmp_path / "weekly.csv"))
    assert "the next 5 weeks, in thirds of the asset's own trailing 252 weeks" in found.notes["label_rule"]
    assert (found.notes["period"], "day" in found.rule, "60 weeks" in found.rule) == ("week", False, True)
    assert found.warnings[0].startswith("weekly prices: rules count weeks, the next 5 and the trailing 252;")
    domain = Domain.read(write_domain(found, "mine", tmp_path / "data", lambda n: None))
    assert [finding.kind.name for finding in run_checks(domain) if finding.is_error] == []
    assert understand(saved(walk(420, "MS"), tmp_path / "monthly.csv")).notes["period"] == "month"
    with pytest.raises(UserError, match="200 weekly prices, and rules count weeks: features look back 256; give daily"):
        understand(saved(walk(200, "W-FRI"), tmp_path / "short.csv"))
    with pytest.raises(
        UserError, match="a price every 90 days is neither daily, weekly nor monthly; give daily prices"
    ):
        understand(saved(walk(100, "90D"), tmp_path / "quarterly.csv"))


def test_jumps_long_runs_and_filled_weekends_are_findings(tmp_path: Path) -> None:
    table = walk(420, "B")
    table.iloc[300:, 0] *= 1.61
    table.iloc[380:395, 0] = table.iloc[380, 0]
    found = understand(saved(table, tmp_path / "a.csv"))
    domain = Domain.read(write_domain(found, "mine", tmp_path / "data", lambda n: None))
    by_kind = {finding.kind.name: finding for finding in run_checks(domain)}
    jump = table.index[300]
    assert by_kind["price-jump"].value == f"a on {jump:%Y-%m-%d}"
    assert by_kind["stale-price"].about.endswith("on 15 dates in a row")
    assert by_kind["price-jump"].kind.what in found.warnings[0]
    filled = walk(420, "D")
    weekend = filled.index.weekday >= 5
    filled[weekend] = np.nan
    found = understand(saved(filled.ffill().bfill(), tmp_path / "b.csv"))
    assert [doubt["kind"] for doubt in found.notes["price_doubts"]] == ["filled-weekends"]


def test_a_market_is_never_to_be_labelled(tmp_path: Path) -> None:
    table = walk(420, "B")
    table.iloc[200:] = table.iloc[200:].mul(1 + 0.0001 * np.arange(220), axis=0)
    found = understand(saved(table, tmp_path / "a.csv"))
    domain = Domain.read(write_domain(found, "mine", tmp_path / "data", lambda n: None))
    assert not [finding for finding in run_checks(domain) if "label more" in finding.kind.remedy]


def test_what_was_inferred_and_not_used_is_kept_in_the_domain(tmp_path: Path) -> None:
    table = walk(420, "B").assign(Open=1.0)
    table.index = table.index.strftime("%m/%d/%Y")
    found = understand(saved(table.rename_axis("Date"), tmp_path / "a.csv"))
    assert found.columns == {"date": "Date", "price": "Close"}
    assert found.notes["not_used"] == ["Open"]
    assert found.notes["inferred"] == ["dates are month, day, year: '01/05/1990' is 1990-01-05"]
    (tmp_path / "t.csv").write_text("text,label\na b c d,x\n")
    with pytest.raises(UserError, match="--decimal does not apply to texts"):
        understand(tmp_path / "t.csv", decimal=",")


@pytest.mark.parametrize(
    "table",
    [
        "date,text,label\n2023-01-02,a b c d,x\n2023-01-03,e f g h,y\n",
        "date,comment,likes\n2023-01-02,nobody came to the meeting,4\n2023-01-03,all went home too soon,5\n",
        "date,ward,doctor,age\n2023-01-02,a,Li,40\n2023-01-03,b,Wu,50\n",
        "name,price\nbolt,3.5\nnut,4.5\n",
    ],
)
def test_tables_of_other_things_are_no_prices(tmp_path: Path, table: str) -> None:
    (tmp_path / "a.csv").write_text(table)
    assert not looks_like_prices(tmp_path / "a.csv")
