"""The plain baselines on easy data, and what a support set must be."""

import re

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from torch.nn import functional as F

from domains.episode import Episode
from learners import (
    BASELINES,
    META,
    OWN_LABELS,
    PLAIN_STRATEGIES,
    SHARED_LABELS,
    Finetune,
    Pooled,
    kinds,
    make,
    trainable,
)
from learners.base import Learner
from learners.bodies import Conv4
from learners.plain.logistic import Logistic
from learners.plain.prototype import NearestPrototype
from learners.plain.scratch import Scratch
from learners.representation.layers import EveryLayer, OnLayers
from learners.support import Support, check_support

EVERY = sorted({*BASELINES, *PLAIN_STRATEGIES, *META, *OWN_LABELS, Finetune}, key=lambda kind: kind.name)
#: Black boxes: before meta-training they know nothing.
KNOW_NOTHING = {"caml", "leo", "lstm", "relation", "fomaml", "reptile", "meta_sgd"}
each_learner = pytest.mark.parametrize("kind", EVERY, ids=lambda kind: kind.name)


def separable(ways, shots=8, dim=10, seed=0):
    """Classes ten deviations apart: support, and queries with their labels."""
    draw = torch.Generator().manual_seed(seed)
    centres = 10 * F.normalize(torch.randn(ways, dim, generator=draw), dim=1)
    y, query_y = (torch.arange(ways).repeat_interleave(n) for n in (shots, 20))
    x, query_x = (centres[i] + 0.5 * torch.randn(len(i), dim, generator=draw) for i in (y, query_y))
    return x, y, query_x, query_y


@pytest.mark.parametrize("kind", [k for k in EVERY if k.name not in KNOW_NOTHING], ids=lambda kind: kind.name)
@pytest.mark.parametrize("ways", [2, 5])
@pytest.mark.parametrize("shots", [1, 8])
def test_every_learner_but_the_black_boxes_solves_separable_classes_as_it_starts(kind, ways, shots):
    x, y, query_x, query_y = separable(ways, shots)
    learner = kind(10)
    learner.fit_scale(torch.cat([x, query_x]))
    p = learner.adapt(Support(x, y, query_x[::2])).predict_proba(query_x)
    assert p.shape == (len(query_y), ways)
    assert (p.argmax(1) == query_y).double().mean() > 0.95
    assert torch.allclose(p.sum(1), torch.ones(len(p)), atol=1e-5)


@each_learner
def test_twice_the_same_support_gives_the_same_classifier(kind):
    x, y, query_x, _ = separable(3)
    torch.manual_seed(0)
    learner = kind(10)
    one, other = (learner.adapt(Support(x, y, query_x)).logits(query_x) for _ in range(2))
    assert torch.equal(one, other)


@each_learner
def test_every_classifier_survives_a_round_trip_through_its_file(kind, tmp_path):
    x, y, query_x, _ = separable(3)
    classifier = kind(10).adapt(Support(x, y, query_x)).with_labels("abc")
    classifier.save(tmp_path)
    loaded = type(classifier).load(tmp_path)
    assert loaded.labels == ("a", "b", "c")
    assert torch.allclose(loaded.logits(query_x), classifier.logits(query_x), rtol=1e-5, atol=1e-5)


@each_learner
def test_features_that_hardly_vary_give_probabilities_and_no_nan(kind):
    x, y = torch.full((4, 10), 0.3), torch.tensor([0, 0, 1, 1])
    x[3, 0] = 0.4  # the other nine are constant
    for pool in (None, x[:3]):
        p = kind(10).adapt(Support(x, y, pool)).predict_proba(torch.cat([x, torch.zeros(1, 10)]))
        assert torch.isfinite(p).all()


@each_learner
@torch.no_grad()
def test_adapting_works_where_gradients_are_switched_off(kind):
    x, y, query_x, _ = separable(3)
    assert torch.isfinite(kind(10).adapt(Support(x, y, query_x)).logits(query_x)).all()


@each_learner
def test_an_empty_pool_is_no_pool(kind):
    x, y, query_x, _ = separable(3)
    torch.manual_seed(0)
    learner = kind(10)
    without, empty = (learner.adapt(Support(x, y, pool)).logits(query_x) for pool in (None, x[:0]))
    assert torch.equal(without, empty)


