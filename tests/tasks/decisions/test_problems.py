"""Problems of decisions in sequence: by name, with policies of their sizes, and a key for each training."""

from dataclasses import replace

import pytest

from domains.errors import UserError
from tasks.decisions.problems import NAMES, find_problem, new_policy


def test_every_game_can_be_played_by_the_policy_that_is_made_for_it():
    for name in NAMES:
        found = find_problem(name)
        policy, envs = new_policy(found), found.make(2)
        assert found.name == name
        assert policy.actions == envs.single_action_space.n
    assert (find_problem("bandit-k50-n500").steps, find_problem("mdp-n25").steps) == (500, 250)


def test_long_trials_are_played_by_the_policy_of_their_beginnings():
    for long, short in (("bandit-k5-n500", "bandit-k5-n100"), ("mdp-n25", "mdp-n10")):
        assert find_problem(long).key == find_problem(short).key
        assert find_problem(long).how.steps == find_problem(short).steps == 100
        assert find_problem(long).steps > 100


def test_a_game_that_is_unknown_is_told_with_those_there_are():
    with pytest.raises(UserError, match=r"no problem 'chess'; there are: bandit-k5-n10, .*, mdp-n100"):
        find_problem("chess")


def test_a_key_stands_for_game_recipe_and_seed():
    one = find_problem("bandit-k5-n10")
    keys = [one.key, find_problem("bandit-k10-n10").key, replace(one, hidden=9).key]
    keys.append(replace(one, how=replace(one.how, seed=1)).key)
    assert len(set(keys)) == 4
    assert one.key == find_problem("bandit-k5-n10").key
