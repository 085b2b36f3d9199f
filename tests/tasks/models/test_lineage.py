"""A model's record is enough to make it again, to the same bytes."""

import json
import shlex
import subprocess
from dataclasses import replace
from datetime import UTC, datetime

import pytest
import torch

from learners import make
from learners.classifier import FILE
from tasks.adapt import steps
from tasks.adapt.adaptation import Adaptation, adaptation_key
from tasks.adapt.plan import Plan
from tasks.adapt.steps import adapt_and_compare
from tasks.base.settings import settings as settings_of_tasks
from tasks.models import lineage, registry
from tasks.models.registry import Registered


def registered(name, version="3", params=None, tags=None):
    at = datetime(2026, 1, 2, tzinfo=UTC)
    return Registered(name, version, "", (), params or {}, {}, tags or {}, "run", at, "")


META = {"key": "c0ffee", "family": "text", "revision": "abc", "steps": "5", "learners": "ridge,maml", "code": "def"}


@pytest.fixture
def metas(monkeypatch):
    monkeypatch.setattr(registry, "versions", lambda settings, name: [registered("meta-text", "2", {}, META)])


def test_the_commands_name_the_code_the_data_the_meta_model_and_every_choice(settings, metas):
    tags = {"family": "text", "revision": "abc", "meta_version": "2", "meta_key": "c0ffee", "method": "auto"}
    tags |= {"seed": "4", "code": "def+changes", "packages": json.dumps({"torch": "0.1"})}
    found = lineage.lineage(settings, registered("hpo", "3", {"k": "5", "draws": "7", "strategy": "maml"}, tags))
    assert found["commands"] == [
        "git worktree add --detach ../acclimate-def def",
        "cd ../acclimate-def",
        f"export {lineage.AS_THERE}",
        'dvc config --local cache.dir "$OLDPWD/.dvc/cache"',
        "acclimate data build",
        "acclimate meta-train --family text --rev abc --steps 5 --learner ridge --learner maml",
        "ACCLIMATE_SEED=4 acclimate adapt hpo --k 5 --rev abc --draws 7 --method auto --meta-version c0ffee",
    ]
    assert found["packages_now_different"]["torch"][0] == "0.1"
    assert (found["strategy"], found["content_hash"]) == ("maml", "unknown")


def test_making_a_model_again_leaves_what_is_checked_out_here_alone(tmp_path):
    here = tmp_path / "here"
    here.mkdir()
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b"]
    for command in (
        ["init", "-q"],
        ["commit", "-q", "--allow-empty", "-m", "1"],
        ["commit", "-q", "--allow-empty", "-m", "2"],
    ):
        subprocess.run([*git, *command], cwd=here, check=True)
    now, before = (lineage.git(here, "rev-parse", rev).stdout.strip() for rev in ("HEAD", "HEAD~1"))
    first = lineage._first_commands({"code": before, "problems": "all"})
    assert len(first) == 3
    there = subprocess.run(
        ["sh", "-c", "\n".join([*first, "git rev-parse HEAD"])], cwd=here, capture_output=True, text=True
    )
    assert there.stdout.splitlines()[-1] == before
    assert lineage.git(here, "rev-parse", "HEAD").stdout.strip() == now


def test_a_model_of_all_labels_is_made_again_from_all_labels(settings, metas):
    found = lineage.lineage(settings, registered("hpo", "3", {"k": "all", "draws": "1"}, {"revision": "abc"}))
    assert found["k"] == "all"
    assert found["commands"][-1] == "acclimate adapt hpo --rev abc --method auto --meta-version 1"


def test_a_meta_model_has_a_command_of_its_own(settings):
    tags = META | {"learners": "", "steps": "", "sources": "nearest:8", "for": "hpo"}
    found = lineage.lineage(settings, registered("meta-text", "2", {}, tags))
    assert found["commands"][-1] == ("acclimate meta-train --family text --rev abc --sources nearest:8 --for hpo")


def test_a_model_from_before_lineage_was_kept_says_what_is_unknown(settings):
    found = lineage.lineage(settings, registered("old", "1", {"k": "10", "draws": "3"}, {"revision": "abc"}))
    assert (found["packages"], found["method"], found["code"]) == ("unknown", "unknown", "unknown")
    assert found["commands"][-1].startswith("acclimate adapt old --k 10 --rev abc --draws 3 --method auto")


def test_a_tag_that_would_be_a_command_of_the_shell_is_quoted(settings):
    command = lineage.lineage(settings, registered("old", tags={"revision": "a; rm -rf x"}))["commands"][-1]
    assert "a; rm -rf x" in shlex.split(command)


