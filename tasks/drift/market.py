"""Whether a market raised an alarm after its champion was adapted, and its regimes in hindsight."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from domains.domain import Domain
from domains.errors import UserError
from domains.market.days import MANY, Days, read_examples
from domains.market.notice import Alarm, delay_in_words, expected_delay, notice, usual_delays
from domains.market.regime import SHORTEST, Regime, Weeks, find_regime
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
    """Look for an alarm after the last day that the champion was adapted on.

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
        features = x.to_numpy().astype(float)
        assets = x.index.get_level_values(1).astype(str).tolist()
        fresh = {day for day in dates if day > until}
        if not fresh:
            raise UserError(f"{case.file}: no day after {until}, the last that the champion was adapted on; add some")
    else:
        here = snapshot(settings.root_path, settings.home_path, case.domain, case.revision)
        known = {day for split in ALL for day in dates_of(before, split)}
        fresh = {day for split in ALL for day in dates_of(here, split)} - known
        if not fresh:
            return MarketComparison(drift_result(case, "nothing new", "no day is new since the champion was adapted"))
        dates, assets, features = read_examples(here)
    sizes = {"new": len(fresh), "old": len({day for split in ("train", "pool") for day in dates_of(before, split)})}
    try:
        days = Days.after(before, dates, assets, features)
        found, alarms = regime_of(dates, features), [alarm for alarm in notice(days) if alarm.day > pd.Timestamp(until)]
    except UserError as error:
        if case.file is not None:
            raise UserError(f"{case.file}: {error}") from error
        return MarketComparison(drift_result(case, "too few", str(error), **sizes))
    many = days.assets >= MANY
    why = f"no drift (no alarm after {until}, {len(fresh):,} new days; {usual_delays(many)})"
    more: dict[str, Any] = {"adapted_until": until}
    if found is not None:
        more["change"] = None if found.last is None else f"{found.last:%Y-%m-%d}"
        more["levels"] = {name: round(value, 4) for name, value in found.levels().items()}
    if alarms:
        why = f"drift ({alarm_in_words(alarms[0], many)}; champion adapted until {until})"
        more |= alarm_facts(alarms, many)
    return MarketComparison(drift_result(case, "drift" if alarms else "no drift", why, **sizes, **more), found)


def regime_of(dates: list[str], features: np.ndarray) -> Regime | None:
    """Return the regimes in hindsight, or None of too few weeks to tell."""
    weeks = Weeks.of(dates, features)
    return find_regime(weeks) if len(weeks.dates) >= 2 * SHORTEST else None


def alarm_in_words(alarm: Alarm, many: bool) -> str:
    """Return what raised an alarm, and how late that is expected to be."""
    late = delay_in_words(*expected_delay(alarm, many))
    return f"alarm on {alarm.day:%Y-%m-%d}, {alarm.in_words()} since {alarm.began:%Y-%m-%d}; {late}"


def alarm_facts(alarms: list[Alarm], many: bool) -> dict[str, Any]:
    """Return what a result says of alarms."""
    first = alarms[0]
    change = first.change if first.by == "return" else float(np.exp(first.change))
    return {
        "alarms": [f"{alarm.day:%Y-%m-%d}" for alarm in alarms],
        "alarm_by": first.by,
        "alarm_began": f"{first.began:%Y-%m-%d}",
        "alarm_change": round(change, 4),
        "days_late": tuple(round(days) if np.isfinite(days) else None for days in expected_delay(first, many)),
    }


def dates_of(domain: Domain, split: str) -> list[str]:
    """Return the dates of a shard, ISO; none if it has none."""
    path = domain.path / f"{split}.parquet"
    if not path.exists():
        return []
    return np.unique(pq.read_table(path, columns=["date"])["date"].to_numpy(zero_copy_only=False)).tolist()
