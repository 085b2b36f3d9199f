"""MAML against a few explicit lines, numbers on paper, finite differences, and unusual but legal supports."""

import math
from dataclasses import replace

import pytest
import torch
from torch.nn import functional as F

from domains.episode import Episode
from learners.bodies import MLP, Body, Conv4
from learners.classifier import Classifier
from learners.heads import two_layer
from learners.heads.network import Network, loss
from learners.heads.two_layer import TwoLayer
from learners.methods.fomaml import FOMAML
from learners.methods.maml import MAML
from learners.methods.reference_shared import SharedReference
from learners.support import Support


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


V, C = "body.layers.0.weight", "body.layers.0.bias"


def rates(steps, seed=5):
    """Rates by step and tensor."""
    values = 0.1 + normal(steps, 4, seed=seed).abs()
    return [dict(zip((V, C, "weight", "bias"), row.unbind(), strict=True)) for row in values]


def rows(rates):
    return [[step[name] for name in (V, C, "weight", "bias")] for step in rates]


def outputs(end, x):
    w1, b1, w2, b2 = end
    return F.linear(F.relu(F.linear(x, w1, b1)), w2, b2)


@pytest.mark.parametrize("kind", [TwoLayer, lambda dim, hidden, ways: Network(MLP(dim, [hidden]), ways)])
@pytest.mark.parametrize("ways", [None, 4])
def test_descent_follows_the_supports_cross_entropy(kind, ways):
    task, network, steps = episode([3, 1, 4, 2]), moved(kind(6, 8, ways)), rates(5)
    start = network.start(4)
    found = network.descend(start, task.support_x, task.support_y, steps)
    expected = explicit(start[V], start[C], start["weight"], start["bias"], task.support_x, task.support_y, rows(steps))
    for name, theirs in zip((V, C, "weight", "bias"), expected, strict=True):
        assert (found[name] - theirs).norm() / theirs.norm() < 1e-9
    before, after = (F.cross_entropy(network.outputs(p, task.support_x), task.support_y) for p in (start, found))
    assert after < before


def closed_and_general(ways):
    """The closed form and ordinary descent on the same parameters."""
    closed, general = moved(TwoLayer(6, 8, ways)), Network(MLP(6, [8]), ways).double()
    general.load_state_dict(closed.state_dict())
    return closed, general


