"""Policies of decisions in sequence are trained, compared with plain strategies, registered and shown."""

from dataclasses import replace

import numpy as np
import pytest

from domains.decisions.bandit import Bandits
from domains.errors import UserError
from learners.decisions.bandits import UCB1
from learners.decisions.policies import Policies
from tasks.decisions import problems, rivals
from tasks.decisions import steps as decision_steps
from tasks.decisions.plots import plot_curve, plot_trial
from tasks.decisions.problems import find_problem, new_policy
from tasks.decisions.steps import one_trial
from tasks.meta_train import steps as meta_train_steps
from tasks.models import registry
from tasks.models.promotion import promote_by_hand
from tasks.models.smoke_test import policies_smoke_test


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """Few trials everywhere."""
    monkeypatch.setattr(problems, "VALIDATION", 20)
    monkeypatch.setattr(rivals, "TUNING", 20)
    monkeypatch.setattr(decision_steps, "TRIALS", 20)
    monkeypatch.setattr(problems.DecisionProblem, "with_training", lambda self, n, seed=0: tiny(self, n or 2, seed))


def tiny(found, iterations, seed):
    taught = replace(found.how.imitation, iterations=1)
    how = replace(found.how, iterations=iterations - 1, every=1, seed=seed, imitation=taught)
    return replace(found, trials=8, hidden=4, how=how)


def test_a_constant_is_tuned_on_what_it_gains():
    envs = Bandits(500, 3)
    players = [UCB1(3, c) for c in (0.1, 50.0)]
    assert rivals.best_player(players, envs, 30, seed=0) is players[0]


def test_the_shown_trial_is_what_the_policy_does():
    chosen = find_problem("bandit-k5-n10")
    policy = new_policy(chosen)
    p, actions, rewards, names = one_trial(chosen, policy)
    assert p.shape == (10, 5)
    assert np.allclose(p.sum(1), 1, atol=1e-5)
    assert np.allclose(p[np.arange(10), actions], p.max(1))  # arms that it knows nothing of are alike
    assert all(name.startswith("pays ") for name in names)
    assert plot_trial("One trial", p, actions, rewards, names).startswith(b"\x89PNG")
    curve = plot_curve("Curve", [0, 5], [None, 1.0], [0.5, 2.0], {"gittins": 3.0})
    assert curve.startswith(b"\x89PNG")


def test_policies_are_trained_registered_and_put_into_service_once(settings, monkeypatch):
    for module in (decision_steps, meta_train_steps):
        monkeypatch.setattr(module, "settings", lambda: settings)
    plan = decision_steps.plan_decisions.fn(["bandit-k5-n10"], 2)
    assert meta_train_steps.find_finished.fn(plan) is None
    curves = {name: decision_steps.train.fn(plan, name) for name in plan.problems}
    version = decision_steps.register.fn(plan, curves)
    meta_train_steps.put_into_service.fn(plan, version)
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
    assert not promote_by_hand(settings, "meta-decisions", version).changed


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
