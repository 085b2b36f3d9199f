"""Whether a market changed its regime after its champion was adapted."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from domains.domain import Domain
from domains.errors import UserError
from domains.market.regime import Regime, Weeks, find_regime
from domains.new_examples import price_features
from domains.reading.price_options import PriceOptions
from tasks.base.progress import say
from tasks.base.settings import Settings
from tasks.drift.cases import ALL, DriftCase, DriftResult, domain_adapted_on, drift_result, has_same_data
from tasks.models.lookup import input_of
from tasks.versions.snapshots import snapshot


@dataclass(frozen=True)
class MarketComparison:
    """The outcome, and the regimes that a report draws; None where there was nothing to compare."""

    result: DriftResult
    regime: Regime | None = None


def compare_market(settings: Settings, case: DriftCase) -> MarketComparison:
    """Look for a change of regime after the last day that the champion was adapted on.

    Raises:
        UserError: as ``domain_adapted_on``; a file has no prices, no day after that one, or too few days.
    """
    input_of(case.champion)
    if case.file is None and has_same_data(case):
        return MarketComparison(drift_result(case, "nothing new", "nothing new since the champion was adapted"))
    before = domain_adapted_on(settings, case)
    if (period := before.meta.get("period", "day")) != "day":
        raise UserError(
            f"domain {before.name}: {period}ly prices, and changes of regime are found in daily ones; add it from those"
        )
    until = max(day for split in ("train", "pool") for day in dates_of(before, split))
    if case.file is not None:
        x, doubts = price_features(case.file, PriceOptions.of_domain(before.meta))
        for doubt in doubts:
            say(f"warning: {case.file}: {doubt}")
        dates = [f"{day:%Y-%m-%d}" for day in x.index.get_level_values(0)]
        weeks = Weeks.of(dates, x.to_numpy().astype(float))
        fresh = {day for day in dates if day > until}
        if not fresh:
            raise UserError(f"{case.file}: no day after {until}, the last that the champion was adapted on; add some")
    else:
        here = snapshot(settings.root_path, settings.home_path, case.domain, case.revision)
        known = {day for split in ALL for day in dates_of(before, split)}
        fresh = {day for split in ALL for day in dates_of(here, split)} - known
        if not fresh:
            return MarketComparison(drift_result(case, "nothing new", "no day is new since the champion was adapted"))
        weeks = Weeks.read(here)
    sizes = {"new": len(fresh), "old": len({day for split in ("train", "pool") for day in dates_of(before, split)})}
    try:
        found = find_regime(weeks)
    except UserError as error:
        if case.file is not None:
            raise UserError(f"{case.file}: {error}") from error
        return MarketComparison(drift_result(case, "too few", str(error), **sizes))
    drifted = found.last is not None and found.last > pd.Timestamp(until)
    why = f"no drift (no change of regime after {until}, {len(fresh):,} new days)"
    levels = {name: round(value, 4) for name, value in found.levels().items()}
    if drifted:
        why = (
            f"drift (regime changed in the week to {found.last:%Y-%m-%d}, champion adapted until {until}): volatility "
            f"{levels['volatility_before']:.2f} to {levels['volatility_after']:.2f} of the year before"
        )
    change = None if found.last is None else f"{found.last:%Y-%m-%d}"
    state = drift_result(
        case, "drift" if drifted else "no drift", why, **sizes, change=change, levels=levels, adapted_until=until
    )
    return MarketComparison(state, found)


def dates_of(domain: Domain, split: str) -> list[str]:
    """Return the dates of a shard, ISO; none if it has none."""
    path = domain.path / f"{split}.parquet"
    if not path.exists():
        return []
    return np.unique(pq.read_table(path, columns=["date"])["date"].to_numpy(zero_copy_only=False)).tolist()
