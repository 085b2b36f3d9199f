"""Another regime of a market, noticed as the days come: by nothing but the past, and not where nothing moves."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from domains.errors import UserError
from domains.market import days as days_module
from domains.market.days import MANY, Days
from domains.market.features import FEATURES, features
from domains.market.notice import (
    DELAYS,
    LIMITS,
    MOST,
    REFERENCE,
    Alarm,
    delay_in_words,
    delay_of,
    deviations,
    expected_delay,
    notice,
    usual_delays,
)
from domains.market.returns import YEAR


def market(assets, jump=1.0, days=700, common=0.5, seed=0):
    """Days of a market whose returns are ``jump`` times as large on its last 100 days."""
    rng = np.random.default_rng(seed)
    returns = 0.005 * (common * rng.normal(size=(days, 1)) + rng.normal(size=(days, assets)))
    returns[-100:] *= jump
    prices = pd.DataFrame(100 * np.exp(returns.cumsum(0)), pd.bdate_range("2020-01-01", periods=days))
    return days_of(prices.add_prefix("A"))


def days_of(prices):
    x = features(prices)
    dates, names = (x.index.get_level_values(level) for level in (0, 1))
    return Days.of([f"{day:%Y-%m-%d}" for day in dates], list(names), x.to_numpy().astype(float))


def first(days, count):
    return Days(days.dates[:count], days.assets, {name: series[:count] for name, series in days.numbers.items()})


def alarm(change, by="dispersion"):
    day = pd.Timestamp("2020-03-11")
    return Alarm(day, 100, by, day - pd.Timedelta(days=9), change)


@pytest.mark.parametrize(("assets", "number"), [(8, "dispersion"), (1, "volatility")])
def test_returns_that_are_twice_as_large_raise_an_alarm_soon_after(assets, number):
    days = market(assets, jump=2.5)
    found = notice(days)[0]
    begun = len(days.dates) - 100
    assert begun < found.at < begun + 60
    assert (found.by, found.day) == (number, days.dates[found.at])
    assert abs(days.dates.get_loc(found.began) - begun) < 15
    assert 1.5 < np.exp(found.change) < 4
    assert found.in_words().startswith(f"{number} ")


def test_assets_that_come_to_move_together_raise_an_alarm_though_none_moves_more():
    rng = np.random.default_rng(2)
    own, shared = rng.normal(size=(700, 10)), rng.normal(size=(700, 1))
    share = np.where(np.arange(700) < 600, 0.2, 0.95)[:, None]
    returns = 0.005 * (np.sqrt(share) * shared + np.sqrt(1 - share) * own)
    prices = pd.DataFrame(100 * np.exp(returns.cumsum(0)), pd.bdate_range("2020-01-01", periods=700)).add_prefix("A")
    found = notice(days_of(prices))
    assert found
    assert found[0].by in ("common movement", "dispersion")


@pytest.mark.parametrize("assets", [8, 1])
def test_without_a_change_there_is_no_alarm(assets):
    assert [notice(market(assets, seed=seed)) for seed in range(5)] == [()] * 5


@pytest.mark.parametrize("assets", [8, 1])
def test_an_alarm_depends_on_days_up_to_its_own_only(assets):
    days = market(assets, jump=3.0)
    alarms = notice(days)
    assert alarms
    for count in (alarms[0].at, alarms[0].at + 1, len(days.dates) - 5):
        assert notice(first(days, count)) == tuple(each for each in alarms if each.at < count)


def test_deviations_are_taken_from_the_days_before_and_at_most_a_year_of_them():
    series = np.random.default_rng(0).normal(size=3 * YEAR)
    z, mean = deviations(series)
    assert np.isnan(z[:REFERENCE]).all()
    at = 2 * YEAR + 7
    year = series[at - YEAR : at]
    assert mean[at] == pytest.approx(year.mean())
    assert z[at] == pytest.approx(np.clip((series[at] - year.mean()) / year.std(), -MOST, MOST))
    assert mean[REFERENCE] == pytest.approx(series[:REFERENCE].mean())
    later = series.copy()
    later[at + 1 :] = 100
    np.testing.assert_array_equal(deviations(later)[0][: at + 1], z[: at + 1])


def test_days_without_a_number_are_passed_over_and_too_few_are_no_reference():
    series = np.random.default_rng(0).normal(size=200)
    series[150] = np.nan
    z, mean = deviations(series)
    assert np.isnan(z[150])
    assert np.isfinite(z[151:]).all()
    assert mean[151] == pytest.approx(np.nanmean(series[:151]))
    assert np.isnan(deviations(np.where(np.arange(200) % 5, np.nan, 1.0))[0][:100]).all()


def test_prices_that_never_move_raise_no_alarm():
    for assets in (1, MANY):
        prices = pd.DataFrame(50.0, pd.bdate_range("2020-01-01", periods=500), [f"A{i}" for i in range(assets)])
        assert notice(days_of(prices)) == ()


def test_the_numbers_of_few_assets_and_of_many_have_limits_and_delays():
    for assets in (1, MANY - 1, MANY):
        many = assets >= MANY
        assert set(market(assets, days=400).numbers) == set(LIMITS[many]) == set(DELAYS[many])
    assert all(limit > 0 for limits in LIMITS.values() for sides in limits.values() for limit in sides)


def test_the_order_of_examples_does_not_matter():
    x = np.random.default_rng(0).normal(size=(100, len(FEATURES)))
    dates = [f"{day:%Y-%m-%d}" for day in pd.bdate_range("2020-01-01", periods=50) for _ in "AB"]
    some = np.random.default_rng(1).permutation(100)
    found = Days.of(dates, ["A", "B"] * 50, x)
    again = Days.of([dates[i] for i in some], [["A", "B"][i % 2] for i in some], x[some])
    assert found.dates.equals(again.dates)
    for name, series in found.numbers.items():
        np.testing.assert_allclose(series, again.numbers[name])


def test_days_of_the_domain_before_are_put_in_front_of_new_ones_of_the_same_assets(monkeypatch):
    x, names = np.random.default_rng(0).normal(size=(160, len(FEATURES))), ["A", "B"] * 80
    dates = [f"{day:%Y-%m-%d}" for day in pd.bdate_range("2020-01-01", periods=80) for _ in "AB"]
    monkeypatch.setattr(days_module, "read_examples", lambda domain: (dates[:110], [*names[:108], "C", "B"], x[:110]))
    found = Days.after(None, dates[100:], names[100:], x[100:])
    whole = Days.of(dates, names, x)
    assert (found.assets, found.dates.equals(whole.dates)) == (2, True)
    for name, series in whole.numbers.items():
        np.testing.assert_array_equal(found.numbers[name], series)
    assert len(Days.after(None, dates[100:], ["Z"] * 60, x[100:]).dates) == 30


def test_what_is_missing_is_told_in_one_line():
    dates, x = [f"{day:%Y-%m-%d}" for day in pd.bdate_range("2020-01-01", periods=60)], np.zeros((60, 16))
    with pytest.raises(UserError, match="60 days of a market; to notice another regime takes more than 60"):
        notice(Days.of(dates, ["A"] * 60, x))
    with pytest.raises(UserError, match="16 numbers an example are needed, found shape"):
        Days.of(dates, ["A"] * 60, x[:, :4])
    x[11, 3] = np.inf
    with pytest.raises(UserError, match=f"the example of {dates[11]} has a feature that is not a number"):
        Days.of(dates, ["A"] * 60, x)


def test_the_expected_delay_is_that_of_changes_of_the_size_and_direction_found(monkeypatch):
    table = ((-0.7, 20.0, 50.0), (-0.4, 60.0, float("inf")), (0.4, 30.0, 80.0), (0.8, 10.0, 20.0))
    monkeypatch.setitem(DELAYS[True], "dispersion", table)
    assert expected_delay(alarm(0.4), many=True) == (30, 80)
    assert expected_delay(alarm(0.6), many=True) == pytest.approx((20, 50))
    assert expected_delay(alarm(5.0), many=True) == (10, 20)
    assert expected_delay(alarm(-0.1), many=True) == (60, float("inf"))
    assert delay_of("dispersion", -0.55, many=True)[0] == pytest.approx(40)


def test_how_late_alarms_are_is_said_in_words():
    never = float("inf")
    assert delay_in_words(12.4, 30) == "half of such changes are noticed within 12 days, nine of ten within 30"
    assert delay_in_words(12.4, never).endswith("12 days, more than one of ten not within a year")
    assert delay_in_words(never, never) == "most such changes are not noticed within a year"
    assert usual_delays(many=True).startswith("of changes of dispersion to 2 times, half are noticed within ")
    assert usual_delays(many=False).startswith("of changes of volatility to 3 times, ")


def test_changes_are_named_in_the_units_of_their_number():
    assert alarm(np.log(2)).in_words() == "dispersion 2.00 times that of the days before"
    assert replace(alarm(-1.5), by="return").in_words() == "return -1.50 times the volatility of a week, a week"