@pytest.mark.parametrize("ways", [2, 4])
@pytest.mark.parametrize("dim", [5, 200])
def test_the_linear_probe_is_scikit_learns_on_features_of_one_scale(ways, dim):
    draw = torch.Generator().manual_seed(ways)
    y = torch.arange(ways).repeat_interleave(10)
    x, query = torch.randn(len(y), dim, generator=draw) + 0.5 * y[:, None], torch.randn(50, dim, generator=draw)
    mean, scale = x.mean(0), (x.var(0).mean() ** 0.5)
    reference = LogisticRegression(C=1.0, tol=1e-8, max_iter=10_000).fit(((x - mean) / scale).double().numpy(), y)
    expected = reference.predict_proba(((query - mean) / scale).double().numpy())
    assert (
        np.abs(Logistic(dim).adapt(Support(x, y)).predict_proba(query).numpy() - expected).max() < 0.05
    )  # it stops early, at a tolerance of 1e-3


def test_the_linear_probe_does_not_care_for_the_units_of_the_features():
    x, y, query_x, _ = separable(3)
    one = Logistic(10).adapt(Support(x, y)).predict_proba(query_x)
    other = Logistic(10).adapt(Support(1000 * x - 3, y)).predict_proba(1000 * query_x - 3)
    assert torch.allclose(one, other, atol=1e-3)


def test_the_nearest_prototype_is_the_one_at_the_smallest_angle():
    x, y = torch.tensor([[2.0, 0], [0, 1], [0, 9]]), torch.tensor([0, 1, 1])
    logits = NearestPrototype(2).adapt(Support(x, y)).logits(torch.tensor([[3.0, 4]]))
    assert torch.allclose(logits, NearestPrototype.sharpness * torch.tensor([[0.6, 0.8]]))


def test_training_from_scratch_fits_what_no_linear_model_can():
    x = torch.tensor([[0.0, 0], [1, 1], [0, 1], [1, 0]]).repeat(5, 1)
    y = torch.tensor([0, 0, 1, 1]).repeat(5)
    assert torch.equal(Scratch(2).adapt(Support(x, y)).logits(x).argmax(1), y)


def test_make_finds_every_learner_by_name_and_names_them_all_when_there_is_none():
    for kind in EVERY:
        assert re.fullmatch("[a-z_]+", kind.name)  # it becomes part of file names and of metrics
        assert type(make(kind.name, 4)) is kind
    for name, kind in ({kind.name: kind for kind in META} | SHARED_LABELS).items():
        assert type(make(name, 8, ways=3)) is kind
        assert type(make(kind.name, 8, ways=3)) is kind
    with pytest.raises(ValueError, match=r"no learner 'reptyle'; there are: .*maml, .*protonet"):
        make("reptyle", 4)


@pytest.mark.parametrize(
    ("name", "ways"), [(k.name, None) for k in (*PLAIN_STRATEGIES, *OWN_LABELS)] + [(n, 3) for n in SHARED_LABELS]
)
def test_learners_of_features_alone_refuse_a_body(name, ways):
    with pytest.raises(ValueError, match=f"{name} reads the vectors .*: give their length, not conv4"):
        make(name, Conv4(), ways)


def test_the_docstring_of_every_learner_links_its_paper():
    every = {kind for shared in (True, False) for kind in kinds(shared).values()} - {Pooled}  # which has none
    assert not [
        kind.name for kind in every if not re.search(r"https://(doi\.org|arxiv\.org|openreview\.net)/", kind.__doc__)
    ]


def test_a_learner_that_has_nothing_to_learn_says_so():
    with pytest.raises(NotImplementedError, match="logistic learns nothing from other domains"):
        Logistic(3).meta_loss(None)
    assert [kind.name for kind in EVERY if kind.capabilities.meta_trained] == sorted(
        [*trainable(shared=False), "finetune"]
    )
    assert issubclass(Logistic, Learner)


X, Y = torch.randn(4, 3), torch.tensor([0, 1, 0, 1])
NAN, INF = X.clone(), X.clone()
NAN[2, 1], INF[3, 0] = torch.nan, torch.inf

