"""RL2 trading through market regimes it never saw, walk-forward, beside plain rules and itself without memory."""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch

from domains.decisions.trading import COST, PriceHistory, Regimes, net_returns
from domains.market import stocks
from domains.market.features import FEATURES
from domains.market.returns import YEAR
from domains.market.walk import REGIMES
from domains.market.windows import Window
from learners.decisions.playing import Recurrent, play
from learners.decisions.rl2 import RL2, Memory
from learners.decisions.rl2_train import PPO, train
from learners.market.time_metrics import block_interval
from tasks.base.downloads import fetcher
from tasks.base.progress import progress
from tasks.base.settings import Settings
from tasks.bench.options import BenchOptions, Row
from tasks.decisions.problems import untrained_policy

PROBLEM = "stocks"
HELD = 504  # days before a window on which the best parameters are chosen
TRIALS, HIDDEN = 128, 32
HOW = PPO(iterations=100, steps=120, epochs=2, rate=2e-3, discount=0.9, trace=0.9, entropy=0.02, every=10)
POLICIES: dict[str, Memory] = {"rl2": "gru", "rl2 without memory": "none"}


def bench_stocks(settings: Settings, options: BenchOptions, say: Callable[[str], None] = print) -> list[Row]:
    """Return what every strategy earns a year after costs in every regime, and its difference from buy-and-hold.

    Protocol: 20 stocks, equal parts, 5 basis points of what is traded. For every regime a policy is trained on trials
    of 120 days cut from the days before it, the last two years of which choose the best parameters; it then plays the
    regime once, as one trial an asset. Intervals: blocks of 20 days. The stocks were chosen with hindsight.
    """
    prices = stocks.closing_prices(fetcher(settings).wheel(stocks.SKFOLIO))
    history, rows = PriceHistory.of(prices), list[Row]()
    how = replace(HOW, seed=settings.seed, iterations=options.steps or HOW.iterations)
    how = replace(how, every=min(how.every, how.iterations))
    for window in REGIMES:
        test, daily = history.within(window.start, window.end), dict[str, np.ndarray]()
        for name, memory in POLICIES.items():
            with progress(f"train {name} before {window.start}", how.iterations) as advance:
                policy = train_trader(
                    history.before(window.start), how, memory, settings.home_path, window.name, advance
                )
            daily[name] = net_returns(positions(policy, test), test.returns).mean(1)
        daily |= {name: net_returns(rule, test.returns).mean(1) for name, rule in rule_positions(test).items()}
        rows += window_rows(window, daily, settings.seed)
        yearly = [f"{r['method']} {r['value']}" for r in rows if r["setting"] == window.name and r["metric"] == YEARLY]
        say(f"{window.name}: {', '.join(yearly)}")
    return rows


def train_trader(
    past: PriceHistory,
    how: PPO,
    memory: Memory,
    home: Path,
    window: str,
    advance: Callable[[int], None] = lambda n: None,
) -> RL2:
    """Return a policy trained on all but the last HELD days of a history, and chosen on those."""
    torch.set_num_threads(1)
    days = len(past.dates)
    envs = Regimes(TRIALS, past.cut(0, days - HELD), how.steps)
    held_out = Regimes(4 * TRIALS, past.cut(days - HELD, days), how.steps)
    policy = untrained_policy(envs, HIDDEN, how.seed, memory)
    parts = [window, memory, asdict(how), TRIALS, HIDDEN, COST, HELD, version("acclimate")]
    key = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:12]
    train(policy, envs, held_out, how, home / "bench" / "rl2" / f"{window}-{key}.checkpoint", advance)
    return policy


def positions(policy: RL2, test: PriceHistory) -> np.ndarray:
    """Return the positions [T, A] that a policy takes in one trial through all days of a history, asset by asset."""
    days, assets = test.returns.shape
    _, actions = play(Regimes(assets, test, days, every=True), Recurrent(policy), days, seed=0)
    return actions - 1.0


def rule_positions(test: PriceHistory) -> Mapping[str, np.ndarray]:
    """Return the positions [T, A] of plain rules, from features of the day."""
    x = {name: test.x[..., i].astype(float) for i, (name, _) in enumerate(FEATURES)}
    return {
        HELD_ON: np.ones_like(test.returns),
        "volatility targeting": np.minimum(1.0, np.exp(-x["vol_20"])),  # the year's volatility over the month's
        "momentum": np.sign(x["return_60"]),
    }


YEARLY, HELD_ON = "% a year after costs", "buy and hold"


def window_rows(window: Window, daily: Mapping[str, np.ndarray], seed: int) -> list[Row]:
    """Return rows of yearly return, Sharpe ratio and difference from buy-and-hold from daily returns [T] by method."""
    rows = list[Row]()

    def add(method: str, metric: str, value: float, low: float | None = None, high: float | None = None) -> None:
        row = {"suite": "rl2", "domain": PROBLEM, "setting": window.name, "method": method, "metric": metric}
        half = None if low is None or high is None else round((high - low) / 2, 2)
        row |= {"value": round(value, 2), "ci95": half, "n": len(daily[method]), "seconds": None}
        rows.append(row)

    for method, values in daily.items():
        rng = np.random.default_rng(seed)
        add(method, YEARLY, *block_interval([100 * YEAR * values], rng))
        add(method, "Sharpe ratio", float(YEAR**0.5 * values.mean() / max(values.std(), 1e-9)))
        if method != HELD_ON:
            add(method, f"% a year over {HELD_ON}", *block_interval([100 * YEAR * (values - daily[HELD_ON])], rng))
    return rows
