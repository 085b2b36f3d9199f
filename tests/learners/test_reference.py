"""The reference learner against its formulas written densely, and what must not matter to it."""

import math

import pytest
import torch
from torch.nn import functional as F

from domains.episode import Episode
from learners.base import prototypes
from learners.reference import START, Reference, Spectrum, Transductive, Whitened
from learners.task import META_FEATURES, meta_features

PARTS = ("represent", "update", "initialise", "finetune")


def gaussians(counts, dim=12, queries=5, pool=(), seed=0):
    """Gaussian classes with so many support examples each, and so many pool examples."""
    draw = torch.Generator().manual_seed(seed)
    centres = 1.5 * torch.randn(len(counts), dim, generator=draw)
    spread = torch.linspace(0.3, 2, dim)
    y, pool_y, query_y = (
        torch.arange(len(counts)).repeat_interleave(torch.tensor(n))
        for n in (counts, pool or [0] * len(counts), [queries] * len(counts))
    )
    x, pool_x, query_x = (centres[i] + spread * torch.randn(len(i), dim, generator=draw) for i in (y, pool_y, query_y))
    return Episode(x, y, query_x, query_y, pool_x if pool else None)


TASKS = {
    "one shot": gaussians([1, 1, 1]),
    "more shots than dimensions": gaussians([10, 7]),
    "a pool": gaussians([2, 2, 2], pool=(4, 9, 1)),
    "a large pool": gaussians([3, 1, 2, 5], pool=(100, 3, 20, 40)),
    "a hundred classes": gaussians([1] * 100, pool=[2] * 100),
}
each_task = pytest.mark.parametrize("task", TASKS.values(), ids=TASKS.keys())


def trained(dim=12, parts=frozenset(PARTS), size=0.1):
    """A learner whose every parameter is away from its start."""
    draw = torch.Generator().manual_seed(3)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        learner = Reference(dim, parts=parts)
    with torch.no_grad():
        for parameter in learner.parameters():
            parameter += size * torch.randn(parameter.shape, generator=draw)
        learner.task.query.copy_(torch.randn(learner.task.query.shape, generator=draw))
        learner.log_rates += 3
    return learner


def logits(learner, task):
    return learner.adapt(task.support_x, task.support_y, task.pool_x).logits(task.query_x)


@each_task
@pytest.mark.parametrize("learner", [trained(), Transductive(12), Whitened(12)], ids=lambda learner: learner.name)
def test_adapt_is_what_the_meta_loss_was_computed_with(learner, task):
    if isinstance(learner, Whitened):
        task = Episode(task.support_x, task.support_y, task.query_x, task.query_y)
    found = logits(learner, task)
    assert found.shape == (len(task.query_y), task.ways)
    loss = F.cross_entropy(found, task.query_y).item()
    assert loss == pytest.approx(learner.meta_loss(task).item(), rel=1e-3, abs=1e-5)


@each_task
def test_the_meta_loss_has_a_finite_gradient_in_every_part(task):
    learner = trained()
    learner.meta_loss(task).backward()
    gradients = {name: p.grad for name, p in learner.named_parameters()}
    assert all(gradient is not None and torch.isfinite(gradient).all() for gradient in gradients.values())
    for name in ("base", "log_rates", "log_temperature", "film.0.weight", "shift.weight", "task.token.weight"):
        assert gradients[name].abs().max() > 0


def test_the_meta_gradient_equals_finite_differences():
    learner, task = trained(5, size=0.2).double(), gaussians([2, 1, 2], dim=5, pool=(3, 6, 2))
    task = Episode(*(v.double() if v.is_floating_point() else v for v in task.tensors))
    learner.meta_loss(task).backward()
    draw, small = torch.Generator().manual_seed(0), 1e-6
    for parameter in learner.parameters():
        direction, ends = torch.randn(parameter.shape, generator=draw, dtype=torch.float64), []
        for sign in (1, -1):
            with torch.no_grad():
                parameter += sign * small * direction
                ends.append(learner.meta_loss(task).item())
                parameter -= sign * small * direction
        measured = (ends[0] - ends[1]) / (2 * small)
        assert (parameter.grad * direction).sum().item() == pytest.approx(measured, rel=1e-4, abs=1e-7)


def whiten(x, mean, covariance):
    """V (Lambda + shrink)^-power V^T (x - mean), scaled to unit length, with all D axes."""
    values, basis = torch.linalg.eigh(covariance)
    relative = values.clamp_min(0) / values.mean()
    weights = (relative + START["shrink"]) ** -START["power"]
    return F.normalize((x - mean) @ basis * weights @ basis.T, dim=1)


