"""The reference learner against its formulas written densely, and what must not matter to it."""

import math

import pytest
import torch
from torch.nn import functional as F

from domains.episode import Episode
from learners.base import compute_prototypes
from learners.methods.reference import NAME_GATE, NAME_SHOTS, ROUNDS, START, Reference, Transductive, Whitened
from learners.representation.axes import Axes, Start, agreement
from learners.representation.task import META_FEATURES, TOKENS, class_tokens, meta_features
from learners.support import Support
from learners.temperature import best_temperature

PARTS = ("represent", "update", "initialise", "finetune")


def gaussians(counts, dim=12, queries=5, pool=(), seed=0, named=None):
    """Gaussian classes with so many support and pool examples each, and names that far from their centres."""
    draw = torch.Generator().manual_seed(seed)
    centres = 1.5 * torch.randn(len(counts), dim, generator=draw)
    spread = torch.linspace(0.3, 2, dim)
    y, pool_y, query_y = (
        torch.arange(len(counts)).repeat_interleave(torch.tensor(n))
        for n in (counts, pool or [0] * len(counts), [queries] * len(counts))
    )
    x, pool_x, query_x = (centres[i] + spread * torch.randn(len(i), dim, generator=draw) for i in (y, pool_y, query_y))
    names = None if named is None else centres + named * torch.randn(len(counts), dim, generator=draw)
    return Episode(x, y, query_x, query_y, pool_x if pool else None, names)


