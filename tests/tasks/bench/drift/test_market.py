"""Quiet years and what limits are set on: blocks, counts of alarms, limits at a rate, simulated changes."""

import numpy as np
import pandas as pd
import pytest

from domains.errors import UserError
from domains.market.notice import ALLOWANCE
from domains.market.returns import YEAR
from tasks.bench.drift.dated import Dated
from tasks.bench.drift.market import days_of, known_day_rows
from tasks.bench.drift.quiet_years import (
    BLOCK,
    CHANGES,
    ONE_BY_ONE,
    Change,
    as_prices,
    count_alarms,
    count_by_limit,
    first_alarms,
    limits_of,
    shuffle_blocks,
)


def returns(days=600, assets=6, seed=0):
    rng = np.random.default_rng(seed)
    return 0.01 * (0.5 * rng.normal(size=(days, 1)) + rng.normal(size=(days, assets)))


def test_blocks_keep_days_and_assets_together_and_none_follows_itself():
    source = np.arange(200.0)[:, None] + np.array([0, 1000])
    made = shuffle_blocks(source, 3 * BLOCK + 5, np.random.default_rng(0))
    assert made.shape == (3 * BLOCK + 5, 2)
    np.testing.assert_array_equal(made[:, 1] - made[:, 0], 1000)
    starts = made[::BLOCK, 0]
    for number, start in enumerate(starts[:3]):
        np.testing.assert_array_equal(made[number * BLOCK : (number + 1) * BLOCK, 0], start + np.arange(BLOCK))
    assert (np.abs(np.diff(starts)) >= BLOCK).all()


def test_alarms_are_counted_alike_by_limit_and_together():
    z = np.random.default_rng(0).normal(size=(4, 2000))
    z[1, 5] = np.nan
    limits = np.array([2.0, 4.0, 8.0])
    assert count_by_limit(z, limits).tolist() == [count_alarms(z[None], limits[[i]]) for i in range(3)]
    steady = np.full((1, 10), 1 + ALLOWANCE)  # the sum is 1, 2, 3 and then above 2.5
    assert count_alarms(steady[None], np.array([2.5])) == 3


def test_limits_are_the_lowest_at_which_alarms_are_as_rare_as_asked():
    rng = np.random.default_rng(0)
    z = {"a": rng.normal(size=(20, 10 * YEAR)), "b": 1.4 * rng.normal(size=(20, 10 * YEAR))}
    found = limits_of(z, rate=0.1)
    assert set(found) == {"a", "b"}
    sides = np.stack([sign * steps for steps in z.values() for sign in (1, -1)])
    limits = np.array([limit for both in found.values() for limit in both])
    assert 0.04 < count_alarms(sides, limits) / 200 <= 0.11
    assert min(found["b"]) > max(found["a"])


def test_a_change_does_what_it_says():
    made, deviation = returns(), np.full(6, 0.01)
    np.testing.assert_allclose(Change(times=2).apply(made, deviation), 2 * made)
    common = Change(common=3).apply(made, deviation)
    np.testing.assert_allclose(common.mean(1), 3 * made.mean(1))
    np.testing.assert_allclose(common - common.mean(1, keepdims=True), made - made.mean(1, keepdims=True))
    week = 5 * (Change(drift=-1).apply(made, deviation) - made).mean()
    assert week == pytest.approx(-np.sqrt(5) * 0.01)
    assert len({change.in_words() for change in CHANGES}) == len(CHANGES)


def test_first_alarms_come_soon_after_large_changes_and_say_how_far_the_number_moved():
    found = first_alarms(returns(), Change(times=3), np.random.default_rng(0))
    ((late, moved),) = found[True]
    assert 0 < late < 40
    assert moved == pytest.approx(np.log(3), abs=0.3)
    assert len(found[False]) == ONE_BY_ONE
    assert first_alarms(returns(), Change(common=3), np.random.default_rng(0))[False] == []


def test_known_days_are_noticed_by_alarms_on_them_and_the_60_days_after():
    made = returns(900)
    made[700:] *= 3
    prices, said = as_prices(made), []
    jump, calm = f"{prices.index[701]:%Y-%m-%d}", f"{prices.index[500]:%Y-%m-%d}"
    rows = known_day_rows(Dated("made", lambda fetch: prices, {jump: "a jump", calm: "nothing"}), prices, said.append)
    found = {row["setting"]: row["value"] for row in rows if row["metric"] == "detected"}
    assert found == {f"{jump}, a jump": 1.0, f"{calm}, nothing": 0.0, "known days": 0.5}
    assert any("a jump: noticed after" in line for line in said)
    assert days_of(prices).assets == 6


def test_features_of_other_widths_are_refused():
    with pytest.raises(UserError, match="days of a market"):
        known_day_rows(Dated("short", lambda fetch: pd.DataFrame(), {}), as_prices(returns(300)), print)
