"""Problems by name, the flow that trains a policy for one, and the benchmark beside rules."""

import pytest

from domains.errors import UserError
from learners.rl2 import RL2
from tasks import bench, decision_steps, meta_train_steps, registry
from tasks.bench import Asked
from tasks.bench_rl2 import recipes, rl2
from tasks.listing import versions_of
from tasks.problems import Problem, Recipe
from tasks.smoke import smoke_test_for


@pytest.mark.parametrize("name", ["bandit-5x10", "bandit-2x1000", "mdp-10"])
def test_a_problem_is_read_from_its_name(name):
    assert Problem.parse(name).name == name


@pytest.mark.parametrize(
    "name", ["", "bandit", "bandit-1x5", "bandit-0x5", "bandit-5x1001", "mdp-101", "mdp-10 ", "../x"]
)
def test_what_is_no_problem_is_named(name):
    with pytest.raises(UserError, match=r"no problem|at most 1,000 steps"):
        Problem.parse(name)


def test_a_key_differs_where_the_policy_would():
    problem = Problem.parse("bandit-5x10")
    keys = {Recipe.of(problem, *how).key for how in ((None,), (3,), (3, False), (3, True, 1))}
    assert len(keys) == 4
    assert Recipe.of(problem).key == Recipe.of(Problem.parse("bandit-5x10")).key


def test_a_policy_is_trained_once_registered_and_in_service(settings, monkeypatch):
    for module in (decision_steps, meta_train_steps):
        monkeypatch.setattr(module, "settings", lambda: settings)
    do, pictures = decision_steps, []
    monkeypatch.setattr(do, "image_artifact", lambda key, png, title: pictures.append((key, png[:4])))
    plan = do.plan_training.fn("bandit-2x5", 2)
    assert meta_train_steps.find_finished.fn(plan) is None
    version = meta_train_steps.promote.fn(plan, do.train_and_register.fn(plan))
    do.report.fn(plan, version)
    assert meta_train_steps.find_finished.fn(do.plan_training.fn("bandit-2x5", 2)) == version
    assert not plan.folder.exists()
    model = registry.champion(settings, "meta-decisions")
    assert RL2.load(model.folder).actions == 2
    assert 1.5 < model.metrics["reward"] < 4
    smoke_test_for(settings, model)(model.folder)
    assert [shown.version for shown in versions_of(settings, "meta-decisions")] == [version]
    assert pictures == [("meta-train-decisions-rl2", b"\x89PNG"), ("meta-train-decisions-trial", b"\x89PNG")]


def test_a_damaged_policy_is_not_put_into_service(tmp_path):
    RL2(1, 2, 4).save(tmp_path)
    (tmp_path / "policy.safetensors").write_bytes(b"")
    with pytest.raises(ValueError, match="no whole policy"):
        RL2.load(tmp_path)


def test_the_benchmark_names_what_it_does_not_know():
    with pytest.raises(UserError, match="no method 'dqn'"):
        recipes(Asked(methods=("dqn",)))
    with pytest.raises(UserError, match="no problem 'chess'"):
        recipes(Asked(domains=("chess",)))


def test_the_benchmark_plays_the_same_tasks_with_every_method(settings):
    asked, said = Asked(steps=1, domains=("bandit-3x4",), methods=("rl2", "without memory", "rules")), []
    assert "rl2" in bench.SUITES
    rows = rl2(settings, asked, lambda n: None, said.append)
    by_method = {row["method"]: row for row in rows}
    assert len(said) == len(rows) == 7
    assert by_method["Gittins"]["value"] > by_method["rl2"]["value"]  # after one update
    assert by_method["rl2"]["steps_a_second"] > 0
    again = rl2(settings, asked, lambda n: None, said.append)
    assert [row["value"] for row in again] == [row["value"] for row in rows]
    assert again[0]["steps_a_second"] is None  # it was not trained again
