"""How long a flow run may take: every flow has a limit, which ends what hangs."""

from importlib import import_module
from pkgutil import iter_modules

from prefect import Flow

import flows
from tasks.base.settings import settings
from tasks.clean.server_runs import FLOWS
from tasks.watch import run_locks

ASK = (
    "from flows.adapt import adapt; from flows.watch import watch; print(adapt.timeout_seconds, watch.timeout_seconds)"
)


def test_every_flow_has_a_limit_and_marks_its_runs():
    modules = [import_module(f"flows.{found.name}") for found in iter_modules(flows.__path__)]
    every = {value for module in modules for value in vars(module).values() if isinstance(value, Flow)}
    limits = {flow.name: flow.timeout_seconds for flow in every}
    assert {name for name, limit in limits.items() if limit == 600} == {"watch", "reconcile"}
    assert set(limits.values()) == {600, 12 * 3600}
    assert all(run_locks.mark in flow.on_running_hooks for flow in every)
    assert limits.keys() == set(FLOWS)  # whose old runs are deleted


def test_limits_are_settings(monkeypatch):
    monkeypatch.setenv("ACCLIMATE_RUN_LIMIT", "90s")
    monkeypatch.setenv("ACCLIMATE_TICK_LIMIT", "2m")
    assert (settings().run_seconds, settings().tick_seconds) == (90, 120)
