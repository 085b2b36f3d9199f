"""What both ends keep on disk, and what a site refuses to take over."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from domains.episode import Shape
from domains.errors import UserError
from learners import make
from learners.federated.federation import Outcome
from learners.meta_train import Training
from tasks.features.encoders import first_encoder
from tasks.federate import plan as module
from tasks.federate.plan import (
    ServerPlan,
    SitePlan,
    about_of,
    add_delivered,
    check_result,
    identity_of,
    read_delivered,
    read_site,
)
from tasks.federate.steps import plan_server
from tasks.meta_train.recipes import Recipe
from tasks.meta_train.training import load_piles

SHAPE = Shape(ways=(2, 3), shots=(1, 4), queries=4, pool=(0, 20))
TRAINING = Training(SHAPE, steps=4, batch=2, every=2, episodes=3)
RECIPE = Recipe(20, 10, dict.fromkeys(("protonet", "maml", "reference"), TRAINING), prior_episodes=8)


@pytest.fixture
def server(tmp_path):
    return ServerPlan(tmp_path, "fed", "text", ("a", "b"), ("protonet",), rounds=4, steps=2)


def outcome():
    learner = make("protonet", first_encoder("text").dim)
    return Outcome({"protonet": dict(learner.state_dict())}, {}, {})


def test_a_servers_plan_comes_back_and_another_one_is_refused(server, tmp_path):
    server.write()
    server.write()
    assert ServerPlan.read(tmp_path) == server
    with pytest.raises(UserError, match="fed was begun with other options"):
        replace(server, rounds=5).write()
    assert list(server.how.training) == ["protonet"]


def test_who_has_the_result_is_kept(server, tmp_path):
    assert server.outcome() is None
    server.keep(outcome())
    assert server.outcome().weights.keys() == {"protonet"}
    add_delivered(tmp_path, "b")
    add_delivered(tmp_path, "a")
    assert read_delivered(tmp_path) == {"a", "b"}


def test_a_result_says_what_it_is_of_and_is_kept_by_a_site(server, tmp_path):
    server.keep(outcome())
    told = server.result()
    site = SitePlan(tmp_path, "text", "HEAD")
    site.keep_result(told)
    assert about_of(told) == {"federation": "fed", "sites": "a,b", "rounds": "4", "noise": "0.0", "encryption": "none"}
    site.write()
    assert read_site(tmp_path) == site


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"weights/protonet/weight": np.full((3, 3), 1, np.float32)}, r"protonet: weight is torch.float32 \[3, 3\]"),
        ({"weights/protonet/log_sharpness": np.array(np.nan, np.float32)}, "log_sharpness is not finite"),
        ({"weights/evil/weight": np.zeros(3, np.float32)}, "no learner 'evil'"),
        ({"sums/protonet/noise": np.array(0.0)}, "sums of protonet are missing"),
    ],
    ids=["shape", "nan", "learner", "sums"],
)
def test_a_result_that_is_wrong_is_not_taken_over(server, tmp_path, change, line):
    server.keep(outcome())
    with pytest.raises(ValueError, match=line):
        check_result(server.result() | change, "text")
    with pytest.raises(ValueError, match=line):
        SitePlan(tmp_path, "text", "HEAD").keep_result(server.result() | change)
    assert not (tmp_path / module.RESULT).exists()


def test_identities_differ_by_recipe_and_learners():
    one = identity_of("text", RECIPE)
    assert one.differs(one.arrays(), "here", "there") is None
    other = identity_of("text", replace(RECIPE, per_class=19))
    assert other.differs(one.arrays(), "here", "there").startswith("learners of there: protonet,maml,reference recipe ")


def test_a_site_of_one_domain_with_few_classes_trains_and_holds_nothing_out(made, letters, settings):
    domain = made("few", classes=4, per_class=30)
    with pytest.raises(UserError, match="add a larger one"):
        load_piles(settings, [domain], RECIPE)
    piles = load_piles(settings, [domain], RECIPE, may_hold_out_nothing=True)
    assert (len(piles.train), len(piles.validation), len(piles.prior)) == (1, 0, 0)
    assert torch.isfinite(piles.train[0].x).all()


def test_a_learner_whose_steps_have_no_bound_needs_a_norm_to_clip_to():
    asked = "fed", "text", ("a", "b"), ("reptile",), ("localhost", 8102)
    with pytest.raises(UserError, match="the steps of reptile have no bound to clip updates to: give --clip"):
        plan_server.fn(*asked, {"rounds": 4, "steps": 1})