@pytest.mark.parametrize("counts", [[1, 1, 1], [2, 5, 3], [20, 10, 15]], ids=str)
@pytest.mark.parametrize("repel", [0.0, START["repel"]])
def test_as_it_starts_it_is_the_nearest_prototype_in_a_partly_whitened_space(counts, repel):
    task, learner = gaussians(counts), Reference(12, parts=frozenset({"initialise"})) if repel else Whitened(12)
    x, y = task.support_x, task.support_y
    mean, covariance = x.mean(0), torch.cov(x.T, correction=0)
    support, query = whiten(x, mean, covariance), whiten(task.query_x, mean, covariance)
    centres = torch.stack([support[y == c].mean(0) for c in range(3)])
    expected = START["sharpness"] * query @ F.normalize(centres - repel * centres.mean(0), dim=1).T
    assert torch.allclose(logits(learner, task), expected, atol=2e-3)


def test_transductive_is_soft_clustering_of_support_and_pool():
    task = gaussians([2, 1, 3], pool=(30, 5, 10))
    spectrum = Spectrum.of(task.support_x, task.support_y, task.pool_x)
    covariance = spectrum.basis * spectrum.values @ spectrum.basis.T
    support, pool, query = (whiten(x, spectrum.mean, covariance) for x in (task.support_x, task.pool_x, task.query_x))
    sums = torch.stack([support[task.support_y == c].sum(0) for c in range(3)])
    head, prior = sums, torch.full((3,), 1 / 3)
    for _ in range(Reference.rounds):
        share = (START["sharpness"] * pool @ F.normalize(head, dim=1).T + prior.log()).softmax(1)
        mass, even = share.sum(0), 45 / 3
        prior = (mass + START["smoothing"] * even) / (mass + START["smoothing"] * even).sum()
        head = sums + (START["pool"] * torch.minimum(even / mass, torch.ones(3)))[:, None] * (share.T @ pool)
    expected = START["sharpness"] * query @ F.normalize(head, dim=1).T
    assert torch.allclose(logits(Transductive(12), task), expected, atol=5e-3)


def test_descent_follows_the_gradient_of_the_supports_cross_entropy():
    learner, draw = Reference(4), torch.Generator().manual_seed(0)
    head = torch.randn(3, 4, generator=draw, dtype=torch.float64)
    support = F.normalize(torch.randn(6, 4, generator=draw, dtype=torch.float64), dim=1)
    y, sharpness = torch.tensor([0, 0, 1, 1, 2, 2]), torch.tensor(5.0, dtype=torch.float64)
    found = learner.descend(head, support, y, torch.tensor([1e-3], dtype=torch.float64), sharpness)
    unit = F.normalize(head, dim=1).requires_grad_()
    loss = F.cross_entropy(sharpness * support @ unit.T, y)
    assert torch.allclose(head - 1e-3 * torch.autograd.grad(loss, unit)[0], found)


def test_the_spectrum_is_that_of_the_covariance_relative_to_its_mean():
    x = gaussians([30, 30]).support_x
    spectrum = Spectrum.of(x, torch.arange(2).repeat_interleave(30), None)
    covariance = torch.cov(x.T, correction=0)
    mean_value = covariance.diagonal().mean()
    assert torch.allclose(spectrum.mean, x.mean(0), atol=1e-6)
    assert torch.allclose(spectrum.basis * spectrum.values @ spectrum.basis.T, covariance / mean_value, atol=1e-4)
    assert torch.allclose(spectrum.basis.T @ spectrum.basis, torch.eye(12), atol=1e-5)


def trained_but_for_fisher():
    """Without the ratio whose variance is corrected for the number of examples."""
    learner = trained(parts=frozenset({"initialise"}), size=0.3)
    with torch.no_grad():
        learner.film[0].weight[:, 1] = 0
    return learner


@pytest.mark.parametrize("learner", [Whitened(12), trained_but_for_fisher()], ids=["start", "trained"])
def test_the_same_examples_give_the_same_whether_fewer_or_more_than_dimensions(learner):
    task = gaussians([2, 3, 2])  # 7 examples of 12 dimensions, and 21 of the same 7
    more = Episode(task.support_x.repeat(3, 1), task.support_y.repeat(3), task.query_x, task.query_y)
    assert torch.allclose(logits(learner, task), logits(learner, more), atol=5e-3)


def test_a_balanced_pool_and_an_imbalanced_one_of_the_same_classes_have_about_the_same_axes():
    """Every class counts the same: the mean stays in the middle between two classes, not at the frequent one."""
    task = gaussians([5, 5], pool=(200, 10), seed=4)
    spectrum = Spectrum.of(task.support_x, task.support_y, task.pool_x)
    middle = prototypes(task.query_x, task.query_y, 2).mean(0)
    assert (spectrum.mean - middle).norm() < (task.pool_x.mean(0) - middle).norm()


@pytest.mark.parametrize("part", PARTS)
def test_each_part_can_be_switched_off_and_changes_the_result(part):
    task = TASKS["a large pool"]
    whole, less = trained(), trained(parts=frozenset(PARTS) - {part})
    assert all(torch.equal(a, b) for a, b in zip(whole.parameters(), less.parameters(), strict=True))
    assert (logits(whole, task) - logits(less, task)).abs().max() > 1e-3
    assert torch.isfinite(less.meta_loss(task))


