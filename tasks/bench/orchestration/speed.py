"""How fast a commit or a new regime comes into service, a tick over what is unchanged, many changed domains at once."""

import time
from collections.abc import Callable

from domains.errors import UserError
from domains.market import stocks
from tasks.base.downloads import fetcher
from tasks.base.progress import progress
from tasks.base.settings import Settings
from tasks.bench.options import BenchOptions, Row
from tasks.bench.orchestration.rig import FROM, Rig, make_rig, run_up
from tasks.models import registry
from tasks.versions.commit import commit
from tasks.versions.watched_commit import commit_to_watch
from tasks.watch import ledger, noticing

MANY = 200
REPEATS = 3
MARKETS = ("stocks-crisis", "stocks-bull")  # sources of a market meta-model, trained a few steps
QUIET_UNTIL, TURN, UNTIL = "2019-11-29", "2020-01-02", "2020-09-30"  # an alarm comes on 2020-03-12


def bench_orchestration(settings: Settings, options: BenchOptions, say: Callable[[str], None]) -> list[Row]:
    """Measure in a project of its own with a real server and worker, on this machine as busy as it is.

    Returns:
        Rows in seconds: ``commit to decided`` (from the start of ``acclimate data commit`` to the end of the gate and
        the promotion; the worker is warm, one small text domain), ``regime to decided`` (from the start of ``acclimate
        drift``, prices of a new regime being committed, to the same), ``tick, none of 200 changed``, ``200 changed``.
    """
    repeats = options.draws or REPEATS
    rows: list[Row] = []

    def row(metric: str, values: list[float], domain: str = FROM) -> None:
        value = round(sorted(values)[len(values) // 2], 2)
        row = {"suite": "orchestration", "domain": domain, "setting": f"{settings.processes} processes"}
        rows.append(row | {"method": "acclimate", "metric": metric, "value": value, "ci95": None, "n": len(values)})
        say(f"{metric}: {value} s")

    with make_rig(settings) as made, progress("bench orchestration", 5) as advance:
        adapt_to_quiet_markets(made, settings, repeats)
        advance(1)
        with run_up(made):
            row("commit to decided", [time_one_change(made, i) for i in range(repeats)])
            advance(1)
            row("regime to decided", [time_new_regime(made, i) for i in range(repeats)], "stocks")
            advance(1)
            row(f"{MANY} changed", [time_many_changes(made)])
            advance(1)
            row(f"tick, none of {MANY} changed", [time_quiet_tick(made) for _ in range(REPEATS)])
            advance(1)
    return rows


def time_one_change(made: Rig, number: int) -> float:
    """Return the seconds from a commit of one changed domain to the end of its adaptation."""
    made.wait(lambda: not made.count_open_rows())
    made.write_target("first", 1000 + number)
    started, before = time.perf_counter(), len(ledger.list_rows(made.settings, "done"))
    made.commit(f"Change {number}")
    made.wait(lambda: len(ledger.list_rows(made.settings, "done")) > before)
    return time.perf_counter() - started


def adapt_to_quiet_markets(made: Rig, settings: Settings, count: int) -> None:
    """Adapt to markets of 19 stocks in a quiet year, and leave their prices up to half a year after it ended."""
    made.copy_domains(settings.data_path, MARKETS)
    prices = stocks.closing_prices(fetcher(settings).wheel(stocks.SKFOLIO))["2016":UNTIL]  # type: ignore[misc]
    for i in range(count):
        table = prices.drop(columns=prices.columns[i])
        table.to_csv(made.path / f"market-{i}.csv")
        made.run("domains", "add", f"market-{i}", f"market-{i}.csv", "--end", QUIET_UNTIL)
    made.commit("Markets")
    made.run("meta-train", "--family", "market", "--steps", "5")
    for i in range(count):
        made.run("adapt", f"market-{i}")
        if f"market-{i}" not in registry.champions(made.settings):  # the gate asks more of a model than this needs
            made.run("models", "promote", f"market-{i}", "1")


def time_new_regime(made: Rig, number: int) -> float:
    """Return the seconds from the start of ``acclimate drift`` over committed prices to the end of the adaptation.

    Raises:
        UserError: something else than drift adapted to them.
    """
    made.wait(lambda: not made.count_open_rows())
    name = f"market-{number}"
    made.run("domains", "add", name, f"{name}.csv", "--start", TURN, "--replace")
    commit(made.path, made.settings.home_path, f"Regime {number}")  # the command would wake ``watch``
    started = time.perf_counter()
    made.run("drift", name)
    made.wait(lambda: not made.count_open_rows())
    seconds = time.perf_counter() - started
    why = [row.why for row in ledger.list_rows(made.settings) if row.domain == name][-1]
    if not why.startswith("drift"):
        raise UserError(f"{name} was adapted to because: {why}; try again: a tick of `watch` came first")
    return seconds


def time_many_changes(made: Rig) -> float:
    """Return the seconds from a commit of many new domains to the end of the last adaptation."""
    for i in range(MANY):
        made.write_target(f"many-{i:03}", i)
    started, before = time.perf_counter(), len(ledger.list_rows(made.settings, "done"))
    made.commit("Many")
    made.wait(lambda: len(ledger.list_rows(made.settings, "done")) >= before + MANY, 3600, 1)
    return time.perf_counter() - started


def time_quiet_tick(made: Rig) -> float:
    """Return the seconds of a look at the data that finds no change."""
    started = time.perf_counter()
    opened, _ = noticing.notice(made.settings, commit_to_watch(made.settings, []))
    assert not opened
    return time.perf_counter() - started
