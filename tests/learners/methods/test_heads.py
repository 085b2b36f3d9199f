"""Matching, relation, ridge and SVM heads against formulas, other solvers and finite differences."""

import math
import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.svm import LinearSVC
from torch.nn import functional as F

from domains.episode import Episode, Pile, Shape
from learners.base import ABSENT
from learners.bodies import MLP, Conv4
from learners.classifier import Classifier
from learners.meta_train import Training, meta_train
from learners.methods.matching import FLOOR, MatchingNet
from learners.methods.relation import RelationNet
from learners.methods.ridge import Ridge, solve
from learners.methods.svm import Dual, SVMHead
from learners.support import Support

HEADS = [MatchingNet, RelationNet, Ridge, SVMHead]
each_head = pytest.mark.parametrize("kind", HEADS, ids=lambda kind: kind.name)
SUPPORTS = [[1, 1], [4, 4, 4], [1, 9, 2], [1] * 100]


def normal(*size, seed=0):
    return torch.randn(size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def episode(counts, shape=(6,), queries=3, seed=0, pool=0):
    """Gaussian classes with so many support examples each."""
    draw = torch.Generator().manual_seed(seed)

    def noise(n):
        return torch.randn(n, *shape, generator=draw, dtype=torch.float64)

    centres = noise(len(counts))
    y = torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))
    query_y = torch.arange(len(counts)).repeat_interleave(queries)
    support, query = centres[y] + noise(len(y)), centres[query_y] + noise(len(query_y))
    return Episode(support, y, query, query_y, noise(pool) if pool else None)


