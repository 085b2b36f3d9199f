"""Price files: every layout gives the same domain, and what is wrong is named."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from domains.domain import Domain
from domains.errors import UserError
from domains.market.labels import LABELS
from domains.new_examples import read_examples
from domains.own.writing import write_domain
from tests.domains.own.inputs import understand

DAYS = 420


@pytest.fixture(scope="module")
def walks() -> pd.DataFrame:
    steps = np.random.default_rng(0).normal(0, 0.01, (DAYS, 3))
    dates = pd.bdate_range("2022-01-03", periods=DAYS, name="date")
    return pd.DataFrame(100 * np.exp(steps.cumsum(0)), dates, ["A", "B", "C"])


def saved(table: pd.DataFrame, path: Path, **how: Any) -> Path:
    table.to_csv(path, **how)
    return path


def long(walks: pd.DataFrame) -> pd.DataFrame:
    return walks.stack().rename("Close").rename_axis(["Date", "Ticker"]).reset_index()


def test_wide_and_long_tables_are_the_same_domain(walks: pd.DataFrame, tmp_path: Path) -> None:
    wide = understand(saved(walks, tmp_path / "wide.csv"))
    shuffled = long(walks).sample(frac=1, random_state=0)
    other = understand(saved(shuffled, tmp_path / "long.csv", index=False))
    assert wide.counts == other.counts
    for (a, x), (b, y) in zip(wide.rows(), other.rows(), strict=True):
        assert (a, x["date"], x["asset"], x.get("label")) == (b, y["date"], y["asset"], y.get("label"))
        np.testing.assert_allclose(x["x"], y["x"], atol=1e-4)


def test_a_source_of_prices_has_no_test(walks: pd.DataFrame, tmp_path: Path) -> None:
    found = understand(saved(walks, tmp_path / "prices.csv"), role="source")
    domain = Domain.read(write_domain(found, "mine", tmp_path / "data", lambda n: None))
    assert (domain.role, list(domain.counts)) == ("source", ["train"])


def test_labels_come_from_a_named_rule_and_the_test_is_later(walks: pd.DataFrame, tmp_path: Path) -> None:
    found = understand(saved(walks, tmp_path / "prices.csv"))
    domain = Domain.read(write_domain(found, "mine", tmp_path / "data", lambda n: None))
    assert (domain.family, domain.labels) == ("market", LABELS)
    assert domain.meta["label_rule"].startswith("volatility_state: ")
    assert domain.meta["assets"] == ["A", "B", "C"]
    assert max(domain.split("train")["date"]) < min(domain.split("test")["date"])
    assert np.array(domain.column("train")).shape == (domain.counts["train"], 16)


def test_of_open_to_volume_the_adjusted_close_is_used_and_newest_first_is_sorted(
    walks: pd.DataFrame, tmp_path: Path
) -> None:
    table = pd.DataFrame({"Open": 1, "High": 2, "Low": 1, "Close": 1, "Adj Close": walks["A"], "Volume": 9})
    found = understand(saved(table.rename_axis("Date")[::-1], tmp_path / "ACME.csv"))
    assert "prices from Adj Close" in found.kind
    assert found.notes["assets"] == ["ACME"]
    assert "dates were not in order: sorted" in found.warnings


def test_prediction_reads_the_same_layouts(walks: pd.DataFrame, tmp_path: Path) -> None:
    for path in (saved(long(walks), tmp_path / "long.csv", index=False), saved(walks, tmp_path / "wide.csv")):
        assert read_examples("market", path).names["asset"].tolist() == ["A", "B", "C"]


def test_prediction_reads_commas_newest_first_and_gaps_as_adding_does(walks: pd.DataFrame, tmp_path: Path) -> None:
    table = walks.round(4)
    expected = read_examples("market", saved(table.drop(table.index[7]), tmp_path / "plain.csv"))
    table.iloc[7, 1] = np.nan
    path = saved(table[::-1], tmp_path / "a.csv", sep=";", decimal=",")
    found = read_examples("market", path)
    np.testing.assert_array_equal(np.stack(found.examples), np.stack(expected.examples))
    assert found.names.equals(expected.names)
    assert found.warnings == understand(path).warnings
    assert [line.split()[:3] for line in found.warnings] == [["dates", "were", "not"], ["1", "date", "left"]]
    table.iloc[:100, 1] = np.nan
    with pytest.raises(UserError, match=r"a\.csv: asset B has no price on 100 of 420 dates"):
        read_examples("market", saved(table, tmp_path / "a.csv"))


def test_commas_may_stand_for_points(walks: pd.DataFrame, tmp_path: Path) -> None:
    path = saved(walks.round(4), tmp_path / "a.csv", sep=";", decimal=",")
    assert understand(path).counts == understand(saved(walks.round(4), tmp_path / "b.csv")).counts


def test_a_window_can_be_chosen(walks: pd.DataFrame, tmp_path: Path) -> None:
    path = saved(walks, tmp_path / "a.csv")
    found = understand(path, end="2023-06-30")
    assert found.division["window"][1] == "2023-06-30"
    with pytest.raises(UserError, match="--start 'soon' is not a date; write YYYY-MM-DD"):
        understand(path, start="soon")
    with pytest.raises(UserError, match="no date between --start and --end has features"):
        understand(path, start="2030-01-01")
    with pytest.raises(UserError, match="--test-share does not apply to prices"):
        understand(path, test_share=0.5)


def test_a_few_gaps_are_left_out_and_many_are_refused(walks: pd.DataFrame, tmp_path: Path) -> None:
    table = walks.copy()
    table.iloc[[7, 9], 1] = np.nan
    found = understand(saved(table, tmp_path / "a.csv"))
    assert found.warnings == ("2 dates left out on which an asset has no price, the first is 2022-01-12",)
    table.iloc[:100, 1] = np.nan
    with pytest.raises(UserError, match="asset B has no price on 100 of 420 dates"):
        understand(saved(table, tmp_path / "a.csv"))


def test_days_with_a_time_zone_are_those_at_the_exchange(walks: pd.DataFrame, tmp_path: Path) -> None:
    plain = read_examples("market", saved(walks, tmp_path / "plain.csv"))
    for zone in ("America/New_York", "UTC", "Asia/Tokyo"):
        zoned = read_examples("market", saved(walks.tz_localize(zone), tmp_path / "zoned.csv"))
        assert zoned.names.equals(plain.names)


def test_bad_prices_are_named(walks: pd.DataFrame, tmp_path: Path) -> None:
    table = walks.copy()
    table.iloc[5, 0] = 0
    with pytest.raises(UserError, match=r"a\.csv: A on 2022-01-10 is 0.*every price must be a positive number"):
        understand(saved(table, tmp_path / "a.csv"))
    with pytest.raises(UserError, match="keep one row a date"):
        understand(saved(pd.concat([walks[:9], walks[8:]]), tmp_path / "a.csv"))
    twice = pd.concat([long(walks), long(walks)[:1]])
    with pytest.raises(UserError, match="row 1261: a second price of A on 2022-01-03; keep one a day"):
        understand(saved(twice, tmp_path / "a.csv", index=False))
    with pytest.raises(UserError, match="100 dates, features need 257 or more"):
        understand(saved(walks[:100], tmp_path / "a.csv"))
    future = walks.set_axis(walks.index + pd.Timedelta(days=36525))
    with pytest.raises(UserError, match=r"row 1: '2122-\d\d-\d\d' is in the future; correct it or leave it out"):
        understand(saved(future, tmp_path / "a.csv"))
    (tmp_path / "a.csv").write_text("text,label\nx,a\n")
    with pytest.raises(UserError, match=r"row 1: 'x' is not a date"):
        understand(tmp_path / "a.csv", family="market")
