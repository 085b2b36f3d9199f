"""Meta-training of the market benchmark is short in its tests."""

import pytest

from tasks.bench.market import methods


@pytest.fixture(autouse=True)
def short(monkeypatch):
    for name in ("STEPS", "DAY_STEPS", "DRIFT_STEPS"):
        monkeypatch.setattr(methods, name, 4)
    monkeypatch.setattr(methods, "BETWEEN", 40)
