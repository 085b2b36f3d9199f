"""The market benchmark sees nothing before its time, scores what it says, and pays for what it trades."""

from functools import cache

import numpy as np
import pytest

from domains.errors import UserError
from domains.market.labels import HORIZON
from domains.market.panel import Panel
from domains.market.walk import first_split, walk
from domains.market.windows import Window
from tasks.bench.market import suite
from tasks.bench.market.backtest import backtest
from tasks.bench.market.experts import STATE, Rule, past_opinions
from tasks.bench.market.methods import BEATEN, OURS, POOLED, methods_of
from tasks.bench.market.scores import MEAN, RegimeForecast, score_rows
from tasks.bench.market.suite import ONCE, WALK, forecast_regime
from tasks.bench.options import BenchOptions
from tests.tasks.bench.market.inputs import prices

REGIME = Window("test", "a regime", "2004-05-03", "2004-10-15", "target")
ROW = ("suite", "domain", "setting", "method", "metric", "value", "ci95", "n", "seconds")


@cache
def said(rule, changed_after=None):
    """What every method says of the regime's first query, with other prices after a day of it."""
    table = prices()
    cut = first_split(Panel.of(table).dates, REGIME)
    if changed_after is not None:
        day = int(table.index.get_loc(Panel.of(table).dates[cut.query[changed_after]]))
        later = np.diff(np.log(prices(seed=9).to_numpy()), axis=0)[day:]
        table.iloc[day + 1 :] = table.iloc[day].to_numpy() * np.exp(3 * later.cumsum(0))
    seen = Rule(Panel.of(table), rule)
    return forecast_regime(seen, REGIME, ONCE, [cut], past_opinions(seen), list(methods_of(rule)), 0)


@pytest.mark.parametrize("rule", [STATE, "direction"])
def test_no_method_says_other_things_of_a_day_when_the_days_after_it_change(rule):
    for one, other in zip(said(rule), said(rule, changed_after=2), strict=True):
        assert np.allclose(one.p.sum(2), 1, atol=1e-5)
        assert (one.p > 0).all()
        assert one.p[:3] == pytest.approx(other.p[:3], abs=1e-9), one.method
        if one.variance is not None:
            assert one.variance[:3] == pytest.approx(other.variance[:3], rel=1e-9)
        if one.method != "persistence":
            assert np.abs(one.p[8:] - other.p[8:]).max() > 1e-4


def test_every_method_has_rows_that_programs_can_read():
    rows = score_rows(said(STATE))
    assert {row["method"] for row in rows} == set(methods_of(STATE))
    assert all(tuple(row) == ROW for row in rows)
    value = {(row["method"], row["metric"]): row["value"] for row in rows}
    over = "log_loss over the best of " + ", ".join(BEATEN)
    best = min(value[method, "log_loss"] for method in BEATEN)
    assert value[OURS, over] == pytest.approx(value[OURS, "log_loss"] - best, abs=2e-5)
    gap = value[OURS, "log_loss"] - value[POOLED, "log_loss"]
    assert value[OURS, "log_loss over pooled"] == pytest.approx(gap, abs=2e-5)
    assert (POOLED, "log_loss over pooled") not in value
    assert 0 < value["HAR", "qlike"] < value["GARCH", "qlike"] + 1
    assert 0 < value[OURS, "qlike"] < value["persistence", "qlike"] + 0.1
    assert all(one.variance is None for one in said("direction"))
    assert 0 < value[OURS, "auc"] < 1


def test_the_mean_counts_regimes_alike():
    rule = Rule(Panel.of(prices()), "direction")
    judged = [
        RegimeForecast(rule, ONCE, name, POOLED, np.arange(300, 300 + days), np.full((days, 3, 2), 0.5), None, 1.0)
        for name, days in (("short", 20), ("long", 100))
    ]
    rows = [row for row in score_rows(judged) if row["metric"] == "log_loss"]
    assert [row["domain"] for row in rows] == ["short", "long", MEAN]
    assert [row["value"] for row in rows] == pytest.approx([np.log(2)] * 3, abs=1e-5)
    assert rows[2]["n"] == 120


def test_the_walk_judges_every_day_once_and_leaves_a_picture(settings):
    rule = Rule(Panel.of(prices()), STATE)
    cuts = walk(rule.panel.dates, REGIME)
    methods = [POOLED, "HAR", OURS]
    walked = forecast_regime(rule, REGIME, WALK, cuts, past_opinions(rule), methods, 0)
    assert [one.method for one in walked] == [POOLED, OURS, "HAR"]
    for one in walked:
        assert (np.diff(one.days) == 1).all()
        assert len(one.p) == len(one.losses) == len(one.days)
    suite.keep_picture(settings, walked)
    assert (settings.home_path / "bench" / "market" / "test.png").read_bytes().startswith(b"\x89PNG")


def test_names_that_are_unknown_are_told(settings):
    with pytest.raises(UserError, match=r"no method 'garch' in this benchmark; there are: persistence, .*GARCH"):
        suite.bench_market(settings, BenchOptions(methods=("garch",)))
    with pytest.raises(UserError, match="no regime 'panic' in this benchmark; there are: dot-com, calm"):
        suite.bench_market(settings, BenchOptions(domains=("panic",)))


def test_a_backtest_holds_the_best_against_the_worst_and_pays_for_every_trade():
    score = np.tile([[4.0, 3.0, 2.0, 1.0]], (10, 1))
    coming = np.tile([[0.02, 0.0, 0.0, -0.01]], (10, 1))
    found = backtest(score, coming, HORIZON, cost=0.001)
    assert found.gross == pytest.approx(0.03 * 252 / 5)
    assert found.net == pytest.approx((0.03 - 0.002) * 252 / 5)  # two units bought once, and sold at the end
    turned = backtest(np.concatenate([score[:5], -score[5:]]), coming, HORIZON, cost=0.001)
    assert turned.gross == pytest.approx(0)
    assert turned.net == pytest.approx(-0.004 * 252 / 5)
    assert backtest(score, coming, HORIZON, cost=0).net == found.gross