TASKS = {
    "one shot": gaussians([1, 1, 1]),
    "more shots than dimensions": gaussians([10, 7]),
    "a pool": gaussians([2, 2, 2], pool=(4, 9, 1)),
    "a large pool": gaussians([3, 1, 2, 5], pool=(100, 3, 20, 40)),
    "a hundred classes": gaussians([1] * 100, pool=[2] * 100),
    "names": gaussians([1, 1, 1, 1], named=0.5),
    "names and a pool": gaussians([3, 1, 2, 5], pool=(100, 3, 20, 40), named=0.5),
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
        learner.log_rates += 5
    return learner


def logits(learner, task):
    return learner.adapt(Support(task.support_x, task.support_y, task.pool_x, task.names_x)).logits(task.query_x)


@pytest.mark.parametrize("off", PARTS)
def test_each_part_can_be_switched_off_and_names_belong_to_the_initialisation(off):
    task = gaussians([3, 1, 2, 5], 450, pool=(9, 3, 20, 40), named=0.5)  # so wide that axes are fewer than features
    learner = trained(450, frozenset(PARTS) - {off})
    nameless = Episode(*task.tensors[:5])
    assert torch.equal(logits(learner, task), logits(learner, nameless)) == (off == "initialise")


@each_task
@pytest.mark.parametrize("learner", [trained(), Transductive(12), Whitened(12)], ids=lambda learner: learner.name)
def test_adapt_is_what_the_meta_loss_was_computed_with(learner, task):
    if isinstance(learner, Whitened):
        task = Episode(task.support_x, task.support_y, task.query_x, task.query_y, None, task.names_x)
    found = logits(learner, task)
    assert found.shape == (len(task.query_y), task.ways)
    loss = F.cross_entropy(found / best_temperature([found], [task.query_y]), task.query_y).item()
    assert loss == pytest.approx(learner.meta_loss(task).item(), rel=1e-3, abs=1e-5)


@each_task
def test_the_meta_loss_has_a_finite_gradient_in_every_part(task):
    learner = trained()
    loss = learner.meta_loss(task)
    loss.backward()
    gradients = {name: p.grad for name, p in learner.named_parameters()}
    unnamed = {"names", "gate"} if task.names_x is None else set()
    assert {name for name, gradient in gradients.items() if gradient is None} <= unnamed
    assert all(torch.isfinite(gradient).all() for gradient in gradients.values() if gradient is not None)
    used = ("base", "log_rates", "film.0.weight", "shift.weight", "task.token.0.weight")
    for name in used + (() if unnamed else ("names", "gate")):
        assert loss < 1e-6 or gradients[name].abs().max() > 0


def test_the_meta_gradient_equals_finite_differences_where_the_axes_stay(monkeypatch):
    learner, task = (
        trained(5, size=0.2).double(),
        gaussians([2, 1, 2], dim=5, pool=(3, 6, 2), named=0.5).to(torch.double),
    )
    kept, within = [], Axes.within
    monkeypatch.setattr(Axes, "within", lambda *arguments: kept.append(within(*arguments)) or kept[-1])
    learner.meta_loss(task).backward()
    draw, small = torch.Generator().manual_seed(0), 1e-6
    for parameter in learner.parameters():
        direction, ends = torch.randn(parameter.shape, generator=draw, dtype=torch.float64), []
        for sign in (1, -1):
            axes = iter(kept)
            monkeypatch.setattr(Axes, "within", lambda *arguments, axes=axes: next(axes))
            with torch.no_grad():
                parameter += sign * small * direction
                ends.append(learner.meta_loss(task).item())
                parameter -= sign * small * direction
        measured = (ends[0] - ends[1]) / (2 * small)
        assert (parameter.grad * direction).sum().item() == pytest.approx(measured, rel=1e-4, abs=1e-7)


def scaled(x, covariance, power, shrink):
    """V (Lambda + shrink)^-power V^T x, scaled to unit length, with all D axes."""
    values, basis = torch.linalg.eigh(covariance)
    weights = (values.clamp_min(0) / values.clamp_min(0).mean() + shrink) ** -power
    return F.normalize(x @ basis * weights @ basis.T, dim=1)


def number(stage):
    return {name: values[stage] for name, values in START.items()}


def trusted(task):
    """How many examples a name counts as."""
    slope, middle = NAME_GATE
    told = agreement(task.support_x, task.support_y, task.names_x).item()
    return NAME_SHOTS / (1 + math.exp(-slope * (told - middle)))


@pytest.mark.parametrize("counts", [[1, 1, 1], [2, 5, 3], [20, 10, 15]], ids=str)
@pytest.mark.parametrize("named", [None, 0.5])
def test_as_it_starts_it_is_the_nearest_prototype_in_a_partly_whitened_space(counts, named):
    task, at = gaussians(counts, named=named), number(0)
    x, y = task.support_x, task.support_y
    mean, covariance = x.mean(0), torch.cov(x.T, correction=0)
    support, query = (scaled(v - mean, covariance, at["power"], at["shrink"]) for v in (x, task.query_x))
    head = torch.stack([support[y == c].sum(0) for c in range(3)])
    if named:
        names = task.names_x - task.names_x.mean(0)
        head = head + trusted(task) * scaled(names, covariance, at["power"], at["shrink"])
    expected = at["sharpness"] * query @ F.normalize(head, dim=1).T
    assert torch.allclose(logits(Whitened(12), task), expected, atol=2e-3)


@pytest.mark.parametrize("named", [None, 0.5])
def test_transductive_is_soft_clustering_of_support_and_pool_in_ever_better_spaces(named):
    task = gaussians([2, 1, 3], pool=(30, 5, 10), named=named)
    axes, mean = Axes.total(task.support_x, task.support_y, task.pool_x)
    covariance = axes.basis * axes.values @ axes.basis.T
    x, pool, query = (v - mean for v in (task.support_x, task.pool_x, task.query_x))
    labels, even, prior = F.one_hot(task.support_y).float(), 45 / 3, torch.full((3,), 1 / 3)
    soft = torch.zeros(45, 3)
    for stage, rounds in enumerate(ROUNDS):
        at = number(stage)
        if stage:
            members, every = torch.cat([labels, soft]), torch.cat([x, pool])
            means = members.T @ every / members.sum(0)[:, None]
            away = every[:, None] - means  # [n, N, D]
            covariance = torch.einsum("nc,ncd,nce->de", members, away, away) / members.sum()
        support, others, asked = (scaled(v, covariance, at["power"], at["shrink"]) for v in (x, pool, query))
        start = labels.T @ support
        if named:
            names = task.names_x - task.names_x.mean(0)
            start = start + trusted(task) * scaled(names, covariance, at["power"], at["shrink"])
        head = start + soft.T @ others
        for _ in range(rounds):
            share = (at["sharpness"] * others @ F.normalize(head, dim=1).T + prior.log()).softmax(1)
            mass = share.sum(0)
            prior = (mass + at["smoothing"] * even) / (mass + at["smoothing"] * even).sum()
            soft = share * at["pool"] * torch.minimum(even / mass, torch.ones(3))
            head = start + soft.T @ others
    expected = at["sharpness"] * asked @ F.normalize(head, dim=1).T
    assert torch.allclose(logits(Transductive(12), task), expected, atol=2e-2)


def test_descent_follows_the_gradient_of_the_weighted_cross_entropy():
    learner, draw = Reference(4), torch.Generator().manual_seed(0)
    head = F.normalize(torch.randn(3, 4, generator=draw, dtype=torch.float64), dim=1)
    x = F.normalize(torch.randn(6, 4, generator=draw, dtype=torch.float64), dim=1)
    members, sharpness = torch.rand(6, 3, generator=draw, dtype=torch.float64), torch.tensor(5.0, dtype=torch.float64)
    found = learner.descend(head, x, members, torch.tensor([1e-3], dtype=torch.float64), sharpness)
    unit = head.clone().requires_grad_()
    loss = -(members * F.log_softmax(sharpness * x @ unit.T, dim=1)).sum() / members.sum()
    assert torch.allclose(head - 1e-3 * torch.autograd.grad(loss, unit)[0], found)


def test_the_axes_are_those_of_the_covariance_relative_to_its_mean():
    x = gaussians([30, 30]).support_x
    axes, mean = Axes.total(x, torch.arange(2).repeat_interleave(30), None)
    covariance = torch.cov(x.T, correction=0)
    assert torch.allclose(mean, x.mean(0), atol=1e-6)
    assert torch.allclose(axes.basis * axes.values @ axes.basis.T, covariance / covariance.diagonal().mean(), atol=1e-4)
    assert torch.allclose(axes.basis.T @ axes.basis, torch.eye(12), atol=1e-5)


def test_the_axes_within_classes_do_not_see_how_far_apart_the_classes_are():
    task = gaussians([30, 30, 30])
    members = F.one_hot(task.support_y).float()
    apart = 100 * torch.randn(3, 12, generator=torch.Generator().manual_seed(0))[task.support_y]
    near, far = (Axes.within(x, members, 12) for x in (task.support_x, task.support_x + apart))
    assert torch.allclose(near.values, far.values, rtol=1e-2, atol=1e-2)
    assert far.ratio.mean() > near.ratio.mean()


def test_names_agree_with_the_classes_they_name_and_not_with_others():
    task = gaussians([2] * 8, named=0.5)
    told = agreement(task.support_x, task.support_y, task.names_x)
    assert told > 1
    assert agreement(task.support_x, task.support_y, task.names_x.roll(1, 0)).abs() < 0.6
    both = gaussians([1, 1], named=0.1)
    assert torch.isfinite(agreement(both.support_x, both.support_y, both.names_x))


def test_names_that_tell_the_classes_apart_raise_the_accuracy_of_one_shot_and_wrong_ones_hardly_matter():
    right = dict.fromkeys(("none", "true", "wrong"), 0.0)
    for seed in range(10):
        task = gaussians([1] * 6, queries=20, seed=seed, named=0.5)
        for kind, names in (("none", None), ("true", task.names_x), ("wrong", task.names_x.roll(1, 0))):
            found = Whitened(12).adapt(Support(task.support_x, task.support_y, None, names)).logits(task.query_x)
            right[kind] += (found.argmax(1) == task.query_y).double().mean().item() / 10
    assert right["true"] > right["none"] + 0.1
    assert right["wrong"] > right["none"] - 0.05


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
    _, mean = Axes.total(task.support_x, task.support_y, task.pool_x)
    middle = compute_prototypes(task.query_x, task.query_y, 2).mean(0)
    assert (mean - middle).norm() < (task.pool_x.mean(0) - middle).norm()


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
    names = None if task.names_x is None else task.names_x[order.argsort()]
    renamed = Episode(task.support_x, order[task.support_y], task.query_x, order[task.query_y], task.pool_x, names)
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
        *(4 * x + 1 if x is not None and x.is_floating_point() else x for x in task.tensors),
    )
    assert torch.allclose(logits(Transductive(12), task), logits(Transductive(12), moved), atol=5e-2)


