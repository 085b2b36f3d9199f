"""The suites of `acclimate bench`."""

from collections.abc import Callable
from importlib import import_module

from tasks.bench.asked import Asked, Row
from tasks.settings import Settings

#: Module and function of each; a function takes what ``run`` takes after the name.
SUITES = {
    "quick": "quick.quick",
    "adapt": "adapt.adapt",
    "suggest": "suggest.bench_suggest",
    "omniglot": "fewshot.omniglot",
    "miniimagenet": "fewshot.miniimagenet",
    "lake": "lake.lake",
    "speed": "speed.bench_speed",
    "drift": "drift.bench_drift",
    "market": "market.bench_market",
    "orchestration": "orchestration.orchestration",
    "faults": "faults.faults",
    "rl2": "rl2.bench_rl2",
}


def run(settings: Settings, suite: str, asked: Asked, say: Callable[[str], None]) -> list[Row]:
    """Run a suite of SUITES and return its rows."""
    module, function = SUITES[suite].split(".")
    return getattr(import_module(f"tasks.bench.{module}"), function)(settings, asked, say)