def test_what_made_a_model_is_recorded():
    found = lineage.code_and_packages()
    assert json.loads(found["packages"])["torch"]
    assert set(json.loads(found["packages"])) == set(lineage.PACKAGES)


@pytest.mark.parametrize("method", ["auto", "protonet"])
def test_two_adaptations_of_a_key_in_two_fresh_homes_give_the_same_bytes(
    method, target, letters, model, tmp_path, monkeypatch
):
    torch.manual_seed(0)
    (tmp_path / "meta").mkdir()
    replace(model, learners={"protonet": make("protonet", 8)}).save(tmp_path / "meta")
    how, made = Adaptation(k=4, draws=1, pool=20, method=method), []
    for home in ("one", "two"):
        monkeypatch.setenv("ACCLIMATE_HOME", str(tmp_path / home))
        (tmp_path / home / "encoders" / "letters-1").mkdir(parents=True)
        torch.manual_seed(len(made))  # nothing may hang on the state that a process is in
        key = adaptation_key(target, "1", how)
        plan = Plan(target, "1", tmp_path / "meta", how, key, tmp_path / home / "work" / key)
        adapt_and_compare(plan, 0.0)
        made.append((key, (plan.folder / FILE).read_bytes()))
    assert made[0] == made[1]


@pytest.fixture
def plan(target, letters, model, tmp_path, monkeypatch):
    """An adaptation of one draw, judged and registered as version 1 of its domain."""
    (tmp_path / "meta").mkdir()
    model.save(tmp_path / "meta")
    monkeypatch.setenv("ACCLIMATE_HOME", str(tmp_path / "home"))
    (tmp_path / "home/encoders/letters-1").mkdir(parents=True)
    how = Adaptation(k=4, draws=1, pool=20)
    return Plan(target, "1", tmp_path / "meta", how, "key", settings_of_tasks().home_path / "work" / "key")


def adapted(plan):
    decision, result = steps.judge(plan, adapt_and_compare(plan, 0.0))
    return steps.register(plan, result, decision)


def test_one_draw_has_no_interval_and_is_found_again(plan):
    done = adapted(plan)
    assert done.scores["acclimate"].ci95 is None
    again = steps.find_finished(plan)
    assert again == done.model_copy(update={"reused": True})
    assert "NaN" not in json.dumps(again.model_dump())


def test_where_another_came_into_service_meanwhile_the_gate_is_asked_again(plan):
    first = adapted(plan)
    second = adapted(replace(plan, key="other"))
    assert (first.decision, second.decision, second.champion_before) == ("promoted", "promoted", None)
    steps.promote(plan, first)
    said = steps.promote(replace(plan, key="other"), second)
    assert (said.decision, said.champion_before) == ("refused", "1")
    assert "equal within noise" in said.reason
    assert steps.find_finished(replace(plan, key="other")).decision == "refused"
    assert registry.champion(settings_of_tasks(), plan.domain.name).version == "1"


def test_an_installation_inside_a_repository_has_not_its_commit(tmp_path):
    for command in (["init", "-q"], ["commit", "-q", "--allow-empty", "-m", "theirs"]):
        subprocess.run(["git", "-c", "user.name=a", "-c", "user.email=a@b", *command], cwd=tmp_path, check=True)
    (tmp_path / "site-packages").mkdir()
    assert lineage.code_version(tmp_path / "site-packages") == ""
    (tmp_path / "pyproject.toml").touch()
    assert len(lineage.code_version(tmp_path)) == 40


def test_what_a_registry_says_is_never_more_than_a_word_of_a_command(settings):
    tags = META | {
        "seed": "1 touch x;",
        "method": "`touch x`",
        "code": "$(touch x)",
        "revision": "a; touch x",
        "for": "hpo' && touch x",
        "sources": "nearest:8",
    }
    for name in ("meta-text", "hpo"):
        found = lineage.lineage(
            settings, registered(name, "2", {}, tags | {"seed": "1 touch x;", "method": "`touch x`"})
        )
        words = [word for command in found["commands"] for word in shlex.split(command)]
        assert "touch" not in words
        assert "$(touch x)" in words


def test_a_result_that_names_another_domain_is_of_its_own(plan):
    done = adapted(plan)
    model = registry.get(settings_of_tasks(), plan.domain.name, done.model_version)
    done.model_copy(update={"domain": "other", "model_version": "9"}).write(model.folder)
    found = steps.find_finished(plan)
    assert (found.domain, found.model_version) == (plan.domain.name, done.model_version)
