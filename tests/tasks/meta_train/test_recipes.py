"""Recipes of meta-training: every family has one, learners and steps can be chosen, and a key stands for the work."""

from dataclasses import replace

import pytest

from domains.domain import FAMILIES
from domains.episode import Shape
from domains.errors import UserError
from learners import trainable
from learners.meta_train import Training
from tasks.meta_train.recipes import RECIPES, Recipe, training_key

SHAPE = Shape(ways=(2, 3), shots=(1, 4), queries=4, pool=(0, 20), days=6)
TRAINING = Training(SHAPE, steps=4, batch=2, every=2, episodes=3)
RECIPE = Recipe(20, 10, dict.fromkeys(("protonet", "maml", "reference"), TRAINING), prior_episodes=8)


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_has_a_recipe_and_any_other_learner_can_be_asked_for(family):
    shared = family == "market"
    assert set(RECIPES[family].training) <= set(trainable(shared))
    every = RECIPES[family].with_learners(trainable(shared))
    assert list(every.training) == trainable(shared)
    assert every.training["maml"] == RECIPES[family].training["maml"]
    assert every.training["reptile"].optimiser == "sgd"
    with pytest.raises(UserError, match=r"no learner 'reptyle' for this family; there are: maml, .*reference"):
        RECIPES[family].with_learners(["reptyle"])
    assert len({training.shape for training in RECIPES[family].training.values()}) == 1


def test_a_recipe_with_other_steps_still_validates_at_the_end():
    assert RECIPE.with_steps(None) is RECIPE
    short = RECIPES["text"].with_steps(3)
    assert {(t.steps, t.every) for t in short.training.values()} == {(3, 3)}
    assert RECIPES["text"].with_steps(10_000).training["maml"].every == RECIPES["text"].training["maml"].every


def test_a_key_stands_for_the_data_the_family_and_the_recipe(made):
    one, two = made("one"), made("two")
    key = training_key([one, two], "text", RECIPE)
    assert training_key([two, one], "text", RECIPE) == key  # in any order
    others = [
        training_key([one], "text", RECIPE),
        training_key([one, replace(two, content_hash="changed")], "text", RECIPE),
        training_key([one, replace(two, name="three")], "text", RECIPE),
        training_key([one, two], "vision", RECIPE),
        training_key([one, two], "text", RECIPE.with_steps(5)),
        training_key([one, two], "text", replace(RECIPE, seed=1)),
        training_key([one, two], "text", replace(RECIPE, per_class=21)),
    ]
    assert len({key, *others}) == 1 + len(others)
    assert training_key([replace(one, revision="another commit"), two], "text", RECIPE) == key