def test_the_pool_counts_only_with_fine_tuning():
    task = TASKS["a large pool"]
    without = Episode(task.support_x, task.support_y, task.query_x, task.query_y)
    learner = Transductive(12)
    assert (logits(learner, task) - logits(learner, without)).abs().max() > 1e-3
    assert torch.equal(logits(Whitened(12), task), logits(Whitened(12), without))


@each_task
@pytest.mark.parametrize("learner", [trained(), Transductive(12)], ids=lambda learner: learner.name)
def test_classes_in_another_order_give_the_same_answers_in_that_order(learner, task):
    order = torch.randperm(task.ways, generator=torch.Generator().manual_seed(1))
    renamed = Episode(task.support_x, order[task.support_y], task.query_x, order[task.query_y], task.pool_x)
    assert torch.allclose(logits(learner, task), logits(learner, renamed)[:, order], atol=2e-2)
    assert torch.allclose(learner.meta_loss(task), learner.meta_loss(renamed), rtol=1e-2, atol=1e-3)


def test_examples_in_another_order_give_the_same_answers():
    task, draw = TASKS["a pool"], torch.Generator().manual_seed(1)
    rows, pool = (torch.randperm(len(x), generator=draw) for x in (task.support_x, task.pool_x))
    mixed = Episode(task.support_x[rows], task.support_y[rows], task.query_x, task.query_y, task.pool_x[pool])
    assert torch.allclose(logits(trained(), task), logits(trained(), mixed), atol=1e-2)


def test_features_in_another_place_and_size_give_the_same_answers_without_the_representation():
    task = TASKS["a large pool"]
    moved = Episode(
        *(4 * x + 1 if x.is_floating_point() else x for x in task.tensors),
    )
    assert torch.allclose(logits(Transductive(12), task), logits(Transductive(12), moved), atol=5e-2)


def test_untrained_the_reference_is_transductive_but_for_repelled_prototypes_and_three_small_steps():
    task = TASKS["a large pool"]
    torch.manual_seed(0)
    assert torch.equal(logits(Reference(12, parts=frozenset({"finetune"})), task), logits(Transductive(12), task))
    p, q = (F.softmax(logits(learner, task), 1) for learner in (Reference(12), Transductive(12)))
    assert (p.argmax(1) == q.argmax(1)).double().mean() > 0.9


def test_a_pool_raises_the_accuracy_of_one_shot_on_separate_clusters():
    right = {True: 0.0, False: 0.0}
    for seed in range(10):
        task = gaussians([1] * 4, queries=20, pool=[60] * 4, seed=seed)
        for pool in right:
            found = Transductive(12).adapt(task.support_x, task.support_y, task.pool_x if pool else None)
            right[pool] += (found.logits(task.query_x).argmax(1) == task.query_y).double().mean().item() / 10
    assert right[True] > right[False] + 0.03


def test_meta_features_have_the_values_of_their_names():
    x, y = torch.tensor([[0.0, 1], [0, -1], [4, 1], [4, -1]]), torch.tensor([0, 0, 1, 1])
    classes, shots, size, spread, separable, cosine, _, shift, smallest, balance = meta_features(x, y, None).tolist()
    assert len(META_FEATURES) == 10
    total, within, between = (16 + 4) / 3, 4 / 2, 8
    assert (classes, shots, size) == (0.25, 0.25, 0)
    assert spread == pytest.approx(within / total)
    assert separable == pytest.approx((between - within / 2) / total)
    assert (cosine, shift, smallest, balance) == (pytest.approx(0, abs=1e-6), 0, 1, 1)
    assert meta_features(x, torch.tensor([0, 1, 1, 1]), None)[8].item() == pytest.approx(1 / 3)


def test_meta_features_tell_the_shape_of_the_pool():
    x, y = torch.tensor([[0.0, 1], [0, -1], [4, 1], [4, -1]]), torch.tensor([0, 0, 1, 1])
    even, skewed = torch.tensor([[1.0, 0], [5, 0], [1, 1], [5, 1]]), torch.tensor([[0.0, 0], [4, 0], [4, 0], [4, 0]])
    values = meta_features(x, y, even)
    assert values[2].item() == pytest.approx(math.log10(5) / 3)
    assert values[7].item() == pytest.approx((1 + 0.25) ** 0.5 / (20 / 3) ** 0.5)
    assert values[9].item() == pytest.approx(1)
    assert meta_features(x, y, skewed)[9].item() == pytest.approx((math.log(4) - 0.75 * math.log(3)) / math.log(2))


@each_task
def test_meta_features_are_finite_and_of_order_one(task):
    for pool in (None, task.pool_x, task.support_x[:1], task.support_x[:0]):
        values = meta_features(task.support_x, task.support_y, pool)
        assert values.shape == (len(META_FEATURES),)
        assert torch.isfinite(values).all()
        assert values.abs().max() <= 3
