"""Trading trials: what is known and paid when, so that no test of a strategy can look ahead."""

import numpy as np
import pandas as pd
import pytest
from gymnasium.utils.env_checker import check_env

from domains.decisions.single import TrialEnvironment
from domains.decisions.trading import COST, PriceHistory, Regimes, net_returns
from domains.errors import UserError
from domains.market.features import WARM_UP


def prices(days=330, assets=3, seed=0):
    steps = np.random.default_rng(seed).normal(0.0003, 0.01, (days, assets))
    return pd.DataFrame(100 * np.exp(steps.cumsum(0)), pd.bdate_range("2001-01-01", periods=days), list("abc"[:assets]))


TABLE = prices()
HISTORY = PriceHistory.of(TABLE)


def test_a_day_knows_prices_up_to_its_close_and_is_paid_by_the_next():
    day = 20
    today, tomorrow = TABLE.iloc[WARM_UP + day], TABLE.iloc[WARM_UP + day + 1]
    assert HISTORY.dates[day] == TABLE.index[WARM_UP + day]
    assert HISTORY.returns[day] == pytest.approx((tomorrow / today - 1).to_numpy())
    changed = TABLE.copy()
    changed.iloc[WARM_UP + day + 1 :] *= 1.5
    assert np.array_equal(PriceHistory.of(changed).x[: day + 1], HISTORY.x[: day + 1])


def test_what_lies_before_a_date_holds_no_return_that_ends_on_it_or_later():
    date = HISTORY.dates[30]
    past, coming = HISTORY.before(str(date.date())), HISTORY.within(str(date.date()), "2099-01-01")
    assert past.dates[-1] == HISTORY.dates[28]  # its return ends on day 29
    assert coming.dates[0] == date
    assert len(past.returns) == len(past.x) == 29


def test_a_step_pays_the_position_times_the_next_return_less_the_cost_of_its_change():
    steps = len(HISTORY.dates)
    envs = Regimes(3, HISTORY, steps, every=True)
    envs.reset(seed=0)
    actions = np.random.default_rng(0).integers(3, size=(steps, 3))
    paid = np.stack([envs.step(action)[1] for action in actions])
    assert paid / 100 == pytest.approx(net_returns(actions - 1.0, HISTORY.returns), abs=1e-7)
    still = net_returns(np.ones((4, 1)), np.full((4, 1), 0.01))
    assert still[:, 0] == pytest.approx([0.01 - COST, 0.01, 0.01, 0.01])
    turned = net_returns(np.array([[1.0], [-1.0]]), np.full((2, 1), 0.01))
    assert turned[:, 0] == pytest.approx([0.01 - COST, -0.01 - 2 * COST])


def test_trials_are_cut_from_the_given_days_alone_and_fixed_by_their_seed():
    envs = Regimes(400, HISTORY.cut(10, 60), 20)
    one, _ = envs.reset(seed=1)
    first, asset = envs.day.copy(), envs.asset.copy()
    assert (first.min(), first.max()) == (0, 30)
    assert np.array_equal(one, HISTORY.x[10 + first, asset])
    assert np.array_equal(envs.reset(seed=1)[0], one)
    assert not np.array_equal(envs.reset(seed=2)[0], one)


@pytest.mark.filterwarnings("ignore")
def test_one_trial_of_trading_is_an_environment_by_gymnasiums_own_check():
    check_env(TrialEnvironment(lambda n: Regimes(n, HISTORY, 15), 15), skip_render_check=True)


def test_a_span_that_is_too_short_for_a_trial_is_told():
    with pytest.raises(UserError, match="2 trials of 21 days: there are 20 days; choose fewer"):
        Regimes(2, HISTORY.cut(0, 20), 21)
