"""A short year: commits that take data back too, ticks, and what serves in the end."""

from tasks.base.settings import Settings
from tasks.bench.options import BenchOptions
from tasks.bench.orchestration import soak


def test_every_champion_is_what_the_last_commit_asks_for_and_no_data_are_adapted_to_twice(
    monkeypatch, tmp_path
) -> None:
    monkeypatch.setattr(soak, "DOMAINS", 2)
    monkeypatch.setattr(soak, "TICKS", 2)
    monkeypatch.setattr(soak, "REVERTED", 0.7)
    said: list[str] = []
    rows = soak.bench_soak(Settings(root=tmp_path, processes=1), BenchOptions(draws=3), said.append)
    found = {row["metric"]: row["value"] for row in rows}
    assert found["adapted twice"] == found["not as asked for"] == 0
    assert 0 < found["state MB"] < 2
    assert found["tick at the end"] > 0
    assert said[-1].startswith("3 commits")
