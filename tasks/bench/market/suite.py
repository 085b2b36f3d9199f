"""Adaptation to regimes of the stock market: every method, forward in time, with nothing known before its day."""

import time
from collections.abc import Callable, Sequence

import numpy as np
import torch

from domains.errors import check_known
from domains.market import stocks
from domains.market.panel import Panel
from domains.market.walk import QUERY, REGIMES, STEP, TemporalSplit, first_split, walk
from domains.market.windows import Window
from domains.whole_file import write_whole
from tasks.base.artifacts import image_artifact
from tasks.base.downloads import fetcher
from tasks.base.progress import progress
from tasks.base.settings import Settings
from tasks.bench.market.experts import FIRST, STATE, YEAR, Rule, experts, past_opinions
from tasks.bench.market.methods import (
    DAILY,
    DECAYED,
    OURS,
    POOLED,
    UNMOVED,
    MarketCase,
    learn_pool,
    methods_of,
    variance_of_states,
)
from tasks.bench.market.plots import plot_saved
from tasks.bench.market.schedules import schedule_rows
from tasks.bench.market.scores import MEAN, RegimeForecast, score_rows
from tasks.bench.options import BenchOptions, Row

ONCE, WALK = f"first {QUERY} days", f"walk by {STEP} days"
RULES = (STATE, "direction", "cross_section")
#: Rows of the walk, which adapts 187 times.
WALKED = (
    "persistence",
    "boosting",
    POOLED,
    "pooled boosting",
    "HAR",
    "GARCH",
    "ordinal",
    "log volatility",
    UNMOVED,
    DECAYED,
    DAILY,
    OURS,
)


def bench_market(
    settings: Settings, options: BenchOptions, say: Callable[[str], None] = lambda line: None
) -> list[Row]:
    """Return the figures of every method, label rule and regime, and leave a picture of each regime.

    Protocol: 20 stocks, a regime's sources end HORIZON days before it, the support is its first 60 labelled days, the
    embargo HORIZON days, the query the next 120 (and, for volatility, the whole rest of the regime in steps of 20 days,
    each adapted to the last 60 labelled days). Where all regimes are asked for, also when to adapt, on one walk through
    everything since 2000-03-10 (``schedules``). Intervals: blocks of 20 days. The stocks were chosen with hindsight.

    Raises:
        UserError: a method or a regime asked for is unknown.
    """
    torch.set_num_threads(1)
    regimes, chosen = _regimes(options.domains), _methods(options.methods)
    panel = Panel.of(stocks.closing_prices(fetcher(settings).wheel(stocks.SKFOLIO)))
    years = len(range(FIRST, len(panel.dates), YEAR))
    rows: list[Row] = []
    with progress("bench market", len(RULES) * (years + len(regimes)) + len(regimes)) as advance:
        for rule in (Rule(panel, name) for name in RULES):
            past = past_opinions(rule, advance) if {OURS, UNMOVED, DECAYED, DAILY} & set(chosen) else None
            judged: dict[str, list[RegimeForecast]] = {ONCE: [], WALK: []}
            for regime in regimes:
                judged[ONCE] += forecast_regime(
                    rule, regime, ONCE, [first_split(panel.dates, regime)], past, chosen, settings.seed
                )
                advance(1)
                if rule.name == STATE:
                    some = [name for name in chosen if name in WALKED]
                    walked = forecast_regime(rule, regime, WALK, walk(panel.dates, regime), past, some, settings.seed)
                    keep_picture(settings, walked)
                    judged[WALK] += walked
                    advance(1)
            for found in filter(None, judged.values()):
                rows += score_rows(found, settings.seed)
                say_log_losses(rows, found[0].rule.name, found[0].protocol, say)
            if rule.name == STATE and past is not None and regimes == list(REGIMES):
                scheduled = schedule_rows(rule, past, settings.seed)
                say_schedules(scheduled, say)
                rows += scheduled
    return rows


def forecast_regime(
    rule: Rule,
    regime: Window,
    protocol: str,
    cuts: Sequence[TemporalSplit],
    past: np.ndarray | None,
    methods: Sequence[str],
    seed: int,
) -> list[RegimeForecast]:
    """Return what methods say of the query days of a regime's cuts, which share their source.

    ``past``: opinions of every day (``past_opinions``); None where no method asks the pool.
    """
    models = experts(rule, cuts[0].first)
    length = QUERY if protocol == ONCE else STEP
    pool = None if past is None else learn_pool(rule, past, cuts[0].first, length, seed)
    kept: dict[str, np.ndarray] = {}
    cases = [MarketCase(rule, cut, models, pool, int(cuts[0].query[0]) + 1, length, past, seed, kept) for cut in cuts]
    days = np.concatenate([cut.query for cut in cuts])
    found = []
    for name, method in methods_of(rule.name).items():
        if name not in methods:
            continue
        began = time.process_time()
        parts = [method(case) for case in cases]
        spent = time.process_time() - began
        variance = []
        if rule.name == STATE:
            variance = [
                case.variance[name] if name in case.variance else variance_of_states(case, part)
                for case, part in zip(cases, parts, strict=True)
            ]
        found.append(
            RegimeForecast(
                *(rule, protocol, regime.name, name, days, np.concatenate(parts)),
                np.concatenate(variance) if variance else None,
                spent,
            )
        )
    return found


def keep_picture(settings: Settings, judged: Sequence[RegimeForecast]) -> None:
    """Leave the picture of a regime: in the home, and as an artifact where this runs in Prefect."""
    if POOLED not in (one.method for one in judged):
        return
    regime, png = judged[0].regime, plot_saved(judged)
    folder = settings.home_path / "bench" / "market"
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(folder / f"{regime}.png", png)
    image_artifact(f"bench-market-{regime}", png, f"{regime}: log-loss saved against the pooled model")


def say_schedules(rows: Sequence[Row], say: Callable[[str], None]) -> None:
    """Say the log-loss of every schedule, and how often it adapts."""
    adaptations = {row["method"]: row["value"] for row in rows if row["metric"] == "adaptations"}
    for row in rows:
        if row["metric"] == "log_loss":
            times = f"{adaptations[row['method']]:.0f} adaptations"
            say(f"{row['setting']}: {row['method']}, {times}: log-loss {row['value']:.4f} ± {row['ci95']:.4f}")


def say_log_losses(rows: Sequence[Row], rule: str, protocol: str, say: Callable[[str], None]) -> None:
    """Say the mean log-loss of every method over the regimes."""
    places = {row["domain"] for row in rows}
    for row in rows:
        is_loss = row["setting"] == f"{rule}, {protocol}" and row["metric"] == "log_loss"
        if is_loss and (row["domain"] == MEAN or MEAN not in places):
            say(f"{row['setting']}: {row['method']}: log-loss {row['value']:.4f} ± {row['ci95']:.4f}")


def check_options(options: BenchOptions) -> None:
    """Raise UserError where a method or a regime asked for is unknown, before anything is started."""
    _regimes(options.domains)
    _methods(options.methods)


def _regimes(names: Sequence[str]) -> list[Window]:
    known = {regime.name: regime for regime in REGIMES}
    check_known(names, known, "regime", " in this benchmark")
    return [known[name] for name in names or known]


def _methods(names: Sequence[str]) -> list[str]:
    known = list(methods_of(STATE))
    check_known(names, known, "method", " in this benchmark")
    return list(names) or known
