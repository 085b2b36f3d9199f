"""RL2 trading through market regimes it never saw, walk-forward, beside plain rules and itself without memory."""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch

from domains.decisions.spaces import sizes
from domains.decisions.trading import COST, History, Regimes, net
from domains.fetch import Fetch
from domains.market import stocks
from domains.market.features import FEATURES
from domains.market.windows import Window
from learners.playing import Recurrent, play
from learners.rl2 import RL2
from learners.rl2_train import PPO, train
from tasks.bench import Asked, Row
from tasks.progress import progress
from tasks.settings import Settings

GAME = "stocks"
WINDOWS = ("stocks-crisis", "stocks-covid", "stocks-rates")  # tested on, each after what was learned from
HELD = 504  # days before a window on which the best parameters are chosen
TRIALS, HIDDEN = 128, 32
HOW = PPO(iterations=100, steps=120, epochs=2, rate=2e-3, discount=0.9, trace=0.9, entropy=0.02, every=10)
YEAR, BLOCK, RESAMPLES = 252, 20, 2000  # days, days, resamples of the bootstrap
POLICIES = {"rl2": True, "rl2 without memory": False}


def bench_stocks(settings: Settings, asked: Asked, say: Callable[[str], None] = print) -> list[Row]:
    """Return what every strategy earns a year after costs in every window, and its difference from buy-and-hold.

    Protocol: 20 stocks, equal parts, 5 basis points of what is traded. For every window a policy is trained on trials
    of 120 days cut from the days before it, the last two years of which choose the best parameters; it then plays the
    window once as one trial an asset. Intervals are of a circular block bootstrap over days, 20 days a block.
    """
    prices = stocks.prices(Fetch(settings.home_path / "downloads", settings.mirror).wheel(stocks.SKFOLIO))
    history, rows = History.of(prices), list[Row]()
    how = replace(HOW, seed=settings.seed, iterations=asked.steps or HOW.iterations)
    how = replace(how, every=min(how.every, how.iterations))
    for window in (w for w in stocks.WINDOWS if w.name in WINDOWS):
        test, daily = history.within(window.start, window.end), dict[str, np.ndarray]()
        for name, memory in POLICIES.items():
            with progress(f"train {name} before {window.start}", how.iterations) as advance:
                policy = trained(history.before(window.start), how, memory, settings.home_path, window.name, advance)
            daily[name] = net(positions(policy, test), test.returns).mean(1)
        daily |= {name: net(rule, test.returns).mean(1) for name, rule in rules(test).items()}
        rows += window_rows(window, daily, settings.seed)
        yearly = [f"{r['method']} {r['value']}" for r in rows if r["setting"] == window.name and r["metric"] == YEARLY]
        say(f"{window.name}: {', '.join(yearly)}")
    return rows


def trained(
    past: History, how: PPO, memory: bool, home: Path, window: str, advance: Callable[[int], None] = lambda n: None
) -> RL2:
    """Return a policy trained on all but the last HELD days of a history, and chosen on those."""
    torch.set_num_threads(1)
    days = len(past.dates)
    envs = Regimes(TRIALS, past.cut(0, days - HELD), how.steps)
    held_out = Regimes(4 * TRIALS, past.cut(days - HELD, days), how.steps)
    found = sizes(envs)
    with torch.random.fork_rng():  # torch's modules draw their starts from the global generator only
        torch.manual_seed(how.seed)
        policy = RL2(found.observations, found.actions, HIDDEN, memory)
    parts = [window, memory, asdict(how), TRIALS, HIDDEN, COST, HELD, version("acclimate")]
    key = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:12]
    train(policy, envs, held_out, how, home / "bench" / "rl2" / f"{window}-{key}.checkpoint", advance)
    return policy


def positions(policy: RL2, test: History) -> np.ndarray:
    """Return the positions [T, A] that a policy takes in one trial through all days of a history, asset by asset."""
    days, assets = test.returns.shape
    _, actions = play(Regimes(assets, test, days, every=True), Recurrent(policy), days, seed=0)
    return actions - 1.0


def rules(test: History) -> Mapping[str, np.ndarray]:
    """Return the positions [T, A] of plain rules, from features of the day."""
    x = {name: test.x[..., i].astype(float) for i, (name, _) in enumerate(FEATURES)}
    return {
        "buy and hold": np.ones_like(test.returns),
        "volatility targeting": np.minimum(1.0, np.exp(-x["vol_20"])),  # the year's volatility over the month's
        "momentum": np.sign(x["return_60"]),
    }


YEARLY = "% a year after costs"


def window_rows(window: Window, daily: Mapping[str, np.ndarray], seed: int) -> list[Row]:
    """Return rows of yearly return, Sharpe ratio and difference from buy-and-hold from daily returns [T] by method."""
    rows = list[Row]()
    base = {"suite": "rl2", "domain": GAME, "setting": window.name, "seconds": None}
    for method, values in daily.items():
        drawn, n = resampled(len(values), seed), len(values)
        measures: dict[str, Callable[[np.ndarray], np.ndarray]] = {
            YEARLY: lambda i, v=values: 100 * YEAR * v[i].mean(-1),  # type: ignore[misc]
            "Sharpe ratio": lambda i, v=values: YEAR**0.5 * v[i].mean(-1) / v[i].std(-1).clip(1e-9),  # type: ignore[misc]
        }
        if method != "buy and hold":
            over = values - daily["buy and hold"]
            measures["% a year over buy and hold"] = lambda i, v=over: 100 * YEAR * v[i].mean(-1)  # type: ignore[misc]
        for metric, measure in measures.items():
            low, high = np.quantile(measure(drawn), [0.025, 0.975])
            value = float(measure(np.arange(n)))
            row = {"method": method, "metric": metric, "value": round(value, 2), "n": n}
            rows.append(
                base | row | {"ci95": round(float(high - low) / 2, 2), "low": round(low, 2), "high": round(high, 2)}
            )
    return rows


def resampled(days: int, seed: int) -> np.ndarray:
    """Return the days [RESAMPLES, n] of a circular block bootstrap."""
    starts = np.random.default_rng(seed).integers(days, size=(RESAMPLES, -(-days // BLOCK), 1))
    return ((starts + np.arange(BLOCK)) % days).reshape(RESAMPLES, -1)[:, :days]
