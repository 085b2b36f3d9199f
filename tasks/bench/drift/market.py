"""How often a change of regime is found in quiet years shuffled in blocks, and at known changes of the stock market."""

from collections.abc import Callable

import numpy as np
import pandas as pd

from domains.market import stocks
from domains.market.features import WARM_UP, features
from domains.market.regime import WEEK, Weeks, find_regime
from tasks.base.downloads import fetcher
from tasks.base.progress import progress
from tasks.base.settings import Settings
from tasks.bench.drift.rows import rate_row
from tasks.bench.options import Row

BLOCK = 20  # trading days that stay together
LENGTH = 52  # weeks of a trial
NEAR = pd.Timedelta(days=60)  # a change so near a known one is that one
QUIET = (("1991-01-01", "1996-12-31"), ("2003-06-01", "2007-06-30"))
#: Days on which another regime began, as histories of the market have them.
KNOWN = {
    "2000-03-10": "the technology bubble bursts",
    "2002-10-09": "low of the technology stocks",
    "2007-10-09": "high before the financial crisis",
    "2008-09-15": "Lehman Brothers fails",
    "2009-03-09": "low of the financial crisis",
    "2011-08-05": "American debt is downgraded",
    "2020-02-19": "the Covid crash begins",
    "2022-01-03": "the year of rising rates begins",
}


def bench_market_drift(settings: Settings, trials: int, say: Callable[[str], None] = lambda line: None) -> list[Row]:
    """Return false alarms on shuffled quiet years, and whether known changes of regime are found.

    A trial is a year of twenty stocks, made of blocks of 20 days of returns drawn from quiet years: all stocks keep
    their days, so that volatility clusters within a block and no level lasts longer. A known change counts as found
    where the series of a year before to half a year after it has a change within 60 days.
    """
    prices = stocks.closing_prices(fetcher(settings).wheel(stocks.SKFOLIO))
    rows, rng = [], np.random.default_rng(settings.seed)
    with progress("bench drift: stocks", len(QUIET) * trials) as advance:
        for start, end in QUIET:
            returns, alarms = np.log(prices[start:end]).diff().to_numpy()[1:], []  # type: ignore[misc]
            for _ in range(trials):
                alarms.append(bool(find_regime(_weeks(shuffle_blocks(returns, WARM_UP + WEEK * LENGTH, rng))).changes))
                advance(1)
            years = f"blocks of {start[:4]} to {end[:4]}"
            rows.append(rate_row("stocks", years, "change points", "false alarms", alarms))
            say(f"stocks: {years}: {sum(alarms)} of {trials} series without a change show one")
    weeks = _weeks(prices)
    found = []
    for day, what in KNOWN.items():
        date = pd.Timestamp(day)
        inside = (weeks.dates >= date - pd.Timedelta(days=365)) & (weeks.dates <= date + pd.Timedelta(days=182))
        part = Weeks(weeks.dates[inside], weeks.volatility[inside], weeks.returns[inside])
        changes = [part.dates[i] for i in find_regime(part).changes]
        near = [change for change in changes if abs(change - date) <= NEAR]
        found.append(bool(near))
        shown = ", ".join(f"{change:%Y-%m-%d}" for change in changes) or "none"
        say(f"stocks: {day}, {what}: {'found' if near else 'not found'} (changes: {shown})")
        about = {"suite": "drift", "domain": "stocks", "setting": f"{day}, {what}", "method": "change points"}
        rows.append(about | {"metric": "detected", "value": float(bool(near)), "ci95": None, "n": 1, "seconds": None})
    return [*rows, rate_row("stocks", "known changes", "change points", "detected", found)]


def shuffle_blocks(returns: np.ndarray, days: int, rng: np.random.Generator) -> pd.DataFrame:
    """Return prices [days + 1, assets] whose log returns are blocks of BLOCK days drawn from [n, assets]."""
    starts = rng.integers(len(returns) - BLOCK + 1, size=-(-days // BLOCK))
    rows = (starts[:, None] + np.arange(BLOCK)).ravel()[:days]
    logs = np.concatenate([np.zeros((1, returns.shape[1])), returns[rows].cumsum(0)])
    return pd.DataFrame(100 * np.exp(logs), pd.bdate_range("2000-01-03", periods=days + 1))


def _weeks(prices: pd.DataFrame) -> Weeks:
    x = features(prices)
    dates = x.index.get_level_values(0).strftime("%Y-%m-%d").tolist()
    return Weeks.of(dates, x.to_numpy().astype(float))
