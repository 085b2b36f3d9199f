"""A pool of experts moves where past supports told what followed, and stays where they told nothing."""

import pytest
import torch
from torch.nn import functional as F

from domains.episode import Episode
from learners.market.log_pool import LogPool, polynomials
from learners.support import Support

WAYS, EXPERTS = 3, 2


def opinions(n, seed, shift=None):
    """Log-probabilities [n, E * N] of two experts, and labels drawn from the first one's opinion, moved by a shift."""
    draw = torch.Generator().manual_seed(seed)
    logits = torch.randn(n, EXPERTS, WAYS, generator=draw)
    truth = logits[:, 0] + (0 if shift is None else shift)
    y = torch.multinomial(F.softmax(truth, 1), 1, generator=draw)[:, 0]
    return F.log_softmax(logits, 2).flatten(1), y


def episode(seed, support_shift, query_shift, n=120):
    (x, y), (query_x, query_y) = opinions(n, seed, support_shift), opinions(n, seed + 10_000, query_shift)
    return Episode(x, y, query_x, query_y, ways=WAYS)


def shifts(seed, count=12):
    draw = torch.Generator().manual_seed(seed)
    return 0.8 * torch.randn(count, 1, generator=draw) * polynomials(WAYS)[0]


def learned(episodes, steps=80):
    learner = LogPool(EXPERTS * WAYS, WAYS)
    learner.together = len(episodes)
    optimiser = torch.optim.Adam(learner.parameters(), 0.05)
    for _ in range(steps):
        optimiser.zero_grad()
        learner.backward(episodes)
        optimiser.step()
    return learner


def test_polynomials_are_orthonormal_and_leave_the_mean_of_logits_alone():
    basis = polynomials(4)
    assert torch.allclose(basis @ basis.T, torch.eye(3), atol=1e-6)
    assert torch.allclose(basis.sum(1), torch.zeros(3), atol=1e-6)
    assert (basis[0].diff() > 0).all()  # level: the higher the label, the more


def test_adaptation_minimises_its_objective():
    learner, (x, y) = LogPool(EXPERTS * WAYS, WAYS), opinions(200, 1, shifts(3)[0])
    theta = learner.solve(x, y).detach().double().requires_grad_()
    age = torch.arange(199, -1, -1) / 200
    recency = torch.exp2(-age / learner.log_half_life.exp().detach())
    loss = F.cross_entropy(learner.design(x).double() @ theta, y, reduction="none")
    prior = (learner.precision * (theta - learner.start).square()).sum() / 2
    (gradient,) = torch.autograd.grad((recency * loss).sum() / recency.sum() + prior, theta)
    assert gradient.abs().max() < 1e-5


def test_the_meta_gradient_is_that_of_finite_differences():
    learner, one = LogPool(EXPERTS * WAYS, WAYS).double(), episode(5, shifts(1)[0], shifts(1)[1]).to(torch.float64)
    learner.meta_loss(one).backward()
    for parameter in learner.parameters():
        for i in range(parameter.numel()):
            values = []
            for step in (1e-5, -1e-5):
                with torch.no_grad():
                    parameter.view(-1)[i] += step
                    values.append(float(learner.meta_loss(one)))
                    parameter.view(-1)[i] -= step
            assert abs((values[0] - values[1]) / 2e-5 - float(parameter.grad.view(-1)[i])) < 1e-6


def test_the_strength_of_moving_is_learned():
    told = [episode(i, shift, shift) for i, shift in enumerate(shifts(0))]
    noise = [episode(i, shift, -shift) for i, shift in enumerate(shifts(0))]
    moving, staying = learned(told), learned(noise)
    assert moving.log_precision[1] < staying.log_precision[1] - 1  # of the level
    x, y = opinions(120, 77, shifts(9)[0])
    move = [float((learner.solve(x, y)[EXPERTS]).detach()) for learner in (moving, staying)]
    assert abs(move[0]) > 3 * abs(move[1])


def test_the_better_expert_weighs_more():
    learner = learned([episode(i, None, None) for i in range(8)])
    assert learner.weights[0] > 0.8
    assert learner.weights[1].abs() < 0.2


def test_the_adapted_pool_is_a_classifier_that_can_be_saved(tmp_path):
    learner, (x, y) = LogPool(EXPERTS * WAYS, WAYS), opinions(90, 3, shifts(5)[0])
    classifier = learner.adapt(Support(x, y))
    expected = F.softmax(learner.design(x) @ learner.solve(x, y).detach(), 1)
    assert torch.allclose(classifier.predict_proba(x), expected, atol=1e-6)
    classifier.save(tmp_path)
    assert torch.equal(type(classifier).load(tmp_path).predict_proba(x), classifier.predict_proba(x))
    unmoved = learner.to_classifier(learner.start).predict_proba(x)
    assert torch.allclose(unmoved, F.softmax(x.view(-1, EXPERTS, WAYS).mean(1), 1), atol=1e-6)


def test_log_probabilities_that_are_not_of_whole_experts_are_refused():
    with pytest.raises(ValueError, match="10 log-probabilities are not those of experts with 3 labels each"):
        LogPool(10, 3)


def test_its_classifier_is_made_where_its_input_is():
    x, y = opinions(12, 0)
    learner = LogPool(EXPERTS * WAYS, WAYS)
    with torch.device("meta"):  # what is made without a device cannot meet what is on the CPU
        assert torch.isfinite(learner.adapt(Support(x, y)).logits(x)).all()


def test_many_episodes_at_once_are_the_same_as_one_by_one():
    episodes = [episode(i, shift, shift, n=40) for i, shift in enumerate(shifts(2, 4))]
    learner = LogPool(EXPERTS * WAYS, WAYS)
    assert torch.allclose(learner.meta_losses(episodes), torch.stack([learner.meta_loss(e) for e in episodes]))