WRONG = {
    "nan": (NAN, Y, "support row 2 has a feature that is not finite"),
    "infinity": (INF, Y, "support row 3 has a feature that is not finite"),
    "a label too many": (X, torch.tensor([0, 1, 3, 1]), r"labels must be 0\.\.2 with none missing, found \[0, 1, 3\]"),
    "labels from 1": (X, torch.tensor([1, 2, 1, 2]), r"labels must be 0\.\.1 with none missing, found \[1, 2\]"),
    "negative": (X, torch.tensor([-1, 0, 0, 0]), r"labels must be 0\.\.1 with none missing, found \[-1, 0\]"),
    "one class": (X, torch.zeros(4, dtype=torch.int64), "support has 1 class; at least 2 are needed"),
    "empty": (X[:0], Y[:0], "support has 0 class; at least 2 are needed"),
    "dimensions": (torch.randn(4, 5), Y, "features have 5 dimensions, the learner was made for 3"),
    "lengths": (X, Y[:3], r"features \[S, D\] and labels \[S\], not \[4, 3\] and \[3\]"),
    "constant": (torch.full((4, 3), 0.3), Y, "all 4 support examples are the same, so nothing tells 2 classes apart"),
    "images": (torch.randn(4, 3, 2), Y, r"features \[S, D\] and labels \[S\], not \[4, 3, 2\] and \[4\]"),
}


@pytest.mark.parametrize(("x", "y", "message"), WRONG.values(), ids=WRONG.keys())
@each_learner
def test_a_support_that_cannot_be_adapted_to_is_refused_with_the_value_and_the_limit(kind, x, y, message):
    with pytest.raises(ValueError, match=message):
        kind(3).adapt(Support(x, y))


@pytest.mark.parametrize("kind", [k for k in EVERY if k.name not in ("scratch", "reptile")], ids=lambda kind: kind.name)
def test_tensors_are_made_where_their_input_is(kind):
    x, y, query_x, query_y = separable(3, dim=450)
    learner = kind(450)
    with torch.device("meta"):  # what is made without a device cannot meet what is on the CPU; those two draw there
        assert torch.isfinite(learner.adapt(Support(x, y, query_x)).logits(query_x)).all()
        if kind.name in trainable(shared=False):
            assert len(learner.backward([Episode(x, y, query_x, query_y, query_x)])) == 1


POOLS = {
    "nan": (NAN, "pool row 2 has a feature that is not finite"),
    "dimensions": (torch.randn(4, 5), r"pool examples are \[5\], those of the support \[3\]"),
    "one example": (X[0], r"pool examples are \[\], those of the support \[3\]"),
}


@pytest.mark.parametrize(("pool", "message"), POOLS.values(), ids=POOLS.keys())
@pytest.mark.parametrize("kind", [k for k in EVERY if k.name != "whitened"], ids=lambda kind: kind.name)  # reads none
def test_a_pool_that_cannot_be_read_is_refused(kind, pool, message):
    with pytest.raises(ValueError, match=message):
        kind(3).adapt(Support(X, Y, pool))
    with pytest.raises(ValueError, match=message):
        OnLayers(kind(3), EveryLayer(), 3).adapt(Support(X, Y, pool))


@each_learner
def test_numbers_are_targets_of_a_regression_or_refused(kind):
    learner, targets = kind(3), torch.randn(4, 1)
    if learner.capabilities.regression:
        assert learner.adapt(Support(X, targets)).logits(X).shape == (4, 1)
    else:
        with pytest.raises(ValueError, match="labels are float32, this learner tells classes apart; ridge and maml"):
            learner.adapt(Support(X, targets))


def test_shared_labels_may_be_missing_but_not_outside_their_range():
    assert check_support(Support(X, torch.tensor([2, 2, 0, 0])), [3], ways=3) == 3
    for y in ([0, 3, 0, 0], [-1, 0, 1, 2]):
        with pytest.raises(ValueError, match=r"labels must be within 0\.\.2, found"):
            check_support(Support(X, torch.tensor(y)), [3], ways=3)
    with pytest.raises(ValueError, match=r"labels must be within 0\.\.2, found \[\]"):
        check_support(Support(X[:0], Y[:0]), [3], ways=3)
