"""How often markets raise alarms in quiet years, how late these are, and which known days they notice."""

from collections.abc import Callable

import numpy as np
import pandas as pd

from domains.errors import UserError
from domains.market.days import Days
from domains.market.features import WARM_UP, features
from domains.market.notice import REFERENCE, notice
from domains.market.regime import WEEK, Weeks, find_regime
from domains.market.returns import YEAR
from tasks.base.downloads import fetcher
from tasks.base.progress import progress
from tasks.base.settings import Settings
from tasks.bench.drift.dated import OTHERS, STOCKS, Dated
from tasks.bench.drift.quiet_years import (
    BLOCK,
    CHANGES,
    LONG_BLOCK,
    QUIET,
    SOON,
    YEARS,
    as_prices,
    find_limits,
    first_alarms,
    quiet_returns,
    shuffle_blocks,
)
from tasks.bench.drift.rows import rate_row
from tasks.bench.options import Row

LENGTH = 52  # weeks of a trial of change points
NEAR = pd.Timedelta(days=60)  # a change point so near a known day is that one
LIMIT_YEARS = 2000  # of each span, that limits are found in
ALONE = "each stock alone"
Say = Callable[[str], None]


def bench_market_drift(settings: Settings, trials: int, say: Say = lambda line: None) -> list[Row]:
    """Return false alarms in quiet years, delays after changes of known size, and whether known days are noticed.

    *Alarms* (``domains/market/notice.py``) come day by day. False ones: years of a series of 40 with an alarm,
    blocks of 20 days of returns drawn from quiet years, of 60 too, which keep more of how volatility lasts; all
    assets keep their days; and the alarms of the quiet years as they were. Delays: a year of such blocks, then a
    changed one. Known days: the whole history once, from its first day on, each day by what was known on it; one is
    noticed if an alarm comes on it or on the 60 trading days after it. By chance that many would be noticed by the
    same alarms, were they moved by any number of days.

    *Change points* (PELT) look back: a trial is a year of twenty stocks, in blocks as above; a known day counts as
    found where the series of a year before to half a year after it has a change within 60 days.

    Nothing is set on the known days, or on any series but the twenty stocks; those of a mirror are left out where
    there is none.
    """
    fetch, rows = fetcher(settings), list[Row]()
    prices = STOCKS.read(fetch)
    rows += change_point_rows(prices, trials, np.random.default_rng(settings.seed), say)
    rows += delay_rows(prices, trials, np.random.default_rng([settings.seed, 1]), say)
    for number, dated in enumerate((STOCKS, *OTHERS)):
        try:
            table = prices if dated is STOCKS else dated.read(fetch)
        except UserError as error:
            say(f"{dated.name}: left out: {error}")
            continue
        rows += false_alarm_rows(dated.name, table, 4 * trials, np.random.default_rng([settings.seed, 2, number]), say)
        rows += known_day_rows(dated, table, say)
    return rows


