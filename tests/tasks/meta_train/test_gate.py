"""A meta-model takes the place of the one in service only if it may: by the recipe or asked for, and not worse."""

import re
from dataclasses import replace

import numpy as np
import pytest
import torch

from domains.episode import Pile, Shape
from learners import make
from learners.choice.prior import Prior, Regression
from learners.meta_model import MetaModel
from learners.meta_train import Training
from tasks.features.encoders import BUILT_IN
from tasks.meta_train import gate, steps
from tasks.meta_train.gate import Comparison, UnusableError, compare, load_incumbent, unseen_piles
from tasks.meta_train.recipes import RECIPES, Recipe, training_key
from tasks.meta_train.steps import Plan, find_finished, judge, put_into_service, register, train
from tasks.meta_train.training import Piles, assemble, load_piles
from tasks.models import promotion, registry
from tasks.models.lineage import lineage

SHAPE = Shape(ways=(2, 3), shots=(1, 2), queries=8, pool=(0, 20), days=6)
TRAINING = Training(SHAPE, steps=4, batch=2, every=2, episodes=3)
RECIPE = Recipe(20, 10, {"protonet": TRAINING}, prior_episodes=4)
EPISODES = 12
OPTIONS = {"steps": "", "learners": "", "sources": "all", "for": ""}
NAME = "meta-text"


def insisting_on(learner: str) -> Prior:
    """A prior that is certain of a learner, whatever it is worth."""
    sure = Regression([0.0] * 14, [0.0] * 14, 1.0, np.zeros((14, 14)).tolist(), 0.01)
    return Prior({learner: sure})


def good_model(family="text", encoder="letters-1", dim=8, ways=None) -> MetaModel:
    return MetaModel(family, encoder, dim, ways, {"protonet": make("protonet", dim, ways)}, Prior())


def bad_model(**which) -> MetaModel:
    """A meta-model that takes a learner to which all examples look the same."""
    model = good_model(**which)
    with torch.no_grad():
        for parameter in model.learners["protonet"].parameters():
            parameter.zero_()
    return replace(model, prior=insisting_on("protonet"))


class Project:
    """Two text domains, a small recipe, and what the flow does with them."""

    def __init__(self, settings, sources):
        self.settings, self.sources, self.trained = settings, tuple(sources), 0

    def plan(self, recipe=None, **options) -> Plan:
        recipe = recipe or RECIPES["text"]
        key = training_key(self.sources, "text", recipe)
        folder = self.settings.home_path / "checkpoints" / key
        return Plan("text", "revision", self.sources, self.sources, recipe, key, folder, OPTIONS | options)

    def short(self, **options) -> Plan:
        """The plan of ``--steps 1``."""
        return self.plan(RECIPES["text"].with_steps(1), steps="1", **options)

    def meta_train(self, plan: Plan, promote=False) -> registry.Registered:
        version = find_finished.fn(plan)
        if version is None:
            self.trained += 1
            version = register.fn(plan, {name: train.fn(plan, name) for name in plan.recipe.training})
        put_into_service.fn(plan, version, judge.fn(plan, version, promote))
        return registry.get(self.settings, NAME, version)

    def log(self, model: MetaModel, plan: Plan, folder) -> str:
        """Register a made meta-model as if it had come of a plan."""
        folder.mkdir()
        model.save(folder)
        return registry.log_meta_model(self.settings, "text", folder, {}, {}, {"key": plan.key, "family": "text"})

    @property
    def in_service(self) -> str:
        return registry.champion(self.settings, NAME).version


@pytest.fixture
def project(settings, made, letters, monkeypatch) -> Project:
    monkeypatch.setattr(steps, "settings", lambda: settings)
    monkeypatch.setitem(RECIPES, "text", RECIPE)
    monkeypatch.setitem(gate.EPISODES, "text", EPISODES)
    return Project(settings, [made("large", classes=9), made("other", classes=10)])


# What a person meets


