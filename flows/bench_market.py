"""Measure adaptation to regimes of the stock market, and leave a picture of each regime."""

from typing import Any

from prefect import flow

from tasks import bench
from tasks.progress import say
from tasks.settings import settings


@flow(name="bench-market")
def bench_market(methods: list[str] | None = None, regimes: list[str] | None = None) -> list[dict[str, Any]]:
    """Return the rows of every method and regime, or of those named."""
    asked = bench.Asked(methods=tuple(methods or ()), domains=tuple(regimes or ()))
    return bench.run(settings(), "market", asked, say)
