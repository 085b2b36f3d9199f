"""RL2 beside plain strategies: the same trials for all, paired differences, and policies that a flow registers."""

import json
from dataclasses import replace

import numpy as np
import pytest

from domains.decisions.bandit import Bandits
from domains.errors import UserError
from learners.decisions.bandits import UCB1
from learners.decisions.policies import Policies
from tasks.bench.decisions import rl2 as bench_rl2
from tasks.bench.options import Asked
from tasks.decisions import plots as plot_decisions
from tasks.decisions import problems, rivals
from tasks.decisions import steps as decision_steps
from tasks.decisions.problems import NAMES, empty, problem
from tasks.decisions.steps import one_trial
from tasks.meta_train import steps as meta_train_steps
from tasks.models import registry
from tasks.models.promotion import promote
from tasks.models.smoke_test import policies_smoke_test


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """Few trials everywhere."""
    monkeypatch.setattr(problems, "VALIDATION", 20)
    monkeypatch.setattr(rivals, "TUNING", 20)
    monkeypatch.setattr(bench_rl2, "ROUNDS", 1)
    monkeypatch.setattr(bench_rl2, "REPEATS", 2)
    monkeypatch.setattr(decision_steps, "TRIALS", 20)
    monkeypatch.setattr(problems.Problem, "asked", lambda self, n, seed=0: tiny(self, n or 2, seed))


def tiny(found, iterations, seed):
    return replace(found, trials=8, hidden=4, how=replace(found.how, iterations=iterations, every=1, seed=seed))


def test_every_game_can_be_played_by_the_policy_that_is_made_for_it():
    for name in NAMES:
        found = problem(name)
        policy, envs = empty(found), found.make(2)
        assert found.name == name
        assert policy.actions == envs.single_action_space.n
    assert (problem("bandit-k50-n500").steps, problem("mdp-n25").steps) == (500, 250)


def test_long_trials_are_played_by_the_policy_of_their_beginnings():
    for long, short in (("bandit-k5-n500", "bandit-k5-n100"), ("mdp-n25", "mdp-n10")):
        assert problem(long).key == problem(short).key
        assert problem(long).how.steps == problem(short).steps == 100
        assert problem(long).steps > 100


def test_a_game_that_is_unknown_is_told_with_those_there_are():
    with pytest.raises(UserError, match=r"no problem 'chess'; there are: bandit-k5-n10, .*, mdp-n100"):
        problem("chess")


def test_a_key_stands_for_game_recipe_and_seed():
    one = problem("bandit-k5-n10")
    keys = [one.key, problem("bandit-k10-n10").key, replace(one, hidden=9).key]
    keys.append(replace(one, how=replace(one.how, seed=1)).key)
    assert len(set(keys)) == 4
    assert one.key == problem("bandit-k5-n10").key


def test_the_benchmark_has_a_row_a_player_and_a_paired_difference(settings, capsys):
    asked = Asked(draws=30, steps=2, domains=("bandit-k5-n10", "mdp-n10"))
    said: list[str] = []
    rows = bench_rl2.bench_rl2(settings, asked, said.append)
    assert json.loads(json.dumps(rows)) == rows
    for name, players in (("bandit-k5-n10", (*rivals.INDICES, "random")), ("mdp-n10", ("psrl", "greedy", "random"))):
        gains = {r["method"]: r for r in rows if r["domain"] == name and r["metric"] == "reward of a trial"}
        assert list(gains) == ["rl2", *players]
        assert all(r["n"] == 30 and r["ci95"] > 0 for r in gains.values())
        (paired,) = [r for r in rows if r["domain"] == name and r["metric"].startswith("% more than")]
        best = max(set(players) - {"random"}, key=lambda player: gains[player]["value"])
        assert paired["metric"] == f"% more than {best}"
        expected = 100 * (gains["rl2"]["value"] / gains[best]["value"] - 1)
        assert paired["value"] == pytest.approx(expected, abs=0.01)
    assert [r["n"] for r in rows if r["metric"] == "steps a second in training"] == [2]
    again = bench_rl2.bench_rl2(settings, replace(asked, domains=("mdp-n10",)), said.append)
    mine = [{**r, "seconds": None} for r in rows if r["domain"] == "mdp-n10"]
    assert [{**r, "seconds": None} for r in again] == mine  # from the checkpoint: not trained again
    assert len(said) == 3


def test_a_constant_is_tuned_on_what_it_gains():
    envs = Bandits(500, 3)
    players = [UCB1(3, c) for c in (0.1, 50.0)]
    assert rivals.best(players, envs, 30, seed=0) is players[0]


def test_the_shown_trial_is_what_the_policy_does():
    chosen = problem("bandit-k5-n10")
    policy = empty(chosen)
    p, actions, rewards, names = one_trial(chosen, policy)
    assert p.shape == (10, 5)
    assert np.allclose(p.sum(1), 1, atol=1e-5)
    assert (actions == p.argmax(1)).all()
    assert all(name.startswith("pays ") for name in names)
    assert plot_decisions.plot_trial("One trial", p, actions, rewards, names).startswith(b"\x89PNG")
    curve = plot_decisions.plot_curve("Curve", [0, 5], [None, 1.0], [0.5, 2.0], {"gittins": 3.0})
    assert curve.startswith(b"\x89PNG")


def test_policies_are_trained_registered_and_put_into_service_once(settings, monkeypatch):
    for module in (decision_steps, meta_train_steps):
        monkeypatch.setattr(module, "settings", lambda: settings)
    plan = decision_steps.plan_decisions.fn(["bandit-k5-n10"], 2)
    assert meta_train_steps.find_finished.fn(plan) is None
    curves = {name: decision_steps.train.fn(plan, name) for name in plan.problems}
    version = decision_steps.register.fn(plan, curves)
    meta_train_steps.promote.fn(plan, version)
    assert decision_steps.report.fn(plan, version) == version
    assert meta_train_steps.find_finished.fn(plan) == version
    assert not plan.folder.exists()
    done = registry.champion(settings, "meta-decisions")
    assert (done.version, done.tags["family"], done.tags["problems"]) == (version, "decisions", "bandit-k5-n10")
    assert done.metrics.keys() == {"bandit-k5-n10_reward"}
    policies_smoke_test(done.folder)
    about = Policies.load(done.folder).about["bandit-k5-n10"]
    assert about["curve"]["iteration"] == [0, 1, 2]
    assert about["curve"]["reward"][0] is None
    assert not promote(settings, "meta-decisions", version).changed


def test_what_cannot_be_trained_is_told_first(settings, monkeypatch):
    monkeypatch.setattr(decision_steps, "settings", lambda: settings)
    with pytest.raises(UserError, match="no problem 'text'"):
        decision_steps.plan_decisions.fn(["text"])
    with pytest.raises(UserError, match="steps = 0: at least 1"):
        decision_steps.plan_decisions.fn([], 0)


def test_a_folder_without_policies_fails_its_smoke_test(tmp_path):
    Policies({}).save(tmp_path)
    with pytest.raises(ValueError, match="no policies"):
        policies_smoke_test(tmp_path)
