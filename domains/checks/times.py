"""Check the dates of market examples: their order, gaps, and whether the temporal split lets anything look ahead."""

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

from domains.checks.finding import Finding, Kind, short_value
from domains.checks.scan import Scan
from domains.domain import Domain
from domains.market.labels import HORIZON
from domains.market.period import LENGTHS, Period
from domains.market.prices import MAX_GAP_DAYS, MAX_GAP_STEPS

ORDER = Kind(
    "dates-out-of-order",
    "error",
    "a row of an asset that is dated before the row of the asset above it",
    "sort the shard by date, then by asset",
)
TWICE = Kind("repeated-day", "error", "an asset that has the same date twice", "keep one row a date and asset")
GAP = Kind(
    "date-gap",
    "warning",
    "a gap in the dates that is longer than any market closure",
    "add the days that are missing, or start after the gap",
)
ASSET_GAP = Kind(
    "asset-gap",
    "warning",
    "an asset without rows on days in a row that other assets have",
    "add its prices, or leave the asset out",
)
PAST = Kind(
    "test-before-train",
    "error",
    "a test example that is not later than the last training example",
    "split by time: test after train, as it will be in use",
)
EMBARGO = Kind(
    "no-embargo",
    "error",
    "a test example before the outcome of the last training label is known: the horizons of their labels overlap",
    "leave out the days in between, as many as a label looks ahead",
)
AHEAD = Kind(
    "bad-horizon",
    "error",
    "a `horizon` in domain.yaml that is no number of days",
    "write how many trading days a label looks ahead, a whole number from 1",
)
FUTURE = Kind(
    "pool-after-test",
    "warning",
    "an unlabelled example that is not earlier than the first test example",
    "end the pool before the test begins",
)
KINDS = (ORDER, TWICE, GAP, ASSET_GAP, PAST, EMBARGO, AHEAD, FUTURE)

DAY = np.timedelta64(1, "D")


def check_times(domain: Domain, scans: Sequence[Scan]) -> list[Finding]:
    """Return what is wrong with the dates of a market's shards."""
    if domain.family != "market":
        return []
    horizon, found = days_ahead(domain)
    period: Period = next((known for known in LENGTHS if known == domain.meta.get("period")), "day")
    if not scans:
        return found
    found += [finding for scan in scans for finding in find_disorder(scan)]
    found += find_repeated_days(scans)
    by_split = {scan.split: scan for scan in scans}
    for some in ([s for s in scans if s.split != "test"], [s for s in scans if s.split == "test"]):
        found += find_gaps(some)
    found += find_asset_gaps(by_split.get("test", scans[0]), period)
    if "train" in by_split and "test" in by_split:
        found += find_overlaps(horizon, period, by_split["train"], by_split["test"], scans)
    if "pool" in by_split and "test" in by_split:
        found += find_late_pool(by_split["pool"], by_split["test"])
    return found


def days_ahead(domain: Domain) -> tuple[int, list[Finding]]:
    """Return the trading days that labels look ahead, ``horizon`` of domain.yaml, and what is wrong with it."""
    horizon = domain.meta.get("horizon", HORIZON)
    if type(horizon) is int and horizon > 0:
        return horizon, []
    return HORIZON, [Finding(AHEAD, f"{domain.name}/domain.yaml", short_value(horizon), about=f"taken for {HORIZON}")]


def days_of(*scans: Scan) -> pd.DataFrame:
    """Return day, asset, shard (its place among the scans) and place in the scan of every example."""
    parts = [
        pd.DataFrame({"day": scan.parts["day"], "asset": scan.parts["asset"], "scan": s, "i": range(len(scan))})
        for s, scan in enumerate(scans)
    ]
    return pd.concat(parts, ignore_index=True)


def finding_at(kind: Kind, scan: Scan, i: int | np.integer, about: str) -> Finding:
    """Return a finding at one example."""
    return Finding(kind, scan.file, scan.excerpt(int(i)), int(scan.rows[i]), about)


