"""Prototypical networks against closed forms on cases small enough for a sheet of paper."""

import math
from dataclasses import replace

import pytest
import torch
from torch.nn import functional as F

from domains.episode import Episode
from learners.base import SOURCE_WEIGHT, compute_prototypes
from learners.methods.protonet import ProtoNet
from learners.support import Support


def gaussians(counts, dim=6, queries=4, pool=0, seed=0):
    draw = torch.Generator().manual_seed(seed)
    centres = 2 * torch.randn(len(counts), dim, generator=draw)
    y = torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))
    query_y = torch.arange(len(counts)).repeat_interleave(queries)
    x, query_x = (centres[i] + torch.randn(len(i), dim, generator=draw) for i in (y, query_y))
    return Episode(x, y, query_x, query_y, torch.randn(pool, dim, generator=draw) if pool else None)


@pytest.fixture
def learner():
    """With an embedding and source statistics that are not special."""
    learner = ProtoNet(6)
    draw = torch.Generator().manual_seed(9)
    learner.fit_scale(2 * torch.randn(40, 6, generator=draw) + 1)
    with torch.no_grad():
        learner.weight += 0.3 * torch.randn(6, 6, generator=draw)
    return learner


def test_prototypes_are_class_means_with_unequal_shots():
    x, y = torch.tensor([[1.0, 0], [3, 0], [0, 5]]), torch.tensor([1, 1, 0])
    assert compute_prototypes(x, y, 2).tolist() == [[0, 5], [2, 0]]


def test_two_axes_give_the_probabilities_of_the_formula():
    # u = x without standardisation, prototypes (1, 0) and (0, 1), query at 45 and 0 degrees, s = exp(2.3)
    learner = ProtoNet(2, ways=2)
    x, y = torch.tensor([[2.0, 0], [0, 3]]), torch.tensor([0, 1])
    p = learner.adapt(Support(x, y)).predict_proba(torch.tensor([[5.0, 5], [4, 0]]))
    assert torch.allclose(p[0], torch.tensor([0.5, 0.5]))
    s = math.exp(2.3)  # distances 0 and 2
    assert p[1, 0].item() == pytest.approx(1 / (1 + math.exp(-2 * s)), rel=1e-6)
    assert p[1, 1].item() == pytest.approx(math.exp(-2 * s), rel=1e-3)


def test_probabilities_are_the_softmax_of_negative_scaled_squared_distances(learner):
    task = gaussians([3, 1, 2])
    mean, scale = learner.scaling(task.support_x, None)
    embed, query = (F.normalize((x - mean) / scale @ learner.weight.T, dim=1) for x in (task.support_x, task.query_x))
    centres = torch.stack([embed[task.support_y == c].mean(0) for c in range(3)])
    distances = (query[:, None] - centres).square().sum(-1)
    expected = F.softmax(-learner.log_sharpness.exp() * distances, dim=1)
    assert torch.allclose(
        learner.adapt(Support(task.support_x, task.support_y)).predict_proba(task.query_x), expected, atol=1e-6
    )


@pytest.mark.parametrize("counts", [[1, 1], [4, 4, 4], [1, 9, 2], [1] * 100], ids=lambda c: f"{len(c)}x{c[:3]}")
@pytest.mark.parametrize("pool", [0, 30])
def test_adapt_is_what_the_meta_loss_was_computed_with(learner, counts, pool):
    task = gaussians(counts, pool=pool)
    logits = learner.adapt(Support(task.support_x, task.support_y, task.pool_x)).logits(task.query_x)
    assert logits.shape == (len(task.query_y), len(counts))
    loss = F.cross_entropy(logits, task.query_y).item()
    assert loss == pytest.approx(learner.meta_loss(task).item(), rel=1e-4, abs=1e-6)


def test_a_task_is_standardised_by_its_own_examples_and_the_sources_as_many_more(learner):
    x, pool = 3 * torch.randn(7, 6) + 5, torch.randn(23, 6)
    mean, scale = learner.scaling(x, pool)
    own, every = 30 / (30 + SOURCE_WEIGHT), torch.cat([x, pool])
    assert torch.allclose(mean, own * every.mean(0) + (1 - own) * learner.mean)
    variance = own * every.var(0, correction=0) + (1 - own) * learner.scale**2
    assert torch.allclose(scale, variance.sqrt())


def test_features_that_mean_the_same_everywhere_keep_the_sources_scale():
    learner = ProtoNet(6, ways=3)
    learner.fit_scale(torch.randn(50, 6) * 4 + 2)
    mean, scale = learner.scaling(torch.randn(5, 6), torch.randn(50, 6))
    assert torch.equal(mean, learner.mean)
    assert torch.equal(scale, learner.scale)


def test_a_feature_that_never_changes_does_no_harm():
    task, learner = gaussians([3, 3]), ProtoNet(6)
    x, query = task.support_x.clone(), task.query_x.clone()
    x[:, 2] = query[:, 2] = 0.25
    learner.fit_scale(x)
    assert torch.isfinite(learner.adapt(Support(x, task.support_y)).predict_proba(query)).all()


def test_classes_in_another_order_give_the_same_answers_in_that_order(learner):
    task, order = gaussians([2, 3, 4]), torch.tensor([2, 0, 1])
    one = learner.adapt(Support(task.support_x, task.support_y)).logits(task.query_x)
    other = learner.adapt(Support(task.support_x, order[task.support_y])).logits(task.query_x)
    assert torch.allclose(one, other[:, order], atol=1e-5)


@pytest.mark.parametrize("labels", [[0, 2, 2], [0, 1, 1], [1, 2, 2], [1, 1, 1]], ids=str)
def test_with_shared_labels_a_support_may_lack_some_of_them(labels):
    learner, y, task = ProtoNet(6, ways=3), torch.tensor(labels), gaussians([1, 1, 1])
    task = replace(task, support_y=y)
    classifier = learner.adapt(Support(task.support_x, y))
    p = classifier.predict_proba(task.query_x)
    assert p.shape == (len(task.query_y), 3)
    absent = [c for c in range(3) if c not in labels]
    assert (p[:, absent] < 1e-4).all()
    loss = learner.meta_loss(task)
    assert loss.item() == pytest.approx(F.cross_entropy(classifier.logits(task.query_x), task.query_y).item(), rel=1e-4)
    loss.backward()
    assert all(torch.isfinite(parameter.grad).all() for parameter in learner.parameters())
