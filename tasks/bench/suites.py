"""The suites of `acclimate bench`."""

from collections.abc import Callable
from importlib import import_module

from tasks.base.settings import Settings
from tasks.bench.options import BenchOptions, Row

#: Module and function of each; a function takes what ``run_suite`` takes after the name.
SUITES = {
    "quick": "quick.bench_quick",
    "adapt": "adapt.suite.bench_adapt",
    "labels": "labels.suite.bench_labels",
    "published": "published.suite.bench_published",
    "suggest": "adapt.suggest.bench_suggest",
    "omniglot": "images.fewshot.bench_omniglot",
    "miniimagenet": "images.fewshot.bench_miniimagenet",
    "lake": "images.lake.bench_lake",
    "speed": "images.speed.bench_speed",
    "device": "device.bench_device",
    "adapters": "adapters.bench_adapters",
    "federated": "federated.suite.bench_federated",
    "encoding": "encoding.bench_encoding",
    "drift": "drift.suite.bench_drift",
    "in-service": "drift.in_service.bench_in_service",
    "market": "market.suite.bench_market",
    "orchestration": "orchestration.speed.bench_orchestration",
    "faults": "orchestration.faults.bench_faults",
    "soak": "orchestration.soak.bench_soak",
    "rl2": "decisions.rl2.bench_rl2",
}


def run_suite(settings: Settings, suite: str, options: BenchOptions, say: Callable[[str], None]) -> list[Row]:
    """Run a suite of SUITES and return its rows."""
    module, function = SUITES[suite].rsplit(".", 1)
    return getattr(import_module(f"tasks.bench.{module}"), function)(settings, options, say)