def find_disorder(scan: Scan) -> Iterator[Finding]:
    """Yield the rows whose asset has a later date further up."""
    rows = days_of(scan)
    before = rows.groupby("asset")["day"].shift()
    for i in np.flatnonzero(rows["day"] < before):
        yield finding_at(ORDER, scan, i, f"after {before[i]:%Y-%m-%d}")


def find_repeated_days(scans: Sequence[Scan]) -> Iterator[Finding]:
    """Yield the rows whose asset and date stand further up already, in any shard."""
    rows = days_of(*scans)
    seen: dict[tuple[object, object], tuple[int, int]] = {}
    for day, asset, s, i in rows[rows.duplicated(["asset", "day"], keep=False)].itertuples(index=False, name=None):
        if (asset, day) in seen:
            other, j = seen[asset, day]
            yield finding_at(TWICE, scans[s], i, f"also {scans[other].where(j)}")
        else:
            seen[asset, day] = (s, i)


def find_gaps(scans: Sequence[Scan]) -> Iterator[Finding]:
    """Yield gaps in the days of all assets together.

    A gap has more than ``MAX_GAP_DAYS`` days and MAX_GAP_STEPS usual steps (a source keeps every fifth day).
    """
    if not scans:
        return
    days = np.unique(np.concatenate([scan.parts["day"] for scan in scans]))
    steps = np.diff(days) / DAY
    for i in np.flatnonzero(steps > max(MAX_GAP_DAYS, MAX_GAP_STEPS * np.median(steps))) if len(steps) else ():
        scan, row = next((s, r) for s in scans for r in np.flatnonzero(s.parts["day"] == days[i + 1])[:1])
        yield finding_at(GAP, scan, row, f"{steps[i]:.0f} days after {days[i]}")


def find_asset_gaps(scan: Scan, period: Period) -> Iterator[Finding]:
    """Yield the days from which an asset is back. Test shards, and sources, hold every asset on each of their days."""
    rows = days_of(scan)
    rows["step"] = np.unique(rows["day"], return_inverse=True)[1]
    missing = rows.groupby("asset")["step"].diff() - 1
    for i in np.flatnonzero(missing > MAX_GAP_DAYS):
        yield finding_at(ASSET_GAP, scan, i, f"{missing[i]:.0f} {period}s that others have are missing before it")


def find_overlaps(horizon: int, period: Period, train: Scan, test: Scan, scans: Sequence[Scan]) -> Iterator[Finding]:
    """Yield test examples that do not lie after the last day of train and the horizon of its label.

    The label of day t looks at prices until t + H, with the horizon H in trading days; no day of test may come before
    that. Trading days are counted as week days, or as all days where a shard has a week-end;
    of weekly or monthly prices, the horizon is as many weeks or months.
    """
    days = np.concatenate([scan.parts["day"] for scan in scans])
    last = train.parts["day"].max()
    mask = "1111100" if np.is_busday(days).all() else "1111111"
    trading = np.busday_count(last, test.parts["day"], weekmask=mask)
    if period != "day":
        trading = np.rint((test.parts["day"] - last) / DAY / LENGTHS[period]).astype(int)
    counted = "trading days" if period == "day" else f"{period}s"
    for i in np.flatnonzero(trading < horizon):
        if test.parts["day"][i] <= last:
            yield finding_at(PAST, test, i, f"train ends on {last}")
        else:
            yield finding_at(EMBARGO, test, i, f"{trading[i]} {counted} after train ends, labels look {horizon} ahead")


def find_late_pool(pool: Scan, test: Scan) -> Iterator[Finding]:
    """Yield pool examples that are not earlier than test."""
    first = test.parts["day"].min()
    for i in np.flatnonzero(pool.parts["day"] >= first):
        yield finding_at(FUTURE, pool, i, f"test begins on {first}")
