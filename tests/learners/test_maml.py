"""MAML against a few explicit lines, finite differences, and unusual but legal supports."""

from dataclasses import replace

import pytest
import torch
from torch.nn import functional as F

from domains.episode import Episode
from learners.maml import MAML, forward, inner_loop
from learners.reference_shared import SharedReference


def normal(*size, seed=0):
    return torch.randn(*size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def episode(counts, dim=6, queries=3, seed=0, dtype=torch.float64):
    """Gaussian classes with so many support examples each."""
    draw = torch.Generator().manual_seed(seed)
    centres = 2 * torch.randn(len(counts), dim, generator=draw, dtype=torch.float64)
    y = torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))
    query_y = torch.arange(len(counts)).repeat_interleave(queries)
    x, query_x = (
        (centres[i] + torch.randn(len(i), dim, generator=draw, dtype=torch.float64)).to(dtype) for i in (y, query_y)
    )
    return Episode(x, y, query_x, query_y)


def moved(learner, size=0.1):
    """The learner in float64, away from its special start."""
    learner = learner.double()
    with torch.no_grad():
        for i, parameter in enumerate(learner.parameters()):
            parameter += size * normal(*parameter.shape, seed=i + 1)
    return learner


def explicit(w1, b1, w2, b2, x, y, rates):
    """The inner loop written out: the gradients of the cross-entropy of a ReLU network, by hand."""
    target = F.one_hot(y, len(b2)).to(x.dtype)
    for a1, c1, a2, c2 in rates:
        hidden = (x @ w1.T + b1).clamp(min=0)
        logits = hidden @ w2.T + b2
        error = (logits.softmax(1) - target) / len(y)
        back = (error @ w2) * (hidden > 0)
        w1, b1, w2, b2 = w1 - a1 * back.T @ x, b1 - c1 * back.sum(0), w2 - a2 * error.T @ hidden, b2 - c2 * error.sum(0)
    return w1, b1, w2, b2


def weights(hidden=8, dim=6, ways=4):
    shapes = ((hidden, dim), (hidden,), (ways, hidden), (ways,))
    return tuple(normal(*shape, seed=i).requires_grad_() for i, shape in enumerate(shapes))


@pytest.mark.parametrize("create_graph", [False, True])
def test_the_inner_loop_is_gradient_descent_on_the_supports_cross_entropy(create_graph):
    task, rates = episode([3, 1, 4, 2]), 0.1 + normal(5, 4).abs()
    found = inner_loop(weights(), task.support_x, task.support_y, rates, create_graph)
    expected = explicit(*weights(), task.support_x, task.support_y, rates)
    for mine, theirs in zip(found, expected, strict=True):
        assert (mine - theirs).norm() / theirs.norm() < 1e-6
    before, after = (F.cross_entropy(forward(w, task.support_x), task.support_y) for w in (weights(), found))
    assert after < before


def test_the_meta_gradient_equals_that_of_the_explicit_loop():
    task, learner = episode([3, 1, 4, 2]), moved(MAML(6))
    learner.meta_loss(task).backward()
    found = [parameter.grad.clone() for parameter in learner.parameters()]
    learner.zero_grad()
    mean, scale = learner.scaling(task.support_x, None)
    start = learner.w1, learner.b1, learner.w2.expand(4, -1), learner.b2.expand(4)
    end = explicit(*start, (task.support_x - mean) / scale, task.support_y, learner.log_rates.exp())
    F.cross_entropy(forward(end, (task.query_x - mean) / scale), task.query_y).backward()
    for mine, parameter in zip(found, learner.parameters(), strict=True):
        assert torch.allclose(mine, parameter.grad, rtol=1e-6, atol=1e-12)
    assert learner.log_rates.grad[1:].abs().min() > 1e-6  # (at first all classes are one, and W_1 stays)


def shared_reference(dim, ways):
    """Without the representation, which the gradient takes as given."""
    return SharedReference(dim, ways, frozenset({"update", "initialise", "finetune"}))


@pytest.mark.parametrize("learner", [MAML(3), MAML(3, 2), shared_reference(3, 2)], ids=["any", "shared", "reference"])
def test_the_meta_gradient_is_second_order_and_equals_finite_differences(learner):
    learner, task = moved(learner), episode([2, 1], dim=3)
    loss = learner.meta_loss(task)
    loss.backward()
    small = 1e-6
    for number, parameter in enumerate(p for p in learner.parameters() if p.grad is not None):
        direction = normal(*parameter.shape, seed=40 + number)
        ends = []
        for sign in (1, -1):
            with torch.no_grad():
                parameter += sign * small * direction
            ends.append(learner.meta_loss(task).item())
            with torch.no_grad():
                parameter -= sign * small * direction
        measured = (ends[0] - ends[1]) / (2 * small)
        assert (parameter.grad * direction).sum().item() == pytest.approx(measured, rel=1e-4, abs=1e-7)


