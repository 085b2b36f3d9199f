"""Regimes are walked through forward in time, and labels of return and rank mean what they say."""

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest

from domains.errors import UserError
from domains.market.labels import HORIZON, NAMES, RULES, UNKNOWN
from domains.market.panel import Panel
from domains.market.walk import QUERY, REGIMES, STEP, SUPPORT, TemporalSplit, first_split, walk
from domains.market.windows import Window

DATES = pd.bdate_range("1990-01-01", "2022-12-30")


def walks(days: int = 330, assets: int = 6, seed: int = 0) -> pd.DataFrame:
    """Random prices [days, assets]."""
    logs = 0.01 * np.random.default_rng(seed).normal(size=(days, assets)).cumsum(0)
    return pd.DataFrame(100 * np.exp(logs), pd.bdate_range("2001-01-01", periods=days), list("ABCDEF")[:assets])


def known_in_time(cut: TemporalSplit, first: int) -> None:
    assert cut.source[-1] + HORIZON < first
    assert len(cut.support) == SUPPORT
    assert cut.support[-1] + HORIZON == cut.query[0] - 1
    assert (np.diff(cut.query) == 1).all()


@pytest.mark.parametrize("regime", REGIMES, ids=lambda regime: regime.name)
def test_outcomes_of_sources_and_support_are_known_before_they_are_used(regime: Window) -> None:
    first = int(DATES.searchsorted(pd.Timestamp(regime.start)))
    cut = first_split(DATES, regime)
    known_in_time(cut, first)
    assert cut.support[0] == first
    assert len(cut.query) == QUERY
    cuts = walk(DATES, regime)
    assert cuts[0].query[0] == cut.query[0]
    for one in cuts:
        known_in_time(one, first)
        assert (one.source == cut.source).all()
    for one, after in pairwise(cuts):
        assert after.query[0] == one.query[-1] + 1 == one.query[0] + STEP
    assert DATES[cuts[-1].query[-1]] <= pd.Timestamp(regime.end)


def test_regimes_follow_each_other() -> None:
    assert all(one.end < after.start for one, after in pairwise(REGIMES))


def test_a_regime_that_the_prices_do_not_reach_is_named() -> None:
    with pytest.raises(UserError, match="dot-com: a year of days with features is needed before 2000-03-10"):
        first_split(DATES[DATES > "1999-09-01"], REGIMES[0])
    with pytest.raises(UserError, match="rates: a year of days"):
        walk(DATES[DATES < "2020-01-01"], REGIMES[-1])
    with pytest.raises(UserError, match="rates: no day after the first 65; give prices up to a later date"):
        first_split(DATES[DATES < "2022-02-01"], REGIMES[-1])


def test_direction_is_the_sign_of_the_next_five_days() -> None:
    prices = walks()
    y = RULES["direction"](prices)
    for day in (0, 100, 324):
        assert (y.iloc[day] == (prices.iloc[day + HORIZON] > prices.iloc[day]).astype(int)).all()
    assert (y.iloc[-HORIZON:] == UNKNOWN).all(axis=None)
    still = prices.assign(A=7.0)
    assert (RULES["direction"](still)["A"].iloc[:-HORIZON] == 0).all()


def test_the_cross_section_is_in_thirds_of_the_next_five_days() -> None:
    prices = walks()
    y = RULES["cross_section"](prices)
    for day in (0, 57, 324):
        order = np.argsort(prices.iloc[day + HORIZON].to_numpy() / prices.iloc[day].to_numpy())
        assert y.iloc[day].to_numpy()[order].tolist() == [0, 0, 1, 1, 2, 2]
    assert (y.iloc[-HORIZON:] == UNKNOWN).all(axis=None)
    with pytest.raises(UserError, match="2 assets, a rank among assets needs 3 or more"):
        RULES["cross_section"](prices[["A", "B"]])


def test_every_rule_names_its_labels() -> None:
    for rule, names in NAMES.items():
        assert set(np.unique(RULES[rule](walks(500)))) == {UNKNOWN, *range(len(names))}
    assert set(NAMES) == set(RULES)


def test_what_is_known_on_a_day_is_the_same_whatever_the_future_is() -> None:
    prices, day = walks(400), 330
    shuffled = prices.copy()
    later = np.diff(np.log(prices.to_numpy()), axis=0)[day:]
    moves = np.random.default_rng(1).permutation(later)
    shuffled.iloc[day + 1 :] = prices.iloc[day].to_numpy() * np.exp(moves.cumsum(0))
    one, other = Panel.of(prices), Panel.of(shuffled)
    known = int(np.flatnonzero(one.dates == prices.index[day])[0])
    for name in ("x", "returns", "volatility", "year_volatility", "terciles"):
        assert (getattr(one, name)[: known + 1] == getattr(other, name)[: known + 1]).all()
        assert not (getattr(one, name)[known + 1 :] == getattr(other, name)[known + 1 :]).all()
    for rule in RULES:
        assert (one.y[rule][: known + 1 - HORIZON] == other.y[rule][: known + 1 - HORIZON]).all()
    assert (one.coming_return[: known + 1 - HORIZON] == other.coming_return[: known + 1 - HORIZON]).all()


def test_a_panel_has_what_came_after_each_day() -> None:
    prices = walks(400)
    panel = Panel.of(prices)
    returns, day = np.diff(np.log(prices.to_numpy()), axis=0), 100
    at = int(prices.index.get_loc(panel.dates[day]))  # returns[i] is that of day i + 1
    assert panel.returns[day] == pytest.approx(returns[at - 1])
    assert panel.coming_return[day] == pytest.approx(returns[at : at + HORIZON].sum(0))
    assert panel.coming_volatility[day] == pytest.approx(np.sqrt((returns[at : at + HORIZON] ** 2).mean(0)))
    assert panel.volatility[day, :, 2] == pytest.approx(np.sqrt((returns[at - 22 : at] ** 2).mean(0)))
    state = (panel.coming_volatility[day][:, None] > panel.terciles[day]).sum(1)
    assert (state == panel.y["volatility_state"][day]).all()
    assert np.isnan(panel.coming_return[-HORIZON:]).all()