def test_a_short_training_comes_into_service_only_while_none_is(project):
    first = project.meta_train(project.short())
    assert (project.in_service, first.tags["decision"]) == ("1", "promoted")
    assert first.tags["reason"] == "no meta-model was in service"
    whole = project.meta_train(project.plan())
    assert (project.in_service, whole.tags["decision"]) == ("2", "promoted")
    assert f"on {EPISODES} held-out source episodes of 2 domains" in whole.tags["reason"]
    shorter = project.meta_train(project.plan(RECIPE.with_steps(2), steps="2"))
    assert (project.in_service, shorter.version, shorter.tags["decision"]) == ("2", "3", "refused")
    assert shorter.tags["reason"].startswith("an experiment with --steps 2, for which nobody asked with --promote; acc")
    assert lineage(project.settings, shorter)["reason"] == shorter.tags["reason"]
    assert not list((project.settings.home_path / "checkpoints").iterdir())


def test_an_experiment_that_is_asked_for_and_good_is_promoted_without_training_again(project, tmp_path, monkeypatch):
    project.log(bad_model(), project.plan(), tmp_path / "bad")
    promotion.promote_by_hand(project.settings, NAME, "1")
    assert project.meta_train(project.short()).tags["decision"] == "refused"
    monkeypatch.delattr(steps, "compare")  # it was compared with version 1 already
    found = project.meta_train(project.short(), promote=True)
    assert (project.in_service, project.trained, found.tags["decision"]) == ("2", 1, "promoted")
    assert found.tags["reason"].endswith(": significantly better")
    assert not found.tags["reason"].startswith("an experiment")


def test_one_that_is_worse_is_refused_with_a_true_sentence_asked_for_or_not(project, tmp_path):
    project.log(good_model(), project.short(), tmp_path / "good")
    promotion.promote_by_hand(project.settings, NAME, "1")
    project.log(bad_model(), project.plan(), tmp_path / "bad")
    for asked in (False, True):
        found = project.meta_train(project.plan(), asked)
        assert (project.in_service, found.tags["decision"]) == ("1", "refused")
        said = Comparison.from_json(found.tags["comparison"])
        assert found.tags["reason"] == f"{said}: significantly worse"
        assert said.high < 0
    piles = load_piles(project.settings, project.sources, RECIPE)
    again = compare(bad_model(), good_model(), "1", piles, RECIPE, EPISODES)
    assert again == said
    ours, theirs = (float(np.mean([*by.values()])) for by in (again.challenger, again.incumbent))
    assert again.difference == pytest.approx(ours - theirs)
    assert again.low <= again.difference <= again.high
    assert str(again).startswith(f"accuracy {100 * ours:.1f} % against {100 * theirs:.1f} % of version 1 on {EPISODES}")


def damage(project):
    (registry.get(project.settings, NAME, "1").folder / "protonet.safetensors").write_bytes(b"no weights")


def rewrite(project, old, new):
    path = registry.get(project.settings, NAME, "1").folder / "meta_model.json"
    path.write_text(path.read_text().replace(old, new))


BROKEN = {
    "damaged": (damage, r"version 1 in service cannot be read \(.+\)"),
    "a learner that is no more": (lambda p: rewrite(p, '"protonet"', '"gone"'), "cannot be read .*no learner 'gone'"),
    "another format": (lambda p: rewrite(p, '"prior"', '"priors"'), r"version 1 in service cannot be read \('prior'\)"),
    "another encoder": (
        lambda p: rewrite(p, "letters-1", "letters-0"),
        "version 1 in service reads features of letters-0, now the encoder is letters-1",
    ),
}


@pytest.mark.parametrize("how", BROKEN)
def test_one_in_service_that_cannot_be_used_is_replaced_even_by_a_short_training(project, tmp_path, how):
    spoil, said = BROKEN[how]
    project.log(good_model(), project.plan(), tmp_path / "good")
    promotion.promote_by_hand(project.settings, NAME, "1")
    spoil(project)
    found = project.meta_train(project.short())
    assert (project.in_service, found.tags["decision"]) == ("2", "promoted")
    assert re.search(said, found.tags["reason"])