def test_untrained_the_reference_is_transductive_but_for_three_small_steps():
    task = TASKS["a large pool"]
    torch.manual_seed(0)
    without = Reference(12, parts=frozenset({"initialise", "finetune"}))
    assert torch.equal(logits(without, task), logits(Transductive(12), task))
    p, q = (F.softmax(logits(learner, task), 1) for learner in (Reference(12), Transductive(12)))
    assert (p.argmax(1) == q.argmax(1)).double().mean() > 0.9


def test_a_pool_raises_the_accuracy_of_one_shot_on_separate_clusters():
    right = {True: 0.0, False: 0.0}
    for seed in range(10):
        task = gaussians([1] * 4, queries=20, pool=[60] * 4, seed=seed)
        for pool in right:
            found = Transductive(12).adapt(Support(task.support_x, task.support_y, task.pool_x if pool else None))
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


@each_task
def test_tokens_of_classes_are_finite_of_order_one_and_blind_to_rotation_and_size(task):
    turn = torch.linalg.qr(torch.randn(12, 12, generator=torch.Generator().manual_seed(0)))[0]
    for pool in (None, task.pool_x):
        tokens = class_tokens(task.support_x, task.support_y, pool)
        assert tokens.shape == (task.ways, len(TOKENS))
        assert torch.isfinite(tokens).all()
        assert tokens.abs().max() <= 3
        turned = class_tokens(3 * task.support_x @ turn, task.support_y, None if pool is None else 3 * pool @ turn)
        assert torch.allclose(tokens, turned, atol=1e-4)


def test_axes_of_little_variance_can_be_left_out_of_a_start_and_what_is_left_is_as_it_was():
    task = gaussians([5, 5], pool=(30, 30))
    whole = Start.of(task.support_x, task.support_y, task.pool_x)
    part = whole.leading(0.9, least=1)
    held = whole.axes.values[6:].sum() / whole.axes.values.sum()
    assert held >= 0.9 > held - whole.axes.values[6] / whole.axes.values.sum()
    assert whole.leading(1.0, least=1) is whole.leading(0.9) is whole
    assert torch.equal(part.axes.values, whole.axes.values.sort().values[-6:])
    assert torch.equal(part.pool, whole.pool[:, 6:])
    assert torch.allclose(part.rotate(task.support_x) - part.mean, part.x, atol=1e-5)