def test_first_order_gradients_would_differ():
    task, learner = episode([2, 2, 2]), moved(MAML(6))
    second = torch.autograd.grad(learner.meta_loss(task), learner.w1)[0]
    mean, scale = learner.scaling(task.support_x, None)
    end = learner.solve((task.support_x - mean) / scale, task.support_y, create_graph=False)
    loss = F.cross_entropy(forward(end, (task.query_x - mean) / scale), task.query_y)
    first = torch.autograd.grad(loss, learner.w1)[0]
    assert (first - second).norm() / second.norm() > 1e-3


@pytest.mark.parametrize(
    "counts", [[1, 1], [5, 5], [1, 7, 3], [1, 1, 1, 1, 1], [1] * 100], ids=lambda counts: f"{len(counts)}x{counts[:3]}"
)
def test_adapt_is_what_the_meta_loss_was_computed_with(counts):
    task, learner = episode(counts), moved(MAML(6), 0.02)
    learner.fit_scale(3 * normal(50, 6) + 1)
    learner = learner.double()
    classifier = learner.adapt(task.support_x, task.support_y)
    loss = F.cross_entropy(classifier.logits(task.query_x), task.query_y)
    assert loss.item() == pytest.approx(learner.meta_loss(task).item(), rel=1e-9)
    assert classifier.predict_proba(task.query_x).shape == (len(task.query_y), len(counts))
    assert not any(layer.weight.requires_grad for layer in classifier.layers if layer != "relu")


@pytest.mark.parametrize("kind", [MAML, SharedReference])
@pytest.mark.parametrize("labels", [[0, 1, 2], [0, 2], [1, 1], [2]], ids=str)
def test_with_shared_labels_a_support_may_lack_some_of_them(kind, labels):
    learner, y = moved(kind(6, 3), 0.02), torch.tensor(labels)
    task = replace(episode([len(labels)] * 3), support_x=normal(len(labels), 6), support_y=y)
    classifier = learner.adapt(task.support_x, y)
    loss = F.cross_entropy(classifier.logits(task.query_x), task.query_y)
    assert classifier.predict_proba(task.query_x).shape == (len(task.query_y), 3)
    assert loss.item() == pytest.approx(learner.meta_loss(task).item(), rel=1e-9)


@pytest.mark.parametrize("dim", [6, 384, 1280])
def test_a_fresh_learner_already_solves_separable_classes_of_unit_length_features(dim):
    task = episode([5] * 5, dim, queries=10, dtype=torch.float32)
    x, query = (F.normalize(x, dim=1) for x in (task.support_x, task.query_x))
    learner = MAML(dim)
    learner.fit_scale(torch.cat([x, query]))
    right = learner.adapt(x, task.support_y).logits(query).argmax(1) == task.query_y
    assert right.double().mean() > 0.9


def test_classes_in_another_order_give_the_same_answers_in_that_order():
    task, learner, order = episode([2, 3, 4]), moved(MAML(6)), torch.tensor([2, 0, 1])
    one = learner.adapt(task.support_x, task.support_y).logits(task.query_x)
    other = learner.adapt(task.support_x, order[task.support_y]).logits(task.query_x)
    assert torch.allclose(one, other[:, order], atol=1e-9)


def test_adapting_changes_nothing_in_the_learner():
    task, learner = episode([2, 2]), moved(MAML(6))
    before = {name: value.clone() for name, value in learner.state_dict().items()}
    learner.adapt(task.support_x, task.support_y)
    assert all(torch.equal(value, before[name]) for name, value in learner.state_dict().items())
    assert all(parameter.grad is None for parameter in learner.parameters())


@torch.no_grad()
def test_adapting_works_where_gradients_are_switched_off():
    task, learner = episode([2, 2]), moved(MAML(6))
    assert torch.isfinite(learner.adapt(task.support_x, task.support_y).logits(task.query_x)).all()


@pytest.mark.parametrize("part", ["represent", "update", "initialise", "finetune"])
def test_each_part_of_the_shared_reference_can_be_switched_off_and_counts(part):
    parts, task = frozenset({"represent", "update", "initialise", "finetune"}), episode([3, 2, 3])
    torch.manual_seed(0)
    whole = moved(SharedReference(6, 3), 0.05)
    less = SharedReference(6, 3, parts - {part}).double()
    less.load_state_dict(whole.state_dict())
    one, other = (learner.adapt(task.support_x, task.support_y).logits(task.query_x) for learner in (whole, less))
    assert (one - other).abs().max() > 1e-4
    assert torch.isfinite(less.meta_loss(task))


def test_without_any_part_the_shared_reference_is_its_start():
    task, learner = episode([3, 2, 3]), moved(SharedReference(6, 3, frozenset()))
    logits = learner.adapt(task.support_x, task.support_y).logits(task.query_x)
    assert torch.allclose(logits, forward(learner.start(3), task.query_x))


def test_untrained_the_shared_reference_is_maml():
    task = episode([3, 2, 3])
    maml, reference = MAML(6, 3).double(), SharedReference(6, 3).double()
    one, other = (learner.adapt(task.support_x, task.support_y).logits(task.query_x) for learner in (maml, reference))
    assert torch.equal(one, other)