def test_one_in_service_whose_predictions_are_no_numbers_is_replaced(project, tmp_path):
    broken = good_model()
    with torch.no_grad():
        for parameter in broken.learners["protonet"].parameters():
            parameter.fill_(float("nan"))
    project.log(replace(broken, prior=insisting_on("protonet")), project.plan(), tmp_path / "nan")
    promotion.promote_by_hand(project.settings, NAME, "1")
    found = project.meta_train(project.short())
    assert (project.in_service, found.tags["decision"]) == ("2", "promoted")
    assert "version 1 in service cannot adapt to source episodes" in found.tags["reason"]


# The same again


def test_the_same_work_is_done_decided_and_written_once(project, tmp_path):
    project.log(good_model(), project.plan(), tmp_path / "good")
    promotion.promote_by_hand(project.settings, NAME, "1")
    first, again = (project.meta_train(project.short()) for _ in range(2))
    assert (first.tags, project.trained) == (again.tags, 1)
    assert judge.fn(project.plan(), "1") is None  # in service
    by_a_person = registry.get(project.settings, NAME, "1").tags
    assert by_a_person["decision"] == "promoted by a person"


def test_what_a_person_took_out_is_not_judged(project, tmp_path):
    for number in ("1", "2"):
        project.log(good_model(), project.plan(), tmp_path / number)
        promotion.promote_by_hand(project.settings, NAME, number)
    promotion.rollback(project.settings, NAME)
    assert judge.fn(project.plan(), "2", True) is None
    assert project.meta_train(project.plan()).version == "2"
    assert project.in_service == "1"


def test_one_that_was_overtaken_is_compared_with_what_is_in_service_now(project, tmp_path):
    first = project.meta_train(project.plan())
    project.log(bad_model(), project.short(), tmp_path / "bad")
    registry.promote(project.settings, NAME, "2", lambda folder: None)
    found = project.meta_train(project.plan())
    assert (project.in_service, found.version, project.trained) == ("1", first.version, 1)
    assert f"of version 2 on {EPISODES} held-out" in found.tags["reason"]


def test_another_one_that_came_into_service_meanwhile_is_not_overwritten(project, tmp_path):
    for number in ("1", "2", "3"):
        project.log(good_model(), project.plan(), tmp_path / number)
    registry.promote(project.settings, NAME, "1", lambda folder: None)
    decision = judge.fn(project.plan(), "3")
    registry.promote(project.settings, NAME, "2", lambda folder: None)
    with pytest.raises(registry.PromotionError, match="version 2, not version 1 any more"):
        put_into_service.fn(project.plan(), "3", decision)
    assert project.in_service == "2"


# What is compared


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, "--steps 1"),
        ({"learners": "ridge,maml"}, "--steps 1 --learner ridge --learner maml"),
        ({"steps": "", "sources": "nearest:1", "for": "target"}, "--sources nearest:1"),
    ],
)
def test_an_experiment_names_the_options_that_make_it_one(project, options, said):
    assert replace(project.short(), options=OPTIONS | {"steps": "1"} | options).experiment == said


def test_the_recipe_is_no_experiment_however_it_was_asked_for(project):
    assert project.plan(RECIPE.with_steps(4), steps="4").experiment == ""
    assert replace(project.plan(sources="nearest:2"), domains=project.sources[::-1]).experiment == ""
    assert replace(project.plan(sources="nearest:1"), domains=project.sources[:1]).experiment == "--sources nearest:1"


def pile(name: str, classes: int) -> Pile:
    y = torch.arange(classes).repeat_interleave(10)
    return Pile(name, torch.randn(len(y), 8, generator=torch.Generator().manual_seed(classes)), y)


def trained_on(hashes=None, **classes) -> MetaModel:
    return replace(good_model(), about={"trained_on": classes, "sources": hashes or {}})


def test_episodes_are_of_classes_that_neither_was_trained_on():
    hashes = {"a": "1", "b": "1", "c": "1"}
    piles = Piles([], [pile("a", 6), pile("b", 6), pile("c", 6)], [], hashes=hashes)
    same = trained_on(hashes, a=[0, 1, 2], c=[0, 1, 2, 3, 4])
    other = trained_on(hashes | {"b": "2"}, b=[9])  # its classes are numbered by other data
    found, unseen = unseen_piles(piles, (same, other), RECIPE)
    assert unseen
    assert [(p.name, sorted(p.classes)) for p in found] == [("a", [3, 4, 5])]  # of c one class is left: too few
    assert unseen_piles(piles, (good_model(), trained_on(z=[1])), RECIPE) == (list(piles.validation), True)