def new(kind, body=6, ways=None, size=0.1, **settings):
    """A learner in float64, away from its special start, with source statistics that are not special."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        learner = kind(body, ways, **settings).double()
    if not learner.raw:
        learner.fit_scale(2 * normal(40, learner.dim, seed=9) + 1)
    with torch.no_grad():
        for i, parameter in enumerate(learner.parameters()):
            parameter += size * normal(*parameter.shape, seed=i + 1)
    return learner


def embedded(learner, task):
    """Standardised support and query of a learner of features."""
    mean, scale = learner.scaling(task.support_x, task.pool_x)
    return (task.support_x - mean) / scale, (task.query_x - mean) / scale


def crammer_singer(x, y, c):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        machine = LinearSVC(C=c, multi_class="crammer_singer", fit_intercept=False, tol=1e-10, max_iter=100_000)
        return torch.tensor(machine.fit(x.numpy(), y.numpy()).coef_)


def adapted_loss(learner, task):
    logits = learner.adapt(Support(task.support_x, task.support_y, task.pool_x)).logits(task.query_x)
    if isinstance(learner, RelationNet):
        return F.mse_loss(logits.sigmoid(), F.one_hot(task.query_y, logits.shape[1]).double())
    return F.cross_entropy(logits, task.query_y)


def finite_difference(learner, task, parameter, index, step=1e-5):
    losses = []
    with torch.no_grad():
        for sign in (1, -1):
            parameter[index] += sign * step
            losses.append(learner.meta_loss(task).item())
            parameter[index] -= sign * step
    return (losses[0] - losses[1]) / (2 * step)


# what each head is


def test_three_points_give_matching_s_probabilities_by_hand():
    # cosines of (1, 0) with the support: 1, 0 and -1; s = 2; the first and the last are of class 0
    learner = MatchingNet(2, ways=2, sharpness=2.0)
    x, y = torch.tensor([[3.0, 0], [0, 5], [-2, 0]]), torch.tensor([0, 1, 0])
    e = [math.exp(2), 1, math.exp(-2)]
    p = learner.adapt(Support(x, y)).predict_proba(torch.tensor([[0.5, 0]]))[0]
    assert p.tolist() == pytest.approx([(e[0] + e[2]) / sum(e), e[1] / sum(e)], rel=1e-6)
    assert not learner.log_sharpness.requires_grad


def test_matching_sums_the_attention_to_each_class():
    learner, task = new(MatchingNet), episode([3, 1, 2], pool=5)
    support, query = (F.normalize(u @ learner.weight.T, dim=1) for u in embedded(learner, task))
    p = (learner.log_sharpness.exp() * query @ support.T).softmax(1) @ F.one_hot(task.support_y).double()
    assert torch.allclose(
        learner.adapt(Support(task.support_x, task.support_y, task.pool_x)).predict_proba(task.query_x), p, rtol=1e-9
    )
    assert learner.meta_loss(task).item() == pytest.approx(F.nll_loss(p.log(), task.query_y).item(), rel=1e-9)


def test_matching_s_loss_of_a_confident_mistake_has_a_gradient():
    learner = MatchingNet(2, ways=2, sharpness=50.0)
    x = torch.tensor([[1.0, 0], [-1, 0]])
    loss = learner.meta_loss(Episode(x, torch.tensor([0, 1]), x[:1] + 0.1, torch.tensor([1])))
    loss.backward()
    assert loss.item() > -FLOOR
    assert learner.weight.grad.abs().max() > 0.5


def test_relation_s_classifier_is_its_network_on_every_pair():
    learner, task = new(RelationNet), episode([3, 1, 2], pool=5)
    support, query = embedded(learner, task)
    classes = torch.stack([support[task.support_y == c].mean(0) for c in range(3)])
    first = torch.cat([learner.of_query, learner.of_class], 1)  # on [q; c]
    logits = torch.zeros(len(query), 3, dtype=torch.float64)
    for i, q in enumerate(query):
        for j, c in enumerate(classes):
            hidden = F.relu(first @ torch.cat([q, c]) + learner.inner_bias)
            logits[i, j] = (learner.weight @ hidden + learner.bias)[0]
    found = learner.adapt(Support(task.support_x, task.support_y, task.pool_x)).logits(task.query_x)
    assert torch.allclose(found, logits, rtol=1e-9)
    loss = (logits.sigmoid() - F.one_hot(task.query_y)).square().mean()
    assert learner.meta_loss(task).item() == pytest.approx(loss.item(), rel=1e-9)


def test_relation_starts_as_minus_a_distance():
    learner = new(RelationNet, size=0)
    q, c = normal(1, 6), normal(1, 6, seed=1)
    g = learner.relation(c, torch.tensor([0]), q, 1).item()
    distance = (learner.of_query[:128] @ (q - c)[0]).abs().mean()
    assert g == pytest.approx((7 - 8 * distance).item(), rel=1e-9)
    assert learner.relation(q, torch.tensor([0]), q, 1).item() == pytest.approx(7)


@pytest.mark.parametrize(("n", "dim"), [(5, 9), (30, 4)], ids=["woodbury", "normal equations"])
def test_ridge_is_the_solution_of_the_normal_equations(n, dim):
    x, y, strength = normal(n, dim), normal(n, 3, seed=1), 0.37
    a = x.numpy()
    expected = np.linalg.solve(a.T @ a + strength * np.eye(dim), a.T @ y.numpy()).T
    assert np.allclose(solve(x, y, torch.tensor(strength)), expected, rtol=1e-10)


def test_ridge_of_two_points_on_a_line_by_hand():
    # x = 1 of class 0 and x = -2 of class 1, lambda = 1: w = (1, -2) / (1 + 4 + 1)
    learner = Ridge(1, ways=2)
    with torch.no_grad():
        learner.bias.copy_(torch.tensor([0.5, 0.0]))
    logits = learner.adapt(Support(torch.tensor([[1.0], [-2]]), torch.tensor([0, 1]))).logits(torch.tensor([[3.0]]))
    assert logits[0].tolist() == pytest.approx([10 * 3 / 6 + 0.5, 10 * -6 / 6])


def test_ridge_s_head_is_scaled_ridge_regression_on_one_hot_labels():
    learner, task = new(Ridge), episode([3, 1, 2], pool=5)
    x, query = ((u @ learner.weight.T / 6**0.5).detach().numpy() for u in embedded(learner, task))
    w = np.linalg.solve(
        x.T @ x + learner.log_lambda.exp().item() * np.eye(6), x.T @ F.one_hot(task.support_y).double().numpy()
    )
    expected = learner.log_scale.exp().item() * query @ w + learner.bias.item()
    found = learner.adapt(Support(task.support_x, task.support_y, task.pool_x)).logits(task.query_x)
    assert np.allclose(found, expected, rtol=1e-9)


@pytest.mark.parametrize("strength", [1.0, 1e-3])
def test_ridge_is_stable_in_single_precision_for_100_classes_of_10(strength):
    y = torch.arange(100).repeat_interleave(10)
    x = (normal(100, 1100)[y] + normal(1000, 1100, seed=1) + 1) / 1100**0.5
    query, target = (normal(20, 1100, seed=2) + 1) / 1100**0.5, F.one_hot(y).double()
    one = query @ solve(x, target, torch.tensor(strength)).T
    other = query.float() @ solve(x.float(), target.float(), torch.tensor(strength)).T
    assert (one - other).abs().max() < 1e-4


def test_ridge_regresses_on_targets_that_are_numbers():
    x, query = normal(30, 4), normal(5, 4, seed=1)
    w = normal(1, 4, seed=2)
    learner = Ridge(MLP(4, [16])).double()
    task = Episode(x, x @ w.T, query, query @ w.T)
    outputs = learner.adapt(Support(x, x @ w.T)).logits(query)
    assert learner.meta_loss(task).item() == pytest.approx(F.mse_loss(outputs, query @ w.T).item(), rel=1e-9)


@pytest.mark.parametrize("c", [0.1, 1.0, 10.0])
@pytest.mark.parametrize(
    ("counts", "dim", "mean"), [([5] * 5, 40, 0), ([5] * 5, 40, 3), ([1, 9, 2], 6, 0), ([12] * 3, 4, 0), ([1, 1], 6, 0)]
)
def test_the_dual_solution_is_that_of_liblinear(counts, dim, mean, c):
    task = episode(counts, (dim,))
    x, query = (u / dim**0.5 + mean / 3 for u in (task.support_x, task.query_x))
    label = F.one_hot(task.support_y).double()
    alpha, _ = Dual.apply(x @ x.T, label, c, 16)
    found, expected = query @ x.T @ alpha, query @ crammer_singer(x, task.support_y, c).T
    if len(counts) == 2:  # liblinear keeps one row for two classes
        found, expected = (found[:, 1] - found[:, 0])[:, None], expected
    assert (found - expected).abs().max() < 1e-5
    assert (alpha <= c * label + 1e-9).all()
    assert alpha.sum(1).abs().max() < 1e-9


def test_the_machine_of_two_points_on_a_line_by_hand():
    # x = 1 and -1: w_0 = -w_1 = alpha x_1 - (-alpha) x_2 = 2 alpha; the margin w_0 - w_1 = 4 alpha = 1 unless C is less
    label, gram = torch.eye(2).double(), torch.tensor([[1.0, -1], [-1, 1]]).double()
    for c, alpha in ((1.0, 0.25), (0.1, 0.1)):
        found, _ = Dual.apply(gram, label, c, 16)
        assert torch.allclose(found, alpha * torch.tensor([[1.0, -1], [-1, 1]]).double(), atol=1e-7)


def test_the_svm_head_is_the_scaled_machine_of_the_embedding():
    learner, task = new(SVMHead), episode([3, 1, 4], pool=5)
    x, query = ((u @ learner.weight.T / 6**0.5).detach() for u in embedded(learner, task))
    expected = learner.log_scale.exp() * query @ crammer_singer(x, task.support_y, 1.0).T
    found = learner.adapt(Support(task.support_x, task.support_y, task.pool_x)).logits(task.query_x)
    assert (found - expected).abs().max() < 1e-4


def test_a_badly_conditioned_machine_is_solved_too():
    # long vectors with a large common part, as of a body that ends in ReLU
    task = episode([5] * 5, (64,))
    x, query = 3 * (task.support_x + 4), 3 * (task.query_x + 4)
    label = F.one_hot(task.support_y).double()
    few, many = (Dual.apply(x @ x.T, label, 0.1, steps)[0] for steps in (16, 50))
    assert (query @ x.T @ (few - many)).abs().max() < 1e-4
    single, _ = Dual.apply((x @ x.T).float(), label.float(), 0.1, 16)
    assert (query @ x.T @ (single.double() - many)).abs().max() < 1e-3


@each_head
@pytest.mark.parametrize("counts", [[3, 1, 4], [9, 8]], ids=str)
def test_gradients_are_finite_differences(kind, counts):
    learner, task = new(kind, size=0.2), episode(counts, pool=4)
    gradients = torch.autograd.grad(learner.meta_loss(task), list(learner.parameters()))
    for parameter, gradient in zip(learner.parameters(), gradients, strict=True):
        for i in {0, parameter.numel() // 2, parameter.numel() - 1}:
            index = tuple(int(k) for k in np.unravel_index(i, parameter.shape))
            expected = finite_difference(learner, task, parameter, index)
            assert gradient[index].item() == pytest.approx(expected, rel=1e-5, abs=1e-7)


# what every head promises


@each_head
@pytest.mark.parametrize("counts", SUPPORTS, ids=lambda c: f"{len(c)}x{c[:3]}")
def test_adapt_is_what_the_meta_loss_was_computed_with(kind, counts):
    learner, task = new(kind), episode(counts, pool=7)
    if len(counts) == 100:
        learner.steps = 3  # of the SVM: what both do needs no solution
    assert adapted_loss(learner, task).item() == pytest.approx(learner.meta_loss(task).item(), rel=1e-8)


@each_head
def test_adapt_is_what_the_meta_loss_was_computed_with_on_raw_examples(kind):
    learner, task = new(kind, MLP(6, [12]), size=0.05), episode([3, 1, 2])
    assert adapted_loss(learner, task).item() == pytest.approx(learner.meta_loss(task).item(), rel=1e-8)


@each_head
def test_an_image_body_embeds_support_and_query_together_in_meta_training(kind):
    learner, task = new(kind, Conv4(1, 28, 8), size=0.02), episode([2, 1], (1, 28, 28))
    both = learner.body(torch.cat([task.support_x, task.query_x])).detach()
    vectors = new(kind, MLP(both.shape[1], [both.shape[1]]))  # its body is replaced by one that changes nothing
    vectors.load_state_dict({k: v for k, v in learner.state_dict().items() if "body" not in k}, strict=False)
    vectors.body.forward = lambda x: x
    given = replace(task, support_x=both[:3], query_x=both[3:])
    assert vectors.meta_loss(given).item() == pytest.approx(learner.meta_loss(task).item(), rel=1e-9)
    assert learner.adapt(Support(task.support_x, task.support_y)).logits(task.query_x).shape == (6, 2)


@each_head
@pytest.mark.parametrize("ways", [None, 4])
@pytest.mark.parametrize("image", [False, True], ids=["features", "conv4"])
def test_episodes_at_once_have_the_gradients_of_one_after_the_other(kind, ways, image):
    shape = (1, 28, 28) if image else (6,)
    learner = new(kind, Conv4(1, 28, 8) if image else 6, ways, size=0.02)
    tasks = [episode([2, 1, 3], shape, 2, seed, pool=0 if image else 4) for seed in range(3)]
    found = []
    for learner.together in (8, 1):
        learner.zero_grad()
        losses = learner.backward(tasks)
        found.append((losses, [p.grad.clone() for p in learner.parameters()]))
    (one, mine), (other, theirs) = found
    assert one == pytest.approx(other, rel=1e-9)
    for a, b in zip(mine, theirs, strict=True):
        assert (a - b).abs().max() < 1e-9 * max(1.0, b.abs().max().item())


@each_head
@pytest.mark.parametrize("body", [6, MLP(6, [5]), Conv4(1, 28, 8)], ids=["features", "mlp", "conv4"])
def test_a_classifier_is_the_same_after_saving(kind, body, tmp_path):
    learner, task = new(kind, body), episode([2, 1, 2], (body,) if isinstance(body, int) else body.shape)
    classifier = learner.adapt(Support(task.support_x, task.support_y)).with_labels(["a", "b", "c"])
    classifier.save(tmp_path)
    again = Classifier.load(tmp_path)
    assert torch.allclose(again.logits(task.query_x), classifier.logits(task.query_x), rtol=1e-12)
    assert again.labels == ("a", "b", "c")


@each_head
@pytest.mark.parametrize("labels", [[0, 2, 2], [1, 2, 2], [1, 1, 1]], ids=str)
def test_with_shared_labels_a_support_may_lack_some_of_them(kind, labels):
    learner, y, task = new(kind, ways=3), torch.tensor(labels), episode([1, 1, 1])
    task = replace(task, support_y=y)
    p = learner.adapt(Support(task.support_x, y)).predict_proba(task.query_x)
    assert p.shape == (len(task.query_y), 3)
    assert (p[:, [c for c in range(3) if c not in labels]] < 1e-3).all()
    loss = learner.meta_loss(task)
    assert loss.item() == pytest.approx(adapted_loss(learner, task).item(), rel=1e-8)
    loss.backward()
    assert all(torch.isfinite(parameter.grad).all() for parameter in learner.parameters())


@pytest.mark.parametrize("kind", [Ridge, SVMHead], ids=lambda kind: kind.name)
def test_an_absent_label_changes_nothing_among_the_others(kind):
    task = episode([3, 2])
    logits = []
    for ways in (2, 3):
        learner = new(kind, ways=ways, size=0)
        logits.append(learner.adapt(Support(task.support_x, task.support_y)).logits(task.query_x))
    assert torch.allclose(logits[1][:, :2], logits[0], rtol=1e-7)
    assert (logits[1][:, 2] < ABSENT).all()


@each_head
def test_an_absent_label_is_never_preferred_however_far_a_query_is(kind):
    task, learner = episode([3, 2]), new(kind, ways=3)
    logits = learner.adapt(Support(task.support_x, task.support_y)).logits(1000 * task.query_x)
    assert (logits.argmax(1) != 2).all()


@each_head
def test_classes_in_another_order_give_the_same_answers_in_that_order(kind):
    learner, task, order = new(kind), episode([2, 3, 4]), torch.tensor([2, 0, 1])
    one = learner.adapt(Support(task.support_x, task.support_y)).logits(task.query_x)
    other = learner.adapt(Support(task.support_x, order[task.support_y])).logits(task.query_x)
    assert torch.allclose(one, other[:, order], atol=1e-7)


@each_head
def test_equal_examples_of_all_classes_do_no_harm_in_meta_training_and_are_refused_when_adapting(kind):
    learner = new(kind)
    x = torch.ones(4, 6, dtype=torch.float64)
    loss = learner.meta_loss(Episode(x, torch.tensor([0, 0, 1, 1]), x, torch.tensor([0, 1, 0, 1])))
    loss.backward()
    assert all(torch.isfinite(parameter.grad).all() for parameter in learner.parameters())
    with pytest.raises(ValueError, match="all 4 support examples are the same"):
        learner.adapt(Support(x, torch.tensor([0, 0, 1, 1])))


@each_head
@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (torch.full((2, 6), math.nan), [0, 1], "row 0 has a feature that is not finite"),
        (torch.zeros(2, 6), [0, 2], "labels must be 0..1"),
        (torch.zeros(2, 6), [0, 0], "1 class"),
        (torch.zeros(2, 5), [0, 1], "5 dimensions, the learner was made for 6"),
        (torch.zeros(3, 6), [0, 1], "support must be"),
    ],
    ids=["nan", "labels", "one class", "dimensions", "lengths"],
)
def test_a_support_that_cannot_be_is_refused(kind, x, y, message):
    with pytest.raises(ValueError, match=message):
        kind(6).adapt(Support(x, torch.tensor(y)))


def test_a_support_too_large_for_the_machine_is_refused():
    with pytest.raises(ValueError, match=r"100 classes and 1000 support examples .* room for 30,000,000"):
        SVMHead(6).adapt(Support(torch.eye(1000, 6), torch.arange(100).repeat(10)))


@each_head
def test_meta_training_lowers_the_loss_on_held_out_episodes(kind):
    def pile(name, seed):
        draw = torch.Generator().manual_seed(seed)
        centres, y = torch.randn(8, 12, generator=draw), torch.arange(8).repeat_interleave(20)
        centres[:, 4:] = 0  # most features tell nothing
        return Pile(name, centres[y] + 0.5 * torch.randn(len(y), 12, generator=draw), y)

    with torch.random.fork_rng():
        torch.manual_seed(0)
        learner = kind(12)
    piles = [pile("a", 1), pile("b", 2), pile("c", 3)]
    learner.fit_scale(torch.cat([p.x for p in piles]))
    shape = Shape(ways=(3, 3), shots=(2, 2), queries=4)
    history = meta_train(
        learner, piles, [pile("d", 4)], Training(shape, steps=20, batch=6, rate=1e-2, every=20, episodes=15)
    )
    assert min(history.validation_loss) < 0.95 * history.validation_loss[0]
