"""Measure adaptation to regimes of the stock market, and leave a picture of each regime."""

from typing import Any

from prefect import flow

from tasks.base.progress import say
from tasks.base.settings import settings
from tasks.bench.market.suite import bench_market as measure
from tasks.bench.options import BenchOptions
from tasks.watch import run_locks


@flow(name="bench-market", timeout_seconds=settings().run_seconds, on_running=[run_locks.mark])
def bench_market(methods: list[str] | None = None, regimes: list[str] | None = None) -> list[dict[str, Any]]:
    """Return the rows of every method and regime, or of those named."""
    options = BenchOptions(methods=tuple(methods or ()), domains=tuple(regimes or ()))
    return measure(settings(), options, say)
