"""Longer and wider market series, read from a mirror: American stocks, the VIX, oil and currencies."""

from dataclasses import dataclass

import pandas as pd

from domains.errors import UserError
from domains.fetch import Fetch, PinnedFile
from domains.market.features import WARM_UP
from domains.market.windows import Market, Window, as_source, window_examples
from domains.reading.whole_tables import read_table
from domains.source import Source

#: An asset takes part if it has a price on this share of the days of a window and of those that features look back on.
LISTED = 0.98


@dataclass(frozen=True)
class PriceFile:
    """A pinned file of prices.

    Args:
        date: the column of dates; None: the index.
        price: the column of prices; None: every column is an asset (a wide table).
        asset: the column of the assets' names (a long table); None: there is one asset.
        like: how the names begin of the assets that are read.
    """

    file: PinnedFile
    date: str | None = None
    price: str | None = None
    asset: str | None = None
    like: str = ""

    def prices(self, fetch: Fetch) -> pd.DataFrame:
        """Return prices [dates, assets], missing ones as NaN.

        Raises:
            UserError: the file is not to be had, or lacks a column.
        """
        path = fetch.pinned_file(self.file)
        table, _ = read_table(path)
        for column in filter(None, (self.date, self.price, self.asset)):
            if column not in table:
                raise UserError(f"{path}: no column {column!r}; it has {', '.join(map(str, table.columns))}")
        if self.asset:
            table = table[table[self.asset].astype(str).str.startswith(self.like)]
            table = table.pivot(index=self.date, columns=self.asset, values=self.price)
        elif self.price:
            table = table.set_index(self.date)[[self.price]].set_axis([path.stem], axis=1)
        return table.set_axis(pd.DatetimeIndex(pd.to_datetime(table.index))).sort_index()


@dataclass(frozen=True)
class PriceWindow:
    """Reads a window of a file of prices: ``PriceWindow(...)(fetch)`` returns its examples."""

    table: PriceFile
    window: Window

    @property
    def files(self) -> tuple[PinnedFile, ...]:
        return (self.table.file,)

    def __call__(self, fetch: Fetch) -> pd.DataFrame:
        """Return the window's examples, of assets that were listed all through it, on days when all have a price.

        Raises:
            UserError: the file is not to be had, or its prices are not usable.
        """
        prices = self.table.prices(fetch)
        start = int(prices.index.searchsorted(pd.Timestamp(self.window.start)))
        prices = prices.iloc[max(0, start - 2 * WARM_UP) :]
        prices = prices[prices.index <= pd.Timestamp(self.window.end) + pd.Timedelta(days=14)]
        prices = prices.loc[:, prices.notna().mean() >= LISTED].dropna()
        return window_examples(Market.of(prices), self.window)


SP500 = PriceFile(
    PinnedFile(
        "market/sp500_adjclose_wide.parquet",
        "1a2d002af72d0a4500d8e19e96f8b8be4f1d1aa9a7367d2226d900f67cf963ba",
        size=11595290,
    )
)
US60 = PriceFile(
    PinnedFile(
        "market/sp500_top60_ohlcv_1999_2021.parquet",
        "09c038938fc8a1fcf5213227d362cfb94be2bd520b5d3ba1029efaf43d1e55c0",
        size=6536414,
    ),
    *("timestamp", "adjusted_close", "ticker"),
)
FOREX = PriceFile(
    PinnedFile(
        "market/lean_daily.parquet", "ea7f6147a41d5c6bdcfbc517b82503dde95b5efd7dcaf435d8df1f0390478f6a", size=2595365
    ),
    *("date", "close", "asset", "forex:oanda:"),
)
VIX = PriceFile(
    PinnedFile(
        "market/vix_daily.parquet", "8071e725739dae3f2d87cc4735f454e57f60b9bdf5b49c96cd60100bc0fa60d0", size=154551
    ),
    *("DATE", "CLOSE"),
)
BRENT = PriceFile(
    PinnedFile(
        "market/brent_daily.parquet", "d4b626d6430dc1d83f6cb0b9d40a2fd15dd979dd3186cd9ed853e18e21d9211f", size=98944
    ),
    *("Date", "Price"),
)

STOCKS = "prices: none stated, for research", "Adjusted closing prices of the members of the S&P 500 of 2021"
CHOSEN = "chosen with hindsight: companies that left the index before 2021 are missing"
CBOE = "Cboe's terms of use", "Cboe Global Markets. VIX: Cboe Volatility Index, daily history"
EIA = "public domain", "U.S. Energy Information Administration. Europe Brent Spot Price FOB, daily"
LEAN = "Apache-2.0", "QuantConnect. LEAN Algorithmic Trading Engine, sample data of OANDA"


def _source(
    table: PriceFile, window: Window, what: str, terms: tuple[str, str], where: str, overlaps: tuple[str, ...] = ()
) -> Source:
    return as_source(window, what, PriceWindow(table, window), *terms, where, overlaps=overlaps, quick=False)


#: Sources end before every target of the family begins.
SOURCES = (
    _source(
        US60,
        Window("us60-history", "before Covid", "2001-02-01", "2019-12-31", examples=57060),
        *("60 large American stocks", STOCKS, CHOSEN),
        overlaps=(
            *("stocks-dotcom", "stocks-calm", "stocks-crisis", "stocks-recovery", "stocks-bull", "stocks-late"),
            "sp500-crisis",
        ),
    ),
    _source(
        US60,
        Window("us60-covid", "the Covid crash and rebound", "2020-02-19", "2020-06-30", "target", examples=4830),
        *("60 large American stocks", STOCKS, CHOSEN),
        overlaps=("stocks-covid", "sp500-covid"),
    ),
    _source(
        SP500,
        Window("sp500-crisis", "the financial crisis", "2007-10-09", "2009-03-09", examples=28910),
        *("the S&P 500 of 2021", STOCKS, CHOSEN),
        overlaps=("stocks-crisis",),
    ),
    _source(
        SP500,
        Window("sp500-covid", "the Covid crash and rebound", "2020-02-19", "2020-06-30", "target", examples=14862),
        *("the S&P 500 of 2021", STOCKS, CHOSEN),
        overlaps=("stocks-covid",),
    ),
    _source(
        VIX,
        Window("vix-history", "before Covid", "1992-02-03", "2019-12-31", examples=1405),
        *("the volatility index VIX", CBOE, "https://www.cboe.com/tradable_products/vix/vix_historical_data"),
    ),
    _source(
        VIX,
        Window("vix-latest", "the latest twelve months", "2025-07-24", "2026-07-23", "target", examples=248),
        *("the volatility index VIX", CBOE, "https://www.cboe.com/tradable_products/vix/vix_historical_data"),
    ),
    _source(
        BRENT,
        Window("brent-history", "before Covid", "1989-02-01", "2019-12-31", examples=1568),
        *("Brent crude oil", EIA, "https://www.eia.gov/dnav/pet/hist/RBRTED.htm"),
    ),
    _source(
        BRENT,
        Window("brent-latest", "the latest twelve months", "2025-08-19", "2026-08-18", "target", examples=243),
        *("Brent crude oil", EIA, "https://www.eia.gov/dnav/pet/hist/RBRTED.htm"),
    ),
    _source(
        FOREX,
        Window("forex-2010s", "nine quiet years", "2009-01-05", "2017-12-29", examples=2236),
        *("four currency pairs", LEAN, "https://github.com/QuantConnect/Lean"),
    ),
)
