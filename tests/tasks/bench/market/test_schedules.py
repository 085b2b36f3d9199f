"""A champion adapts on the days that its schedule names, on what is known by then, and on no others."""

import numpy as np
import pytest
import torch

from domains.market.labels import HORIZON
from domains.market.panel import Panel
from tasks.bench.market import schedules
from tasks.bench.market.experts import STATE, Rule, past_opinions
from tasks.bench.market.schedules import SCHEDULES, every, on_alarm, schedule_rows, walk_by
from tests.tasks.bench.market.inputs import prices

DAYS = np.arange(600, 640)


def test_the_calendar_counts_from_the_first_day():
    assert every(20)(None, DAYS).tolist() == [600, 620]
    assert len(every(5)(None, DAYS)) == 8
    assert len(SCHEDULES["never"](None, DAYS)) == 0


def test_between_adaptations_the_last_one_holds():
    logits, asked = torch.zeros(40, 2, 3), []

    def adapt(day):
        asked.append(day)
        return lambda days: torch.tensor([0.0, 0.0, day / 100]).expand(days.stop - days.start, 2, 3)

    p = walk_by(logits, DAYS, [610, 630], adapt)
    assert asked == [610, 630]
    assert p[:10] == pytest.approx(1 / 3)
    assert np.log(p[10:30, :, 2] / p[10:30, :, 0]) == pytest.approx(6.1, abs=1e-4)
    assert np.log(p[30:, :, 2] / p[30:, :, 0]) == pytest.approx(6.3, abs=1e-4)
    assert walk_by(logits, DAYS, [], adapt) == pytest.approx(1 / 3)


def walked(table, step):
    rule = Rule(Panel.of(table), STATE)
    past = past_opinions(rule)
    days = np.arange(600, 630)
    pools = schedules.learn_pools(rule, past, days)
    said, adapt = schedules.not_adapted(pools, past, days), schedules.by_support(rule, pools, past)
    return walk_by(said, days, every(step)(rule.panel, days), adapt)


def test_no_schedule_reads_a_later_day():
    table = prices()
    other = table.copy()
    day = int(table.index.get_loc(Panel.of(table).dates[612]))
    later = np.diff(np.log(prices(seed=9).to_numpy()), axis=0)[day:]
    other.iloc[day + 1 :] = table.iloc[day].to_numpy() * np.exp(3 * later.cumsum(0))
    one, two = walked(table, 5), walked(other, 5)
    assert one[:13] == pytest.approx(two[:13], abs=1e-9)
    assert np.abs(one[20:] - two[20:]).max() > 1e-4


def test_an_alarm_is_a_day_of_the_walk_and_does_not_depend_on_later_ones():
    table = prices(900, assets=6)
    table.iloc[700:] = table.iloc[699].to_numpy() * np.exp(6 * np.log(table.iloc[700:] / table.iloc[699].to_numpy()))
    panel = Panel.of(table)
    days = np.arange(300, len(panel.dates))
    alarms = on_alarm(panel, days)
    assert any(700 - 256 <= alarm <= 700 - 256 + 60 for alarm in alarms)
    shorter = Panel.of(table.iloc[:-50])
    assert on_alarm(shorter, days[:-50]).tolist() == [alarm for alarm in alarms if alarm < len(shorter.dates)]


def test_every_schedule_has_its_rows(monkeypatch):
    rule = Rule(Panel.of(prices()), STATE)
    monkeypatch.setattr(schedules, "START", f"{rule.panel.dates[600]:%Y-%m-%d}")
    rows = schedule_rows(rule, past_opinions(rule))
    value = {(row["method"], row["metric"]): row["value"] for row in rows}
    n = len(rule.panel.dates) - HORIZON - 600
    assert {row["n"] for row in rows} == {n}
    assert value["adapted every day, decayed", "adaptations"] == n
    assert value["adapted never", "adaptations"] == 0
    assert value["adapted every 20 days", "adaptations"] == -(-n // 20)
    assert value["adapted every 5 days", "adaptations"] == -(-n // 5)
    gap = value["adapted every 5 days", "log_loss"] - value["adapted never", "log_loss"]
    assert value["adapted every 5 days", "log_loss over never"] == pytest.approx(gap, abs=2e-5)
    assert ("adapted never", "log_loss over never") not in value
