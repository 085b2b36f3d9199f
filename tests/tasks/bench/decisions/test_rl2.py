"""The benchmark of RL2: the same trials for all players, paired differences, and no policy trained twice."""

import json
from dataclasses import replace

import pytest

from domains.errors import UserError
from tasks.bench.decisions import rl2
from tasks.bench.options import BenchOptions
from tasks.decisions import problems, rivals

PLANNERS = ("psrl", "opsrl", "ucrl2", "beb", "beb at every step", "bonus", "bonus at every step")
PLAYERS = {
    "bandit-k5-n10": ("gittins", "ucb1", "thompson", "epsilon-greedy", "greedy", "random"),
    "mdp-n10": (*PLANNERS, "epsilon-greedy", "greedy", "random"),
}


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """Few trials everywhere."""
    monkeypatch.setattr(problems, "VALIDATION", 20)
    monkeypatch.setattr(problems, "STEPS", 800)
    monkeypatch.setattr(rivals, "TUNING", 20)
    monkeypatch.setattr(rl2, "VALIDATION", 20)
    monkeypatch.setattr(rl2, "ROUNDS", 1)
    monkeypatch.setattr(rl2, "REPEATS", 2)
    monkeypatch.setattr(problems.DecisionProblem, "with_training", lambda self, n, seed=0: tiny(self, n or 2, seed))


def tiny(found, iterations, seed):
    taught = replace(found.how.imitation, iterations=min(1, found.how.imitation.iterations))
    how = replace(found.how, iterations=iterations, every=1, seed=seed, imitation=taught)
    return replace(found, trials=8, hidden=4, how=how)


def test_the_benchmark_has_a_row_a_player_and_a_paired_difference(settings, capsys):
    options = BenchOptions(draws=30, steps=2, domains=("bandit-k5-n10", "mdp-n10"), device="cpu")
    said: list[str] = []
    rows = rl2.bench_rl2(settings, options, said.append)
    assert json.loads(json.dumps(rows)) == rows
    for name, players in PLAYERS.items():
        gains = {r["method"]: r for r in rows if r["domain"] == name and r["metric"] == "reward of a trial"}
        assert list(gains) == ["rl2", *players]
        assert all(r["n"] == 30 and r["ci95"] > 0 for r in gains.values())
        (paired,) = [r for r in rows if r["domain"] == name and r["metric"].startswith("% more than")]
        best = max(set(players) - {"random"}, key=lambda player: gains[player]["value"])
        assert paired["metric"] == f"% more than {best}"
        expected = 100 * (gains["rl2"]["value"] / gains[best]["value"] - 1)
        assert paired["value"] == pytest.approx(expected, abs=0.01)
    speeds = {(r["method"], r["metric"]): r["n"] for r in rows if r["metric"].startswith("steps a second")}
    metrics = [f"steps a second in {what}, cpu" for what in ("training", "play")]
    assert speeds == {(f"rl2 {memory}", metric): 2 for memory in rl2.MEMORIES for metric in metrics}
    again = rl2.bench_rl2(settings, replace(options, domains=("mdp-n10",)), said.append)
    mine = [{**r, "seconds": None} for r in rows if r["domain"] == "mdp-n10"]
    assert [{**r, "seconds": None} for r in again] == mine  # from the checkpoint: not trained again
    assert len(said) == 3


def test_memories_are_compared_in_the_same_trials(settings):
    options = BenchOptions(draws=30, steps=2, domains=("mdp-n10",), methods=("gru", "attention"), device="cpu")
    rows = rl2.bench_rl2(settings, options, lambda line: None)
    assert [r["method"] for r in rows if r["seconds"] is not None] == ["rl2 gru", "rl2 attention"]
    assert [r["method"] for r in rows if r["metric"].startswith("% more than")] == ["rl2 gru", "rl2 attention"]
    with pytest.raises(UserError, match="no memory 'lstm'"):
        rl2.bench_rl2(settings, replace(options, methods=("lstm",)), lambda line: None)
