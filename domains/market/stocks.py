"""Twenty large American stocks, 1990 to 2022, cut at changes of regime."""

import gzip
import io
from functools import cache, partial
from pathlib import Path
from zipfile import ZipFile

import pandas as pd

from domains.fetch import Fetch, Wheel
from domains.market.windows import Market, Window, as_source, window_examples

SKFOLIO = Wheel(
    "skfolio",
    "1.12.2",
    "skfolio-1.12.2-py3-none-any.whl",
    "2d324c62a4188dc0b62a713f8d5cea177e208a5b45987e3d3f204dd56d3a669b",
    size=1465874,
)
MEMBER = "skfolio/datasets/data/sp500_dataset.csv.gz"

#: Sources end before every target of the family begins.
WINDOWS = (
    Window("stocks-recession", "the recession of 1991 and the recovery", "1991-02-01", "1994-12-31", examples=3940),
    Window("stocks-nineties", "the long rise of the nineties", "1995-01-01", "1997-06-30", examples=2520),
    Window(
        "stocks-bubble",
        "Asian and Russian crises, and the technology bubble",
        "1997-07-01",
        "2000-03-09",
        examples=2700,
    ),
    Window("stocks-dotcom", "the fall of technology stocks", "2000-03-10", "2002-10-09", examples=2580),
    Window("stocks-calm", "quiet years", "2003-06-01", "2007-06-30", examples=4100),
    Window("stocks-crisis", "the financial crisis", "2007-10-09", "2009-03-09", examples=1420),
    Window("stocks-recovery", "recovery and the euro debt crisis", "2009-03-10", "2011-12-31", examples=2840),
    Window("stocks-bull", "the long rise of the 2010s", "2012-01-01", "2018-09-30", examples=6780),
    Window("stocks-late", "the last years before Covid", "2018-10-01", "2019-12-31", examples=1240),
    Window("stocks-covid", "the Covid crash and rebound", "2020-02-19", "2020-06-30", "target", examples=1660),
    Window("stocks-rates", "the year of rising rates", "2022-01-01", "2022-12-28", "target", examples=4780),
)


def closing_prices(wheel: Path) -> pd.DataFrame:
    """Return 8,313 days of closing prices in dollars, adjusted for splits and dividends [days, stocks]."""
    with ZipFile(wheel) as archive:
        table = io.BytesIO(gzip.decompress(archive.read(MEMBER)))
    return pd.read_csv(table, index_col="Date", parse_dates=True)


@cache
def load_market(wheel: Path) -> Market:
    """Read the wheel once."""
    return Market.of(closing_prices(wheel))


def read(fetch: Fetch, window: Window) -> pd.DataFrame:
    """Return one window's examples."""
    return window_examples(load_market(fetch.wheel(SKFOLIO)), window)


SOURCES = tuple(
    as_source(
        window,
        "20 American stocks",
        partial(read, window=window),
        licence="prices: none stated, for tests and examples only; wheel: BSD-3-Clause; loaded at run time",
        citation="skfolio developers. skfolio: portfolio optimization in Python, data set sp500_dataset",
        where=f"{MEMBER} inside the wheel of skfolio; stocks chosen with hindsight, all listed until 2022",
        wheels=(SKFOLIO,),
    )
    for window in WINDOWS
)
