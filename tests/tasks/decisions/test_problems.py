"""Problems of decisions in sequence: by name, with policies of their sizes, and a key for each training."""

from dataclasses import replace

import pytest
import torch

from domains.errors import UserError
from learners.decisions.rl2_train import Imitation, collect
from tasks.decisions.problems import NAMES, find_problem, new_policy
from tasks.decisions.teachers import find_teacher, teachers


def test_every_game_can_be_played_by_the_policy_that_is_made_for_it():
    for name in NAMES:
        found = find_problem(name)
        policy, envs = new_policy(found), found.make(2)
        assert found.name == name
        assert policy.actions == envs.single_action_space.n
    assert (find_problem("bandit-k50-n500").steps, find_problem("mdp-n25").steps) == (500, 250)


def test_iterations_are_divided_between_imitation_and_rewards_as_in_the_recipe():
    recipe = find_problem("mdp-n10")
    how = recipe.with_training(7, seed=3).how
    assert (how.imitation.iterations, how.iterations, how.total, how.every, how.seed) == (3, 4, 7, 7, 3)
    assert recipe.with_training(None).how == recipe.how


def test_a_problem_may_have_another_memory_and_teacher():
    recipe = find_problem("bandit-k5-n10")
    assert recipe.with_memory("", "") == recipe
    alone = recipe.with_memory("attention", "none")
    assert (alone.memory, alone.how.imitation.iterations) == ("attention", 0)
    assert new_policy(alone).memory == "attention"
    assert len({recipe.key, alone.key, recipe.with_memory("", "ucb1").key, recipe.with_memory("gru", "").key}) == 4
    with pytest.raises(UserError, match="no memory 'lstm'; there are: gru, attention, slots, none"):
        recipe.with_memory("lstm", "")
    with pytest.raises(UserError, match="no teacher 'planner'; there are: none, gittins, ucb1, thompson"):
        recipe.with_memory("", "planner")


@pytest.mark.parametrize("name", ["bandit-k5-n10", "mdp-n10"])
def test_every_teacher_can_teach(name):
    recipe = find_problem(name)
    for teacher in teachers(recipe.make(1)):
        how = replace(recipe.how, steps=20, imitation=Imitation(iterations=1))
        envs = recipe.make(3)
        rollout = collect(new_policy(recipe), envs, how, torch.Generator(), find_teacher(teacher, envs))
        assert torch.equal(rollout.actions, rollout.taught)  # it plays the trials of the first iteration


def test_a_game_that_is_unknown_is_told_with_those_there_are():
    with pytest.raises(UserError, match=r"no problem 'chess'; there are: bandit-k5-n10, .*, mdp-n100"):
        find_problem("chess")


def test_a_key_stands_for_game_recipe_and_seed():
    one = find_problem("bandit-k5-n10")
    keys = [one.key, find_problem("bandit-k10-n10").key, replace(one, hidden=9).key]
    keys.append(replace(one, how=replace(one.how, seed=1)).key)
    assert len(set(keys)) == 4
    assert one.key == find_problem("bandit-k5-n10").key
