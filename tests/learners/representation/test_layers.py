"""Learners on the last of several layers, and on all of them."""

import pytest
import torch
from torch.nn import functional as F

from domains.episode import Episode
from learners import LAYERED_PROBE, baselines, make, plain_strategies, trainable
from learners.methods.reference import Reference
from learners.plain.logistic import Logistic
from learners.support import Support

LAST, DIM = 6, 20


def task(ways=3, shots=4, seed=0):
    """Classes that inner layers tell apart, in features of very different size."""
    draw = torch.Generator().manual_seed(seed)
    y = torch.arange(ways).repeat_interleave(shots)
    size = torch.logspace(-3, 3, DIM)
    centres = 2 * torch.randn(ways, DIM, generator=draw)
    x = (centres[y] + torch.randn(len(y), DIM, generator=draw)) * size
    query = (centres[y] + torch.randn(len(y), DIM, generator=draw)) * size
    return Episode(x, y, query, y, query.roll(1, 0))


def test_baselines_read_the_last_layer_only():
    e = task()
    for name, learner in baselines(DIM, LAST).items():
        torch.manual_seed(0)
        found = learner.adapt(Support(e.support_x, e.support_y)).logits(e.query_x)
        torch.manual_seed(0)
        alone = make(name, LAST).adapt(Support(e.support_x[:, :LAST], e.support_y)).logits(e.query_x[:, :LAST])
        assert torch.allclose(found, alone, atol=1e-5)


@pytest.mark.parametrize("pool", [True, False])
def test_the_others_read_every_layer_standardised_by_the_task(pool):
    e = task()
    every = torch.cat([e.support_x, e.pool_x]) if pool else e.support_x
    deviation = every.std(0, correction=0)
    scale = deviation + 0.01 * deviation.mean()
    x, query = (F.normalize((v - every.mean(0)) / scale, dim=1) for v in (e.support_x, e.query_x))
    found = plain_strategies(DIM, LAST)[LAYERED_PROBE].adapt(
        Support(e.support_x, e.support_y, e.pool_x if pool else None)
    )
    alone = Logistic(DIM).adapt(Support(x, e.support_y))
    assert torch.allclose(found.logits(e.query_x), alone.logits(query), atol=1e-3)


def test_meta_loss_and_adapt_see_the_same_and_gradients_reach_the_learner():
    e, learner = task(), make("reference", DIM, None, LAST)
    learner.fit_scale(e.query_x)
    loss = learner.meta_loss(e)
    loss.backward()
    assert learner.learner.base.grad is not None
    found = learner.adapt(Support(e.support_x, e.support_y, e.pool_x)).logits(e.query_x)
    assert (found.argmax(1) == e.query_y).double().mean() > 0.8
    assert isinstance(learner.learner, Reference)


@pytest.mark.parametrize("name", trainable(shared=False))
def test_a_meta_update_on_all_layers_is_the_inner_learners_own_and_knows_how_much_is_done(name):
    learner = make(name, DIM, None, LAST)
    learner.set_progress(0.4)
    assert learner.learner.progress == 0.4
    losses = learner.backward([task(ways=9, shots=1, seed=seed) for seed in range(2)])
    assert len(losses) == 2
    assert any(p.grad is not None and p.grad.abs().max() > 0 for p in learner.parameters())


def test_what_they_give_is_saved_and_loaded_whole(tmp_path):
    e = task()
    for name, learner in plain_strategies(DIM, LAST).items():
        classifier = learner.adapt(Support(e.support_x, e.support_y, e.pool_x))
        classifier.save(tmp_path)
        again = type(classifier).load(tmp_path)
        assert torch.equal(again.logits(e.query_x), classifier.logits(e.query_x)), name


def test_wide_features_are_reduced_to_the_span_of_some_examples_without_harm():
    draw = torch.Generator().manual_seed(0)
    y = torch.arange(4).repeat_interleave(3)
    centres = torch.randn(4, 900, generator=draw)
    x, pool = (centres[v] + torch.randn(len(v), 900, generator=draw) for v in (y, y.repeat(50)))
    query = centres[y] + torch.randn(len(y), 900, generator=draw)
    learner = Reference(900)
    classifier = learner.adapt(Support(x, y, pool))
    assert classifier.layers[0].weight.shape[0] <= 400
    assert (classifier.logits(query).argmax(1) == y).double().mean() > 0.9
    assert torch.isfinite(learner.meta_loss(Episode(x, y, query, y, pool)))