@pytest.mark.parametrize("ways", [None, 4])
@pytest.mark.parametrize("first_order", [False, True])
@pytest.mark.parametrize("numbers", [False, True])
@pytest.mark.parametrize("gram", [two_layer.GRAM, 0])
def test_the_closed_form_and_its_derivatives_are_those_of_the_network(ways, first_order, numbers, gram, monkeypatch):
    monkeypatch.setattr(two_layer, "GRAM", gram)
    task, found = episode([3, 1, 4, 2]), []
    if numbers:
        task = replace(task, support_y=normal(10, 4, seed=7), query_y=normal(12, 4, seed=8))
    for network in closed_and_general(ways):
        steps = rates(3)
        learned = [value.requires_grad_() for step in steps for value in step.values()]
        end = network.descend(network.start(4), task.support_x, task.support_y, steps, first_order)
        value = loss(network.outputs(end, task.query_x), task.query_y)
        found.append([*(end[k] for k in sorted(end)), *torch.autograd.grad(value, [*network.parameters(), *learned])])
    for mine, theirs in zip(*found, strict=True):
        assert torch.allclose(mine, theirs, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("ways", [None, 4])
@pytest.mark.parametrize("first_order", [False, True])
def test_the_closed_form_is_that_of_the_network_where_episodes_are_stacked(ways, first_order):
    tasks, steps, found = [episode([3, 1, 4, 2], seed=seed) for seed in range(3)], rates(3), []
    stacks = [torch.stack(tensors) for tensors in zip(*(task.tensors[:4] for task in tasks), strict=True)]
    for network in closed_and_general(ways):

        def value(x, y, query_x, query_y, network=network):
            end = network.descend(network.start(4), x, y, steps, first_order)
            return F.cross_entropy(network.outputs(end, query_x), query_y)

        together = torch.vmap(value)(*stacks)
        found.append([together, *torch.autograd.grad(together.sum(), network.parameters())])
        apart = torch.stack([value(*task.tensors[:4]) for task in tasks])
        found.append([apart, *torch.autograd.grad(apart.sum(), network.parameters())])
    for others in found[1:]:
        for mine, theirs in zip(found[0], others, strict=True):
            assert torch.allclose(mine, theirs, rtol=1e-9, atol=1e-12)


def test_the_meta_gradient_equals_that_of_the_explicit_loop():
    task, learner = episode([3, 1, 4, 2]), moved(MAML(6))
    learner.meta_loss(task).backward()
    found = [parameter.grad.clone() for parameter in learner.parameters()]
    learner.zero_grad()
    mean, scale = learner.scaling(task.support_x, None)
    start = learner.network.start(4)
    end = explicit(
        *(start[name] for name in (V, C, "weight", "bias")),
        (task.support_x - mean) / scale,
        task.support_y,
        rows(learner.rates(learner.steps)),
    )
    F.cross_entropy(outputs(end, (task.query_x - mean) / scale), task.query_y).backward()
    for mine, parameter in zip(found, learner.parameters(), strict=True):
        assert torch.allclose(mine, parameter.grad, rtol=1e-6, atol=1e-12)
    assert learner.log_rates.grad[1:].abs().min() > 1e-6  # (at first all classes are one, and V stays)


class Still(Body):
    """Numbers as they are, not standardised."""

    name, config, shape, dim = "still", {}, (1,), 1

    def forward(self, x):
        return x


def line_learner(kind, **arguments):
    """A learner of y = w x + b at w = 1, b = 0, and an episode whose b has no gradient, for x and y are odd.

    L_support = (w - 3)^2, so w_1 = 1 - 0.1 * 2 (1 - 3) = 1.4. L_query = (2 w_1 - 8)^2 = 5.2^2.
    """
    learner = kind(Still(), 1, **arguments).double()
    with torch.no_grad():
        learner.network.weight.fill_(1)
        learner.network.bias.zero_()
    numbers = ([1.0, -1], [3.0, -3], [2.0, -2], [8.0, -8])
    return learner, Episode(*(torch.tensor(column, dtype=torch.float64)[:, None] for column in numbers))


@pytest.mark.parametrize(("kind", "slope"), [(MAML, 4 * -5.2 * (1 - 0.1 * 2)), (FOMAML, 4 * -5.2)])
def test_least_squares_on_paper(kind, slope):
    learner, task = line_learner(kind, steps=1, rate=0.1)
    assert learner.backward([task])[0] == pytest.approx(5.2**2, rel=1e-12)
    assert learner.network.weight.grad.item() == pytest.approx(slope, rel=1e-12)
    assert learner.network.bias.grad.item() == pytest.approx(0, abs=1e-12)
    assert learner.adapt(Support(task.support_x, task.support_y)).layers[1].weight.item() == pytest.approx(
        1.4, rel=1e-12
    )


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


def test_a_fixed_first_order_gradient_is_the_query_gradient_where_descent_ends():
    task, learner = episode([2, 2, 2]), moved(FOMAML(6, 3, rate=0.1))
    mean, scale = learner.scaling(task.support_x, None)
    end = learner.solve((task.support_x - mean) / scale, task.support_y, 3, 5)
    value = F.cross_entropy(learner.network.outputs(end, (task.query_x - mean) / scale), task.query_y)
    expected = dict(zip(end, torch.autograd.grad(value, list(end.values())), strict=True))
    learner.meta_loss(task).backward()
    for name, parameter in learner.network.named_parameters():
        assert torch.allclose(parameter.grad, expected[name], rtol=1e-9, atol=1e-12)
    second = MAML(6, 3, rate=0.1).double()
    second.load_state_dict(learner.state_dict())
    second.meta_loss(task).backward()
    one, other = (x.network.get_parameter(V).grad for x in (learner, second))
    assert (one - other).norm() / other.norm() > 1e-3


@pytest.mark.parametrize("kind", [MAML, FOMAML])
@pytest.mark.parametrize("ways", [None, 3])
@pytest.mark.parametrize("body", [6, Conv4(1, 28, 8)], ids=["features", "conv4"])
def test_episodes_run_at_once_have_the_gradients_of_episodes_one_by_one(kind, ways, body):
    learner = moved(kind(body, ways, steps=2), 0.05)
    tasks, found = [images(learner.shape, seed) for seed in range(3)], []
    for together in (1, 8):
        learner.together = together
        learner.zero_grad()
        losses = torch.tensor(learner.backward(tasks), dtype=torch.float64)
        found.append([losses, *(parameter.grad for parameter in learner.parameters())])
    for mine, theirs in zip(*found, strict=True):
        assert torch.allclose(mine, theirs, rtol=1e-9, atol=1e-11)


def images(shape, seed, counts=(2, 1, 2)):
    y, query_y = torch.arange(len(counts)).repeat_interleave(torch.tensor(counts)), torch.arange(len(counts)).repeat(2)
    return Episode(normal(len(y), *shape, seed=seed), y, normal(len(query_y), *shape, seed=seed + 50), query_y)


def test_on_images_adapt_is_what_the_meta_loss_was_computed_with_and_is_saved_whole(tmp_path):
    learner, task = moved(MAML(Conv4(1, 28, 8)), 0.02), images((1, 28, 28), 0)
    classifier = learner.adapt(Support(task.support_x, task.support_y))
    value = F.cross_entropy(classifier.logits(task.query_x), task.query_y)
    assert value.item() == pytest.approx(learner.meta_loss(task).item(), rel=1e-9)
    classifier.save(tmp_path)
    assert torch.allclose(Classifier.load(tmp_path).logits(task.query_x), classifier.logits(task.query_x), atol=1e-12)


@pytest.mark.parametrize(
    "counts", [[1, 1], [5, 5], [1, 7, 3], [1, 1, 1, 1, 1], [1] * 100], ids=lambda counts: f"{len(counts)}x{counts[:3]}"
)
def test_adapt_is_what_the_meta_loss_was_computed_with(counts):
    task, learner = episode(counts), moved(MAML(6), 0.02)
    learner.fit_scale(3 * normal(50, 6) + 1)
    learner = learner.double()
    classifier = learner.adapt(Support(task.support_x, task.support_y))
    loss = F.cross_entropy(classifier.logits(task.query_x), task.query_y)
    assert loss.item() == pytest.approx(learner.meta_loss(task).item(), rel=1e-9)
    assert classifier.predict_proba(task.query_x).shape == (len(task.query_y), len(counts))
    assert not any(layer.weight.requires_grad for layer in classifier.layers if layer != "relu")


@pytest.mark.parametrize("kind", [MAML, SharedReference])
@pytest.mark.parametrize("labels", [[0, 1, 2], [0, 2], [1, 1], [2]], ids=str)
def test_with_shared_labels_a_support_may_lack_some_of_them(kind, labels):
    learner, y = moved(kind(6, 3), 0.02), torch.tensor(labels)
    task = replace(episode([len(labels)] * 3), support_x=normal(len(labels), 6), support_y=y)
    classifier = learner.adapt(Support(task.support_x, y))
    loss = F.cross_entropy(classifier.logits(task.query_x), task.query_y)
    assert classifier.predict_proba(task.query_x).shape == (len(task.query_y), 3)
    assert loss.item() == pytest.approx(learner.meta_loss(task).item(), rel=1e-9)


@pytest.mark.parametrize("dim", [6, 384, 1280])
def test_a_fresh_learner_already_solves_separable_classes_of_unit_length_features(dim):
    task = episode([5] * 5, dim, queries=10, dtype=torch.float32)
    x, query = (F.normalize(x, dim=1) for x in (task.support_x, task.query_x))
    learner = MAML(dim)
    learner.fit_scale(torch.cat([x, query]))
    right = learner.adapt(Support(x, task.support_y)).logits(query).argmax(1) == task.query_y
    assert right.double().mean() > 0.9


def test_classes_in_another_order_give_the_same_answers_in_that_order():
    task, learner, order = episode([2, 3, 4]), moved(MAML(6)), torch.tensor([2, 0, 1])
    one = learner.adapt(Support(task.support_x, task.support_y)).logits(task.query_x)
    other = learner.adapt(Support(task.support_x, order[task.support_y])).logits(task.query_x)
    assert torch.allclose(one, other[:, order], atol=1e-9)


def test_adapting_changes_nothing_in_the_learner():
    task, learner = episode([2, 2]), moved(MAML(6))
    before = {name: value.clone() for name, value in learner.state_dict().items()}
    learner.adapt(Support(task.support_x, task.support_y))
    assert all(torch.equal(value, before[name]) for name, value in learner.state_dict().items())
    assert all(parameter.grad is None for parameter in learner.parameters())


@torch.no_grad()
def test_adapting_works_where_gradients_are_switched_off():
    task, learner = episode([2, 2]), moved(MAML(6))
    assert torch.isfinite(learner.adapt(Support(task.support_x, task.support_y)).logits(task.query_x)).all()


@pytest.mark.parametrize("part", ["represent", "update", "initialise", "finetune"])
def test_each_part_of_the_shared_reference_can_be_switched_off_and_counts(part):
    parts, task = frozenset({"represent", "update", "initialise", "finetune"}), episode([3, 2, 3])
    torch.manual_seed(0)
    whole = moved(SharedReference(6, 3), 0.05)
    less = SharedReference(6, 3, parts - {part}).double()
    less.load_state_dict(whole.state_dict())
    one, other = (
        learner.adapt(Support(task.support_x, task.support_y)).logits(task.query_x) for learner in (whole, less)
    )
    assert (one - other).abs().max() > 1e-4
    assert torch.isfinite(less.meta_loss(task))


def test_without_any_part_the_shared_reference_is_its_start():
    task, learner = episode([3, 2, 3]), moved(SharedReference(6, 3, frozenset()))
    logits = learner.adapt(Support(task.support_x, task.support_y)).logits(task.query_x)
    assert torch.allclose(logits, learner.network.outputs(learner.network.start(3), task.query_x))


def test_untrained_the_shared_reference_is_maml():
    task = episode([3, 2, 3])
    maml, reference = MAML(6, 3).double(), SharedReference(6, 3).double()
    one, other = (
        learner.adapt(Support(task.support_x, task.support_y)).logits(task.query_x) for learner in (maml, reference)
    )
    assert torch.equal(one, other)


@pytest.mark.parametrize(
    ("x", "y", "words"),
    [
        (torch.zeros(2, 5), [0, 1], "5 dimensions, the learner was made for 6"),
        (torch.full((2, 6), math.nan), [0, 1], "row 0 has a feature that is not finite"),
        (torch.zeros(2, 6), [0, 2], r"must be 0\.\.1 with none missing"),
        (torch.zeros(2, 6), [0, 0], "1 class; at least 2"),
    ],
)
def test_a_support_that_is_none_is_refused(x, y, words):
    with pytest.raises(ValueError, match=words):
        MAML(6).adapt(Support(x, torch.tensor(y)))


def sines(tasks, seed, shots=10):
    """Tasks a sin(x + phase) of Finn et al. 2017, section 5.1: amplitude 0.1 to 5, phase 0 to pi, x in -5..5."""
    draw = torch.Generator().manual_seed(seed)
    amplitude, phase = (
        0.1 + 4.9 * torch.rand(tasks, 1, 1, generator=draw),
        math.pi * torch.rand(tasks, 1, 1, generator=draw),
    )
    x, query = (10 * torch.rand(tasks, n, 1, generator=draw) - 5 for n in (shots, 50))
    y, target = (amplitude * torch.sin(v + phase) for v in (x, query))
    return [Episode(*tensors) for tensors in zip(x, y, query, target, strict=True)]


def test_one_gradient_step_fits_a_sine_that_a_pretrained_network_cannot():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        learner, pretrained = (MAML(MLP(1, [40, 40]), 1, steps=1, rate=0.01) for _ in range(2))
    learner.together = 25
    optimiser = torch.optim.Adam(learner.parameters(), lr=5e-3)
    for step in range(260):
        optimiser.zero_grad()
        learner.backward(sines(25, step))
        optimiser.step()
    optimiser = torch.optim.Adam(pretrained.parameters(), lr=5e-3)
    for step in range(150):
        x, y = (
            torch.cat(column) for column in list(zip(*(task.tensors for task in sines(25, step)), strict=True))[2:4]
        )
        optimiser.zero_grad()
        F.mse_loss(pretrained.network(x), y).backward()
        optimiser.step()
    held_out = sines(100, 10_000)
    mine, theirs = (sum(x.meta_loss(task).item() for task in held_out) / 100 for x in (learner, pretrained))
    variance = torch.cat([task.query_y for task in held_out]).var().item()
    assert theirs > 0.5 * variance
    assert mine < 0.5 * theirs