def test_episodes_are_not_of_classes_that_the_prior_of_either_was_learned_on():
    piles = Piles([], [pile("a", 6)], [pile("b", 6)], hashes={"a": "1", "b": "1"})
    one, other = trained_on(), trained_on(piles.hashes)
    other.about["prior_learned_on"] = {"a": [0, 1]}
    found, _ = unseen_piles(piles, (one, other), RECIPE)
    assert [(p.name, sorted(p.classes)) for p in found] == [("a", [2, 3, 4, 5])]
    one.about["prior_learned_on"] = {"b": [0, 1, 2, 3, 4, 5]}
    other.about["prior_learned_on"] = {"a": [0, 1, 2, 3, 4, 5]}  # nothing is left: each has an advantage on one
    assert [p.name for p in unseen_piles(piles, (one, other), RECIPE)[0]] == ["a", "b"]


def test_where_all_was_seen_by_one_of_them_that_is_said():
    piles = Piles([], [pile("a", 6)], [], hashes={"a": "1"})
    found = compare(good_model(), trained_on({"a": "1"}, a=list(range(6))), "7", piles, RECIPE, 4)
    assert not found.unseen
    assert "4 held-out source episodes of 1 domain, on some of which one of the two was trained (" in str(found)
    assert (found.difference, found.low, found.high, found.finding) == (0, 0, 0, "not significantly worse")


def test_what_a_meta_model_was_trained_on_is_recorded(project):
    model = MetaModel.load(project.meta_train(project.plan()).folder)
    piles = load_piles(project.settings, project.sources, RECIPE)
    assert model.about["trained_on"] == {p.name: sorted(p.classes) for p in piles.train}
    assert model.about["prior_learned_on"] == {p.name: sorted(p.classes) for p in piles.prior}
    assert unseen_piles(piles, (model, model), RECIPE) == (list(piles.validation), True)


def test_markets_are_compared_by_log_likelihood(made, settings):
    recipe = Recipe(500, 3, {"protonet": TRAINING}, prior_episodes=8)
    piles = load_piles(settings, [made(f"m-{y}", first=f"{y}-01-01") for y in (2001, 2002, 2003, 2004)], recipe)
    which = {"family": "market", "encoder": "market", "dim": 4, "ways": 3}
    ours = assemble("market", piles, {}, {}, recipe)  # the days of its prior are others of these markets
    assert unseen_piles(piles, (ours, ours), recipe) == (list(piles.validation), True)
    found = compare(bad_model(**which), good_model(**which), "3", piles, recipe, 20)
    assert set(found.challenger) == {"m-2003", "m-2004"}
    assert found.high < 0
    assert found.challenger["m-2003"] == pytest.approx(-np.log(3), abs=0.05)  # it knows nothing
    assert str(found).startswith("log-likelihood -1.")
    assert " nats, 95 % interval -" in str(found)
    assert Comparison.from_json(found.to_json()) == found


def test_a_challenger_that_cannot_be_used_is_refused(project, tmp_path):
    project.log(good_model(), project.short(), tmp_path / "good")
    promotion.promote_by_hand(project.settings, NAME, "1")
    broken = bad_model()
    with torch.no_grad():
        for parameter in broken.learners["protonet"].parameters():
            parameter.fill_(float("nan"))
    project.log(broken, project.plan(), tmp_path / "nan")
    found = project.meta_train(project.plan())
    assert (project.in_service, found.tags["decision"]) == ("1", "refused")
    assert found.tags["reason"].startswith("it cannot adapt to held-out source episodes (")


def test_an_incumbent_of_another_encoder_is_not_compared(project, tmp_path, monkeypatch):
    project.log(good_model(), project.plan(), tmp_path / "good")
    monkeypatch.setitem(BUILT_IN["text"], "minilm", replace(BUILT_IN["text"]["minilm"], identity="letters-2"))
    with pytest.raises(UnusableError, match="reads features of letters-1, now the encoder is letters-2"):
        load_incumbent(registry.get(project.settings, NAME, "1"), "text")