def say_limits(settings: Settings, say: Say) -> list[Row]:
    """Say the limits that ``domains/market/notice.py`` holds, and return a row each."""
    prices, rows = STOCKS.read(fetcher(settings)), list[Row]()
    with progress("bench drift: limits", 2 * LIMIT_YEARS // YEARS) as advance:
        found = find_limits(prices, LIMIT_YEARS, settings.seed, advance)
    for many, limits in found.items():
        say(f"limits of {'many assets' if many else 'few'}: {limits}")
        for name, sides in limits.items():
            for side, value in zip(("up", "down"), sides, strict=True):
                about = {"suite": "drift", "domain": STOCKS.name if many else ALONE, "setting": f"{name}, {side}"}
                rows.append(
                    about | {"method": "alarms", "metric": "limit", "value": value, "ci95": None, "n": LIMIT_YEARS}
                )
    return [row | {"seconds": None} for row in rows]


def false_alarm_rows(name: str, prices: pd.DataFrame, years: int, rng: np.random.Generator, say: Say) -> list[Row]:
    """Return the share of years with an alarm in quiet years, shuffled and as they were, of spans that there are."""
    rows = []
    for (start, end), returns in zip(QUIET, quiet_returns(prices), strict=True):
        if prices.index[0] > pd.Timestamp(start) + pd.Timedelta(days=30) or prices.index[-1] < pd.Timestamp(end):
            continue
        series = max(1, round(years / YEARS))
        for block in (BLOCK, LONG_BLOCK):
            hits, about = list[bool](), f"blocks of {block} days of {start[:4]} to {end[:4]}"
            with progress(f"bench drift: {name}", series) as advance:
                for _ in range(series):
                    days = days_of(as_prices(shuffle_blocks(returns, WARM_UP + REFERENCE + YEARS * YEAR, rng, block)))
                    found = {(alarm.at - REFERENCE) // YEAR for alarm in notice(days)}
                    hits += [year in found for year in range(YEARS)]
                    advance(1)
            rows.append(rate_row(name, about, "alarms", "false alarms", hits))
            say(f"{name}: {about}: an alarm in {sum(hits)} of {len(hits)} years")
        first = max(int(prices.index.searchsorted(pd.Timestamp(start))) - WARM_UP, 0)
        quiet = prices.iloc[first : int(prices.index.searchsorted(pd.Timestamp(end), side="right"))]
        days, about = days_of(quiet), f"{start[:4]} to {end[:4]} as they were"
        alarms = notice(days)
        row = {"suite": "drift", "domain": name, "setting": about, "method": "alarms", "metric": "alarms"}
        rows.append(row | {"value": float(len(alarms)), "ci95": None, "n": len(days.dates), "seconds": None})
        say(f"{name}: {about}: {', '.join(f'{alarm.day:%Y-%m-%d} {alarm.by}' for alarm in alarms) or 'no alarm'}")
        each = [len(notice(days_of(quiet[[asset]]))) for asset in quiet]
        row |= {"domain": f"{name}, each alone", "metric": "alarms a year"}
        years_of_all = len(days.dates) / YEAR * len(each)
        rows.append(row | {"value": round(sum(each) / years_of_all, 4), "ci95": None, "n": len(each), "seconds": None})
        say(f"{name}: {about}, each alone: {sum(each)} alarms in {years_of_all:.0f} years")
    return rows


def known_day_rows(dated: Dated, prices: pd.DataFrame, say: Say) -> list[Row]:
    """Return whether each known day is noticed and how late, alarms a year, and how many would be noticed by chance."""
    days = days_of(prices)
    alarms = notice(days)
    about = {"suite": "drift", "domain": dated.name, "method": "alarms", "ci95": None, "seconds": None}
    rows, found = list[Row](), list[bool]()
    at = np.array([alarm.at for alarm in alarms], int)
    for day, what in dated.known.items():
        first = int(days.dates.searchsorted(pd.Timestamp(day)))
        after = at[(at >= first) & (at <= first + SOON)]
        found.append(bool(len(after)))
        setting = {"setting": f"{day}, {what}"}
        rows.append(about | setting | {"metric": "detected", "value": float(found[-1]), "n": 1})
        words = "not noticed"
        if found[-1]:
            alarm = alarms[int(np.searchsorted(at, after[0]))]
            rows.append(about | setting | {"metric": "days late", "value": float(alarm.at - first), "n": 1})
            words = f"noticed after {alarm.at - first} days, by {alarm.in_words()}"
        say(f"{dated.name}: {day}, {what}: {words}")
    soon = np.zeros(len(days.dates), bool)
    for alarm in alarms:
        soon[max(alarm.at - SOON, 0) : alarm.at + 1] = True
    years, chance = len(days.dates) / YEAR, len(found) * float(soon[REFERENCE:].mean())
    say(
        f"{dated.name}: {sum(found)} of {len(found)} noticed, {chance:.1f} by chance; {len(alarms)} alarms in "
        f"{years:.0f} years: {', '.join(f'{alarm.day:%Y-%m-%d} {alarm.by}' for alarm in alarms)}"
    )
    every = {"setting": "the whole history"}
    rows.append(about | every | {"metric": "alarms a year", "value": round(len(alarms) / years, 3), "n": len(alarms)})
    rows.append(about | every | {"metric": "noticed by chance", "value": round(chance, 2), "n": len(found)})
    return [*rows, rate_row(dated.name, "known days", "alarms", "detected", found)]


def delay_rows(prices: pd.DataFrame, trials: int, rng: np.random.Generator, say: Say) -> list[Row]:
    """Return how many changes are noticed within SOON days, and how late; of many assets and of each alone.

    ``domains/market/notice.py`` holds what is said: how far the number moves, and the delay of half and of nine of ten.
    """
    rows, spans = list[Row](), quiet_returns(prices)
    for change, own in zip(CHANGES, rng.spawn(len(CHANGES)), strict=True):
        found: dict[bool, list[tuple[float, float]]] = {True: [], False: []}
        with progress(f"bench drift: {change.in_words()}", trials) as advance:
            for trial in range(trials):
                for many, each in first_alarms(spans[trial % len(spans)], change, own).items():
                    found[many] += each
                advance(1)
        for many, each in found.items():
            known = np.array([days for days, _ in each if not np.isnan(days)])
            if not len(known):
                continue
            name, size = STOCKS.name if many else ALONE, float(np.median([moved for _, moved in each]))
            soon = (known <= SOON).tolist()
            half, ninth = (float(np.quantile(known, q, method="higher")) for q in (0.5, 0.9))
            rows.append(rate_row(name, change.in_words(), "alarms", "detected", soon))
            about = {"suite": "drift", "domain": name, "setting": change.in_words(), "method": "alarms", "ci95": None}
            for metric, value in (("days late", half), ("days late, nine of ten", ninth)):
                if np.isfinite(value):
                    rows.append(about | {"metric": metric, "value": value, "n": len(known), "seconds": None})
            soon_share = 100 * float(np.mean(soon))
            say(
                f"{name}: {change.in_words()}: {soon_share:.0f} % of {len(known)} noticed within {SOON} days; "
                f"{change.number(many)} ({size:.2f}, {half:.0f}, {ninth:.0f})"
            )
    return rows


def change_point_rows(prices: pd.DataFrame, trials: int, rng: np.random.Generator, say: Say) -> list[Row]:
    """Return false alarms of change points on shuffled quiet years, and whether known days are found in hindsight."""
    rows = []
    with progress("bench drift: change points", len(QUIET) * trials) as advance:
        for (start, end), returns in zip(QUIET, quiet_returns(prices), strict=True):
            alarms = []
            for _ in range(trials):
                made = as_prices(shuffle_blocks(returns, WARM_UP + WEEK * LENGTH, rng))
                alarms.append(bool(find_regime(_weeks(made)).changes))
                advance(1)
            years = f"blocks of {start[:4]} to {end[:4]}"
            rows.append(rate_row(STOCKS.name, years, "change points", "false alarms", alarms))
            say(f"stocks: {years}: {sum(alarms)} of {trials} series without a change show one")
    weeks, found = _weeks(prices), []
    for day, what in STOCKS.known.items():
        date = pd.Timestamp(day)
        inside = (weeks.dates >= date - pd.Timedelta(days=365)) & (weeks.dates <= date + pd.Timedelta(days=182))
        part = Weeks(weeks.dates[inside], weeks.volatility[inside], weeks.returns[inside])
        changes = [part.dates[i] for i in find_regime(part).changes]
        near = [change for change in changes if abs(change - date) <= NEAR]
        found.append(bool(near))
        shown = ", ".join(f"{change:%Y-%m-%d}" for change in changes) or "none"
        say(f"stocks: {day}, {what}: {'found' if near else 'not found'} in hindsight (changes: {shown})")
        about = {"suite": "drift", "domain": STOCKS.name, "setting": f"{day}, {what}", "method": "change points"}
        rows.append(about | {"metric": "detected", "value": float(bool(near)), "ci95": None, "n": 1, "seconds": None})
    return [*rows, rate_row(STOCKS.name, "known days", "change points", "detected", found)]


def days_of(prices: pd.DataFrame) -> Days:
    """Return a market day by day from its prices [dates, assets]."""
    x = features(prices)
    dates, assets = (x.index.get_level_values(level) for level in (0, 1))
    return Days.of(dates.strftime("%Y-%m-%d").tolist(), assets.astype(str).tolist(), x.to_numpy().astype(float))


def _weeks(prices: pd.DataFrame) -> Weeks:
    x = features(prices)
    dates = x.index.get_level_values(0).strftime("%Y-%m-%d").tolist()
    return Weeks.of(dates, x.to_numpy().astype(float))
