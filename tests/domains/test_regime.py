"""Where a market changed its regime: a step is found where it is, noise is left alone, damage is told."""

import numpy as np
import pandas as pd
import pytest

from domains.errors import UserError
from domains.market.regime import RETURN, SHORTEST, VOLATILITY, WEEK, Weeks, find_regime


def weeks(levels, seed=0):
    """A market of so many weeks, whose volatility is at the given level in each."""
    rng = np.random.default_rng(seed)
    n = len(levels)
    dates = pd.bdate_range("2020-01-03", periods=n, freq="W-FRI")
    return Weeks(dates, np.asarray(levels) + 0.2 * rng.normal(size=n), 0.5 * rng.normal(size=n))


def days(count, first="2020-01-01", assets=2):
    """Dates and features [count * assets, 16]; the volatility of a day is its number."""
    dates = [f"{day:%Y-%m-%d}" for day in pd.bdate_range(first, periods=count) for _ in range(assets)]
    x = np.zeros((count * assets, 16))
    x[:, VOLATILITY] = np.repeat(np.arange(count), assets)
    x[:, RETURN] = -x[:, VOLATILITY]
    return dates, x


def test_a_step_is_found_in_its_week_with_levels_before_and_after():
    series = weeks([0.0] * 40 + [1.0] * 20)
    found = find_regime(series)
    assert found.changes == (40,)
    assert found.last == series.dates[40]
    levels = found.levels()
    assert levels["volatility_before"] == pytest.approx(1.0, abs=0.1)
    assert levels["volatility_after"] == pytest.approx(np.e, abs=0.3)


def test_the_last_of_two_changes_counts():
    found = find_regime(weeks([0.0] * 30 + [1.5] * 20 + [0.0] * 20))
    assert found.changes == (30, 50)
    assert found.levels()["volatility_before"] > 3


def test_noise_has_no_change():
    assert sum(bool(find_regime(weeks([0.0] * 52, seed)).changes) for seed in range(20)) == 0


def test_prices_that_never_move_have_no_change():
    still = Weeks(pd.bdate_range("2020-01-03", periods=30, freq="W-FRI"), np.full(30, -3.0), np.zeros(30))
    found = find_regime(still)
    assert (found.changes, found.last, found.levels()) == ((), None, {})


def test_every_fifth_day_is_taken_so_that_weeks_do_not_overlap_and_the_last_day_is_one():
    found = Weeks.of(*days(23))
    assert found.volatility.tolist() == [2, 7, 12, 17, 22]
    assert found.returns.tolist() == [-2, -7, -12, -17, -22]
    dates, x = days(23)
    shuffled = np.random.default_rng(0).permutation(len(dates))
    again = Weeks.of([dates[i] for i in shuffled], x[shuffled])
    assert again.dates.equals(found.dates)


def test_days_that_are_a_week_apart_are_all_taken():
    dates, x = days(50)
    apart = [i for i in range(len(dates)) if (i // 2) % WEEK == 0]
    assert len(Weeks.of([dates[i] for i in apart], x[apart]).dates) == 10


def test_a_number_that_is_none_is_told_with_its_day():
    dates, x = days(20)
    x[11, 3] = np.nan
    with pytest.raises(UserError, match=f"the example of {dates[11]} has a feature that is not a number"):
        Weeks.of(dates, x)


def test_other_features_and_too_few_weeks_are_refused():
    with pytest.raises(UserError, match="16 numbers an example are needed"):
        Weeks.of(["2020-01-01"], np.zeros((1, 4)))
    with pytest.raises(UserError, match=f"15 weeks of a market; a change of regime takes {2 * SHORTEST} to tell"):
        find_regime(weeks([0.0] * 15))
