"""The walk-forward benchmark of trading: plain rules as they are known, and training on earlier days only."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from domains.decisions.trading import PriceHistory
from domains.market.windows import Window
from learners.decisions.rl2_train import PPO
from tasks.bench.decisions import stocks
from tasks.bench.options import BenchOptions


def prices(days=900, assets=2):
    steps = np.random.default_rng(0).normal(0.0005, 0.01, (days, assets))
    return pd.DataFrame(100 * np.exp(steps.cumsum(0)), pd.bdate_range("2001-01-01", periods=days), ["a", "b"])


TABLE = prices()
WINDOW = Window("late", "a window", str(TABLE.index[800].date()), str(TABLE.index[880].date()))


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr(stocks, "HELD", 100)
    monkeypatch.setattr(stocks, "TRIALS", 4)
    monkeypatch.setattr(stocks, "HIDDEN", 4)
    monkeypatch.setattr(stocks, "HOW", PPO(iterations=2, steps=20, epochs=1, minibatches=2, every=1))
    monkeypatch.setattr(stocks, "REGIMES", (WINDOW,))
    monkeypatch.setattr(stocks, "fetcher", lambda settings: SimpleNamespace(wheel=lambda wheel: None))
    monkeypatch.setattr(stocks.stocks, "closing_prices", lambda wheel: TABLE)


def test_rows_of_every_strategy_depend_on_nothing_that_comes_after_the_window(settings, monkeypatch, tmp_path):
    rows = stocks.bench_stocks(settings, BenchOptions(), lambda line: None)
    yearly = {row["method"]: row for row in rows if row["metric"] == stocks.YEARLY}
    assert list(yearly) == ["rl2", "rl2 without memory", "buy and hold", "volatility targeting", "momentum"]
    held = TABLE.pct_change().shift(-1).iloc[800:881].mean(axis=1)
    expected = 100 * 252 * (held.mean() - 0.0005 / 81)
    assert yearly["buy and hold"]["value"] == pytest.approx(expected, abs=0.01)
    assert all(row["n"] == 81 for row in rows)
    later = TABLE.copy()
    later.iloc[882:] = later.iloc[882:].to_numpy()[::-1]  # the last return of the window ends on day 881
    monkeypatch.setattr(stocks.stocks, "closing_prices", lambda wheel: later)
    monkeypatch.setattr(type(settings), "home_path", tmp_path / "other")
    assert stocks.bench_stocks(settings, BenchOptions(), lambda line: None) == rows


def test_plain_rules_are_long_scaled_by_volatility_or_with_the_trend():
    found = stocks.rule_positions(PriceHistory.of(TABLE))
    assert (found["buy and hold"] == 1).all()
    assert found["volatility targeting"].min() > 0
    assert found["volatility targeting"].max() == 1
    trend = np.sign(np.log(TABLE).diff(60).to_numpy()[-30:-1])
    assert (found["momentum"][-29:] == trend).mean() > 0.99
