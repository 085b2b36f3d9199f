"""The benchmark of federated meta-training: sites, deaths, and the share of pooling's gain."""

import numpy as np
import pytest
import torch

from domains.episode import Pile, Shape
from learners.choice.prior import Prior
from learners.meta_model import MetaModel
from learners.meta_train import Training
from tasks.bench.adapt.models import META_MODEL
from tasks.bench.federated import suite
from tasks.bench.federated.sites import SITES, divide, unite
from tasks.bench.federated.suite import ALONE, DEATHS, LEARNERS, POOLED, PRIOR, rows_of
from tasks.meta_train.recipes import Recipe

SHAPE = Shape(ways=(2, 3), shots=(1, 4), queries=4, pool=(0, 20))
RECIPE = Recipe(20, 10, {"protonet": Training(SHAPE, steps=8, batch=1, every=4, episodes=2)}, prior_episodes=6)
DIM = 8


def pile(name, classes, seed):
    generator = torch.Generator().manual_seed(seed)
    y = torch.arange(classes).repeat_interleave(20)
    centres = torch.randn(classes, DIM, generator=generator)
    return Pile(name, centres[y] + 0.3 * torch.randn(len(y), DIM, generator=generator), y)


@pytest.fixture
def sites():
    return divide({"a": [pile("a1", 12, 1), pile("a2", 9, 2)], "few": [pile("f", 4, 3)]}, RECIPE)


def test_sites_are_six_of_uneven_size_and_share_no_domain():
    names = [name for of in SITES.values() for name in of]
    assert len(SITES) == 6
    assert len(names) == len(set(names))
    assert len({len(of) for of in SITES.values()}) > 2


def test_a_site_with_few_classes_holds_nothing_out_and_pooled_piles_are_those_of_all_sites(sites):
    assert [len(part) for part in sites["few"].parts] == [1, 0, 0]
    assert [len(part) for part in sites["a"].parts] == [2, 2, 2]
    pooled = unite(sites)
    assert [len(part) for part in pooled.parts] == [3, 2, 2]


def test_every_way_makes_its_meta_models_and_says_what_travelled(sites, tmp_path):
    cost = {m: suite._train(m, RECIPE, sites, tmp_path / m, lambda line: None) for m in suite.METHODS}
    prior, learned, dead = (MetaModel.load(tmp_path / m / "all" / META_MODEL) for m in (PRIOR, LEARNERS, DEATHS))
    assert prior.prior.regressions
    assert not prior.learners
    assert learned.learners.keys() == dead.learners.keys() == {"protonet"}
    assert learned.prior.regressions.keys() == {*prior.prior.regressions, "protonet"}
    assert MetaModel.load(tmp_path / ALONE / "few" / META_MODEL).prior == Prior()
    assert cost[PRIOR]["MB that travel"] < cost[LEARNERS]["MB that travel"]
    assert cost[DEATHS]["sites that died"] + cost[DEATHS]["times the server died"] >= 0
    assert (tmp_path / POOLED / "all" / META_MODEL).exists()


def test_the_share_kept_is_of_what_pooling_gains_over_alone():
    values = {ALONE: 0.50, PRIOR: 0.52, LEARNERS: 0.545, POOLED: 0.55}
    draws = np.array([-0.01, 0.0, 0.01])
    scores = {(m, "t", k): v + draws for m, v in values.items() for k in (1, 5)}
    rows = rows_of(scores, list(values), ["t"], [1, 5], {m: {"MB that travel": 1.0} for m in values})
    share = {row["method"]: row["value"] for row in rows if row["metric"] == "share of gain"}
    assert share == {PRIOR: pytest.approx(0.4), LEARNERS: pytest.approx(0.9)}
    gains = [row for row in rows if row["metric"] == "gain over alone" and row["method"] == POOLED]
    assert [row["value"] for row in gains] == [0.05, 0.05]
