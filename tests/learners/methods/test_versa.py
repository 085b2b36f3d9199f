"""VERSA against its paper's objective, and what its uncertainty is good for."""

import pytest
import torch
from torch.nn import functional as F

from domains.episode import Episode, Pile, Shape
from learners.bodies import Conv4
from learners.classifier import Classifier
from learners.heads.gaussian_head import GaussianHead
from learners.meta_train import Training, meta_train
from learners.methods.versa import VERSA
from learners.support import Support


def normal(*size, seed=0):
    return torch.randn(size, generator=torch.Generator().manual_seed(seed))


def episode(shots=2, ways=3, shape=(6,), queries=4, seed=0):
    centres, y = 2 * normal(ways, *shape, seed=seed), torch.arange(ways).repeat_interleave(shots)
    query_y = torch.arange(ways).repeat_interleave(queries)
    x, query_x = (centres[c] + normal(len(c), *shape, seed=seed + i) for i, c in ((1, y), (2, query_y)))
    return Episode(x, y, query_x, query_y, ways=ways)


def new(body=6, **how):
    learner = VERSA(body, **how)
    with torch.no_grad():
        for i, parameter in enumerate(learner.inference.parameters()):
            parameter += 0.1 * normal(*parameter.shape, seed=i)
    return learner


def test_the_objective_is_the_papers_for_logits_drawn_from_the_posterior():
    task, learner = episode(), new(samples=3)
    learner.progress = 0.3
    x, query = (F.normalize((x - learner.mean) / learner.scale, dim=1) for x in (task.support_x, task.query_x))
    mu, variance, _ = learner.posterior(x, task.support_y, 3)
    first = int(0.3 * 2**40) % len(learner.table)
    noise = learner.table[first : first + 3 * len(query) * 3].view(3, len(query), 3)
    p = torch.zeros(len(query), 3)
    for draw_ in noise:
        p += F.softmax(query @ mu.T + draw_ * (query.square() @ variance.T).sqrt(), 1) / 3
    expected = -p.gather(1, task.query_y[:, None]).log().mean()
    learner.scaling = lambda *_: (learner.mean, learner.scale)
    assert learner.meta_loss(task).item() == pytest.approx(expected.item(), abs=1e-5)


def test_the_head_approximates_the_average_over_its_weights():
    x, mean, variance = normal(200, 5, seed=1), normal(3, 5, seed=2), 0.5 * normal(3, 5, seed=3).square()
    head = GaussianHead(3, 5)
    with torch.no_grad():
        head.mean.copy_(mean)
        head.variance.copy_(variance)
    w = mean + variance.sqrt() * normal(4000, 3, 5, seed=4)
    averaged = F.softmax(torch.einsum("nd,lcd->lnc", x, w), -1).mean(0)
    plain = F.softmax(x @ mean.T, 1)
    error = (F.softmax(head(x), 1) - averaged).abs().mean()
    assert error < 0.03
    assert error < 0.7 * (plain - averaged).abs().mean()


def test_a_class_of_which_less_is_known_is_named_less_surely():
    learner = new()
    with torch.no_grad():
        last = learner.inference[-1]
        last.weight.zero_()
        last.bias.copy_(torch.tensor([0.0, 1.0]).repeat_interleave(6))
        unsure = learner.adapt(Support(*_labelled(episode()))).predict_proba(episode().query_x)
        last.bias.copy_(torch.tensor([0.0, -5.0]).repeat_interleave(6))
        sure = learner.adapt(Support(*_labelled(episode()))).predict_proba(episode().query_x)
    assert (unsure.amax(1) < sure.amax(1)).all()
    assert torch.equal(unsure.argmax(1), sure.argmax(1))


def _labelled(task):
    return task.support_x, task.support_y


@pytest.mark.parametrize("body", [6, Conv4(1, 28, 8)], ids=["features", "images"])
def test_stacked_episodes_have_the_losses_of_episodes_one_by_one_and_a_saved_model_is_the_same(body, tmp_path):
    shape = (6,) if body == 6 else (1, 28, 28)
    learner, episodes = new(body), [episode(shape=shape, seed=10 * i) for i in range(3)]
    learner.train()
    alone = [learner.meta_loss(e).item() for e in episodes]
    assert learner.meta_losses(episodes).tolist() == pytest.approx(alone, rel=1e-3, abs=1e-5)
    classifier = learner.eval().adapt(Support(*_labelled(episodes[0])))
    classifier.save(tmp_path)
    x = episodes[0].query_x
    assert torch.allclose(Classifier.load(tmp_path).predict_proba(x), classifier.predict_proba(x), atol=1e-6)


def test_meta_training_lowers_the_loss_on_classes_held_out(tmp_path):
    piles = []
    for seed in range(4):
        y = torch.arange(8).repeat_interleave(30)
        centres = normal(8, 16, seed=seed) * torch.linspace(1.5, 0.1, 16)
        piles.append(Pile(str(seed), centres[y] + normal(len(y), 16, seed=seed + 50), y))
    shape = Shape(ways=(4, 6), shots=(1, 5), queries=6, pool=(0,))
    learner = VERSA(16)
    history = meta_train(learner, piles[:3], piles[3:], Training(shape, steps=60, every=20, rate=3e-3), tmp_path / "c")
    assert history.validation_loss[-1] < history.validation_loss[0]
