"""CAML, CNAPs, the LSTM learner and LEO against explicit lines, known answers and unusual but legal supports."""

import copy
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from domains.episode import Episode, Pile, Shape
from learners.bodies import Conv4
from learners.classifier import Classifier, FixedPart
from learners.meta_train import Training, meta_train
from learners.methods.caml import CAML, elmes
from learners.methods.cnaps import CNAPs
from learners.methods.leo import LEO
from learners.methods.lstm_learner import LSTMLearner, log_and_sign
from learners.methods.protonet import ProtoNet
from learners.support import Support

KINDS = {
    "caml": lambda body, ways=None, most=100: CAML(body, ways, width=16, max_ways=most),
    "caml-joint": lambda body, ways=None, most=100: CAML(body, ways, width=16, depth=1, max_ways=most, joint=True),
    "cnaps": CNAPs,
    "cnaps-mean": lambda body, ways=None: CNAPs(body, ways, head="mean"),
    "lstm": LSTMLearner,
    "leo": LEO,
}
each = pytest.mark.parametrize("kind", KINDS)
COUNTS = [[1, 1], [4, 4, 4], [1, 7, 2], [1] * 100]
each_support = pytest.mark.parametrize("counts", COUNTS, ids=lambda c: f"{len(c)}x{c[0]},{c[1]}")


def normal(*size, seed=0):
    return torch.randn(size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def episode(counts, shape=(6,), queries=2, seed=0, pool=0):
    """Gaussian classes with so many support examples each; ``shape`` of an example."""
    centres = 2 * normal(len(counts), *shape, seed=seed)
    y = torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))
    query_y = torch.arange(len(counts)).repeat_interleave(queries)
    x, query_x = (centres[c] + normal(len(c), *shape, seed=seed + i) for i, c in ((1, y), (2, query_y)))
    return Episode(x, y, query_x, query_y, normal(pool, *shape, seed=seed + 3) if pool else None, ways=len(counts))


def new(kind, body=6, ways=None, size=0.1):
    """A learner in float64, away from its special start."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        learner = (KINDS[kind] if isinstance(kind, str) else kind)(copy.deepcopy(body), ways)
    learner = learner.double()
    learner.fit_scale(1.5 * normal(40, 6, seed=8) + 0.5)
    with torch.no_grad():
        for i, parameter in enumerate(learner.parameters()):
            parameter += size * normal(*parameter.shape, seed=i + 1)
    return learner


def without_extras(learner):
    """LEO's objective without noise and penalties is the loss of its classifier."""
    if isinstance(learner, LEO):
        learner.noise, learner.beta, learner.penalty = False, 0.0, 0.0
    return learner


def gradients(learner, episodes, together):
    learner.together = together
    learner.zero_grad()
    losses = learner.backward(episodes)
    return losses, {name: p.grad.clone() for name, p in learner.named_parameters() if p.grad is not None}


# --- what holds for all


@each
@each_support
def test_adapt_is_what_the_meta_loss_was_computed_with(kind, counts):
    task = episode(counts, queries=1 if len(counts) == 100 else 2, pool=9 if len(counts) == 3 else 0)
    learner = without_extras(new(kind)).eval()
    logits = learner.adapt(Support(task.support_x, task.support_y, task.pool_x)).logits(task.query_x)
    assert logits.shape == (len(task.query_y), len(counts))
    loss = F.cross_entropy(logits, task.query_y).item()
    assert loss == pytest.approx(learner.meta_loss(task).item(), rel=1e-9, abs=1e-12)


@each
def test_adapt_on_images_is_what_the_meta_loss_was_computed_with(kind):
    # the statistics of the sources make an example's vector independent of the examples beside it
    body = Conv4(1, 28, 8, statistics="source")
    task, learner = episode([2, 1, 3], (1, 28, 28)), without_extras(new(kind, body))
    learner.eval()
    for module in learner.modules():  # the set encoder sees the support alone in any case
        assert module.training is False
    logits = learner.adapt(Support(task.support_x, task.support_y)).logits(task.query_x)
    assert F.cross_entropy(logits, task.query_y).item() == pytest.approx(learner.meta_loss(task).item(), rel=1e-9)


@each
@pytest.mark.parametrize("body", [6, Conv4(1, 28, 8)], ids=["features", "conv4"])
def test_stacked_episodes_have_the_gradients_of_episodes_one_by_one(kind, body):
    shape = (6,) if body == 6 else (1, 28, 28)
    episodes = [episode([2, 1, 2], shape, seed=10 * i) for i in range(3)]
    learner = new(kind, body)
    learner.progress = 0.3
    one, expected = gradients(learner, episodes, 1)
    both, found = gradients(learner, episodes, 8)
    assert both == pytest.approx(one, rel=1e-9)
    assert found.keys() == expected.keys()
    for name, gradient in expected.items():
        assert torch.isfinite(gradient).all(), name
        assert torch.allclose(found[name], gradient, rtol=1e-8, atol=1e-9), name


@each
def test_every_parameter_is_trained(kind):
    for body, shape in ((6, (6,)), (Conv4(1, 28, 8), (1, 28, 28))):
        learner = new(kind, body)
        _, found = gradients(learner, [episode([2, 3], shape)], 1)
        assert {name for name, _ in learner.named_parameters()} == {n for n, g in found.items() if g.abs().max() > 0}


@each
@pytest.mark.parametrize("body", [6, Conv4(1, 28, 8)], ids=["features", "conv4"])
def test_a_saved_classifier_is_the_same(kind, body, tmp_path):
    task, learner = episode([2, 1, 3], (6,) if body == 6 else (1, 28, 28)), new(kind, body)
    classifier = (
        learner.adapt(Support(task.support_x, task.support_y)).with_labels(["a", "b", "c"]).with_temperature(1.5)
    )
    classifier.save(tmp_path)
    again = Classifier.load(tmp_path)
    assert again.labels == ("a", "b", "c")
    # the tensors are the same to the bit; where they lie in memory may change the order of sums
    for mine, loaded in zip(classifier.layers, again.layers, strict=True):
        if isinstance(mine, FixedPart):
            assert mine.weights.keys() == loaded.weights.keys()
            assert all(torch.equal(value, loaded.weights[name]) for name, value in mine.weights.items())
    assert torch.allclose(again.logits(task.query_x), classifier.logits(task.query_x), rtol=1e-10, atol=1e-12)


@each
def test_later_training_does_not_reach_a_classifier(kind):
    task, learner = episode([2, 1, 3]), new(kind)
    classifier = learner.adapt(Support(task.support_x, task.support_y))
    before = classifier.logits(task.query_x)
    with torch.no_grad():
        for parameter in learner.parameters():
            parameter += 1.0
    assert torch.equal(classifier.logits(task.query_x), before)


@each
def test_another_order_of_examples_or_classes_gives_the_same_answers_in_that_order(kind):
    task, learner = episode([2, 3, 1, 4], queries=5), new(kind)
    rows, classes = torch.tensor([9, 3, 0, 5, 1, 7, 2, 8, 6, 4]), torch.tensor([2, 0, 3, 1])
    one = learner.adapt(Support(task.support_x, task.support_y)).logits(task.query_x)
    other = learner.adapt(Support(task.support_x[rows], classes[task.support_y[rows]])).logits(task.query_x)
    assert torch.allclose(one, other[:, classes], rtol=1e-8, atol=1e-9)
    # a query's answer does not depend on the queries beside it
    assert torch.allclose(
        learner.adapt(Support(task.support_x, task.support_y)).logits(task.query_x[3:4]), one[3:4], rtol=1e-8
    )


@each
@pytest.mark.parametrize("labels", [[0, 2, 2], [0, 1, 1], [1, 2, 2], [1, 1, 1]], ids=str)
def test_with_shared_labels_a_support_may_lack_some_of_them(kind, labels):
    y, task, learner = torch.tensor(labels), episode([1, 1, 1]), without_extras(new(kind, 6, 3))
    task = replace(task, support_y=y, ways=3)
    logits = learner.adapt(Support(task.support_x, y)).logits(task.query_x)
    assert logits.shape == (6, 3)
    loss = learner.meta_loss(task)
    assert loss.item() == pytest.approx(F.cross_entropy(logits, task.query_y).item(), rel=1e-9)
    loss.backward()
    assert all(torch.isfinite(p.grad).all() for p in learner.parameters() if p.grad is not None)
    if kind != "lstm":  # whose rows have all been learned
        absent = [c for c in range(3) if c not in labels]
        assert (logits.softmax(1)[:, absent] < 1e-6).all()


@each
def test_a_bad_support_is_refused(kind):
    learner, task = new(kind), episode([2, 2])
    x, y = task.support_x, task.support_y
    with pytest.raises(ValueError, match="row 2 has a feature that is not finite"):
        learner.adapt(Support(torch.where(torch.arange(4)[:, None] == 2, math.nan, x), y))
    with pytest.raises(ValueError, match=r"labels must be 0\.\.1 with none missing, found \[0, 2\]"):
        learner.adapt(Support(x, 2 * y))
    with pytest.raises(ValueError, match="5 dimensions, the learner was made for 6"):
        learner.adapt(Support(x[:, :5], y))
    with pytest.raises(ValueError, match="1 class; at least 2"):
        learner.adapt(Support(x, 0 * y))
    with pytest.raises(ValueError, match=r"labels must be within 0\.\.1, found \[0, 2\]"):
        new(kind, 6, 2).adapt(Support(x, 2 * y))


@each
@pytest.mark.parametrize("ways", [None, 4])
def test_meta_training_lowers_the_loss_on_held_out_episodes(kind, ways):
    spread = torch.tensor([1.5, 1.5, 1.5, 0, 0, 0])  # only three numbers of six tell classes apart

    def pile(seed):
        draw = torch.Generator().manual_seed(seed)
        centres = spread * torch.randn(ways or 40, 6, generator=torch.Generator().manual_seed(0) if ways else draw)
        y = torch.arange(len(centres)).repeat_interleave(400 // len(centres))
        return Pile(str(seed), centres[y] + torch.randn(len(y), 6, generator=draw), y, shared=ways is not None)

    torch.manual_seed(0)
    learner = KINDS[kind](6, ways, 8) if kind.startswith("caml") else KINDS[kind](6, ways)
    training = Training(Shape((4, 4), (1, 3), 4, (0,)), steps=20, batch=3, rate=4e-3, every=10, episodes=10)
    history = meta_train(learner, [pile(seed) for seed in range(6)], [pile(9)], training)
    assert min(history.validation_loss) < history.validation_loss[0]


def test_leo_and_caml_go_on_as_if_never_stopped(tmp_path):
    y = torch.arange(6).repeat_interleave(12)
    pile = Pile("a", (normal(6, 6)[y] + normal(72, 6, seed=1)).float(), y)
    training = Training(Shape((2, 4), (1, 3), 4, (0,)), steps=6, batch=2, every=2, episodes=2)

    class Stop(Exception):
        pass

    for kind in (LEO, KINDS["caml"]):
        ends = []
        for stops in (False, True):
            torch.manual_seed(0)
            learner, calls = kind(6), []
            path = tmp_path / f"{learner.name}{stops}"

            def progress(n, calls=calls, stops=stops):
                calls.append(n)
                if stops and len(calls) == 3:
                    raise Stop

            if stops:
                with pytest.raises(Stop):
                    meta_train(learner, [pile], [pile], training, path, progress)
                learner = kind(6)
            meta_train(learner, [pile], [pile], training, path)
            ends.append(learner.state_dict())
        assert all(torch.equal(value, ends[1][name]) for name, value in ends[0].items())


# --- CAML


def test_label_vectors_are_as_far_from_each_other_as_can_be():
    for ways in (2, 5, 100):
        products = elmes(ways, 104).double() @ elmes(ways, 104).double().T
        expected = torch.full((ways, ways), -1 / (ways - 1), dtype=torch.float64).fill_diagonal_(1)
        assert torch.allclose(products, expected, atol=1e-6)


def by_hand(context, query, tokens, y, ways, joint):
    """One query's logits: attention head by head, token by token."""
    asked = torch.cat([query, context.unknown])
    x = torch.cat([tokens, asked[None]])
    for block in context.blocks:
        h, (d, heads) = F.layer_norm(x, x.shape[1:], block.before.weight, block.before.bias), (x.shape[1], block.heads)
        q, k, v = (h @ w.T + b for w, b in zip(block.read.weight.split(d), block.read.bias.split(d), strict=True))
        rows = []
        for i in range(len(x)):
            keys = len(x) if joint or i == len(x) - 1 else len(x) - 1
            row = []
            for part in torch.arange(d).chunk(heads):
                weights = torch.stack([q[i, part] @ k[j, part] / len(part) ** 0.5 for j in range(keys)]).softmax(0)
                row.append(weights @ v[:keys, part])
            rows.append(torch.cat(row))
        x = x + torch.stack(rows) @ block.out.weight.T + block.out.bias
        h = F.layer_norm(x, x.shape[1:], block.between.weight, block.between.bias)
        x = x + F.gelu(h @ block.up.weight.T + block.up.bias) @ block.down.weight.T + block.down.bias
    means = torch.stack([x[:-1][y == c].mean(0) for c in range(ways)])
    return context.log_sharpness.exp() * F.cosine_similarity(means, x[-1:])


@pytest.mark.parametrize("joint", [False, True])
@torch.no_grad()
def test_caml_is_attention_over_the_support_written_out(joint):
    task = episode([2, 1, 3])
    learner = new(lambda body, ways: CAML(body, ways, width=8, max_ways=5, joint=joint), size=0.3)
    mean, scale = learner.scaling(task.support_x, None)
    embed = [F.normalize(learner.project((x - mean) / scale), dim=1) for x in (task.support_x, task.query_x)]
    keys = torch.stack([embed[0][task.support_y == c].mean(0) @ learner.direction for c in range(3)]).tolist()
    phi = torch.stack([learner.phi[sorted(keys).index(key)] for key in keys])
    tokens = torch.cat([embed[0], phi[task.support_y]], 1)
    expected = torch.stack([by_hand(learner.context, q, tokens, task.support_y, 3, joint) for q in embed[1]])
    found = learner.adapt(Support(task.support_x, task.support_y)).logits(task.query_x)
    assert torch.allclose(found, expected, rtol=1e-8, atol=1e-10)


def test_untrained_caml_is_the_cosine_to_class_means():
    task, learner = episode([2, 1, 3]), new("caml", size=0)
    mean, scale = learner.scaling(task.support_x, None)
    e, q = (F.normalize(learner.project((x - mean) / scale), dim=1) for x in (task.support_x, task.query_x))
    means = torch.stack([e[task.support_y == c].mean(0) for c in range(3)])
    length = (means.square().sum(1) + 1).sqrt()  # the label vector has length 1
    expected = math.exp(3) * q @ means.T / length
    found = learner.adapt(Support(task.support_x, task.support_y)).logits(task.query_x)
    assert torch.allclose(found, expected, rtol=1e-6)


def test_caml_trains_every_label_vector_though_episodes_have_few_classes():
    task, learner = episode([2, 1, 3]), new("caml")
    used = set()

    def spy(query, tokens, y, ways):
        used.update((tokens[:, 16:] @ learner.phi.T).argmax(1).tolist())
        return query[:, :ways]

    learner.context.logits = spy
    for learner.progress in torch.linspace(0, 1, 301)[:-1].tolist():
        learner.meta_loss(task)
    assert used == set(range(100))
    used.clear()
    learner.eval().meta_loss(task)
    assert used == {0, 1, 2}


def test_caml_names_the_most_classes_it_takes():
    task, learner = episode([1] * 9), new(lambda body, ways: CAML(body, ways, max_ways=8))
    for call in (lambda: learner.adapt(Support(task.support_x, task.support_y)), lambda: learner.meta_loss(task)):
        with pytest.raises(ValueError, match=r"9 classes, the learner was made for at most 8 \(max_ways\)"):
            call()
    assert learner.adapt(Support(task.support_x[:8], task.support_y[:8])).logits(task.query_x).shape == (18, 8)


# --- CNAPs


def test_the_mahalanobis_head_is_numpy():
    task, learner = episode([1, 4, 2]), new("cnaps")
    mean, scale = learner.scaling(task.support_x, None)
    with torch.no_grad():
        x = (task.support_x - mean) / scale
        z = learner.encoder(x).mean(0)
        gamma, beta = learner.generators[0](z).chunk(2)
        f, q = ((1 + gamma) * x + beta, (1 + gamma) * (task.query_x - mean) / scale + beta)
        s = learner.log_sharpness.exp().item()
    f, q, y = f.numpy(), q.numpy(), task.support_y.numpy()
    expected = np.zeros((len(q), 3))
    for k in range(3):
        own = f[y == k]
        sigma = np.cov(own.T) if len(own) > 1 else np.zeros((6, 6))
        share = len(own) / (len(own) + 1)
        inverse = np.linalg.inv(share * sigma + (1 - share) * np.cov(f.T) + np.eye(6))
        for i in range(len(q)):
            expected[i, k] = -s / 2 * (q[i] - own.mean(0)) @ inverse @ (q[i] - own.mean(0))
    found = learner.adapt(Support(task.support_x, task.support_y)).logits(task.query_x).numpy()
    assert np.abs(found / expected - 1).max() < 1e-9


def test_untrained_cnaps_with_unit_covariances_is_protonet():
    task, body = episode([2, 1, 3], (1, 28, 28)), Conv4(1, 28, 8)
    cnaps, protonet = CNAPs(copy.deepcopy(body), head="mean").double(), ProtoNet(copy.deepcopy(body)).double()
    with torch.no_grad():
        protonet.log_sharpness.fill_(math.log(0.5))  # of |.|^2, where CNAPs has 1/2
    one, other = (
        net.adapt(Support(task.support_x, task.support_y)).predict_proba(task.query_x) for net in (cnaps, protonet)
    )
    assert torch.allclose(one, other, rtol=1e-6, atol=1e-12)
    assert cnaps.meta_loss(task).item() == pytest.approx(protonet.meta_loss(task).item(), rel=1e-6)


def test_film_scales_and_shifts_after_each_normalisation():
    task, learner = episode([2, 1], (1, 28, 28)), new("cnaps", Conv4(1, 28, 8))
    with torch.no_grad():
        films = learner.films(task.support_x)
        x = task.support_x
        for i, (gamma, beta) in enumerate(films):
            x = learner.body.norms[i](learner.body.convolutions[i](x))
            x = F.max_pool2d(F.relu(gamma[:, None, None] * x + beta[:, None, None]), 2)
        assert len(films) == 4
        assert all((gamma - 1).abs().max() > 1e-3 for gamma, _ in films)
        assert torch.allclose(learner.embed(task.support_x, films), x.flatten(1), rtol=1e-8)


def test_untrained_cnaps_leaves_the_body_alone():
    task, learner = episode([2, 1], (1, 28, 28)), CNAPs(Conv4(1, 28, 8)).double()
    films = learner.films(task.support_x)
    assert torch.allclose(learner.embed(task.query_x, films), learner.body(task.query_x), rtol=1e-9)


def test_cnaps_refuses_an_unknown_head():
    with pytest.raises(ValueError, match="head is 'euclid'; there are: mahalanobis, mean"):
        CNAPs(6, head="euclid")


# --- LSTM


def test_gates_fixed_at_1_and_a_are_gradient_descent_with_rate_a():
    task, a = episode([2, 1, 3]), 0.3
    learner = new(lambda body, ways: LSTMLearner(body, ways, steps=4))
    with torch.no_grad():
        learner.input_gate.zero_()
        learner.forget_gate.zero_()
        learner.forget_bias.fill_(100)
        learner.input_bias.fill_(math.log(a / (1 - a)))
    mean, scale = learner.scaling(task.support_x, None)
    x, query = (task.support_x - mean) / scale, (task.query_x - mean) / scale
    w = learner.start[:, :-1].detach().expand(3, -1).clone().requires_grad_()
    b = learner.start[:, -1].detach().expand(3).clone().requires_grad_()
    for _ in range(4):
        by_w, by_b = torch.autograd.grad(F.cross_entropy(x @ w.T + b, task.support_y), [w, b])
        w, b = w - a * by_w, b - a * by_b
    found = learner.adapt(Support(task.support_x, task.support_y)).logits(task.query_x)
    assert torch.allclose(found, query @ w.T + b, rtol=1e-9, atol=1e-12)


def test_the_cell_is_the_formula_number_by_number():
    learner = new("lstm", size=0.5)
    c, i, f, grad, loss = (normal(*s, seed=k) for k, s in enumerate([(2, 3), (2, 3), (2, 3), (2, 3), ()]))
    grad[0, 0], grad[1, 2] = 1e-6, 0.0
    w_i, w_f = learner.input_gate.tolist(), learner.forget_gate.tolist()

    def tell(x):
        return (math.log(abs(x)) / 10, math.copysign(1, x)) if abs(x) >= math.exp(-10) else (-1, math.exp(10) * x)

    def gate(weights, bias, *seen):
        return 1 / (1 + math.exp(-sum(w * x for w, x in zip(weights, seen, strict=True)) - bias.item()))

    next_c, next_i, next_f = learner.cell(c, i, f, grad, loss)
    for at in [(n, d) for n in range(2) for d in range(3)]:
        g, value = grad[at].item(), c[at].item()
        seen = (*tell(g), *tell(loss.item()), value)
        new_i = gate(w_i, learner.input_bias, *seen, i[at].item())
        new_f = gate(w_f, learner.forget_bias, *seen, f[at].item())
        assert next_i[at].item() == pytest.approx(new_i, rel=1e-9)
        assert next_f[at].item() == pytest.approx(new_f, rel=1e-9)
        assert next_c[at].item() == pytest.approx(new_f * value - new_i * g, rel=1e-9)


def test_told_numbers_have_finite_derivatives_at_0():
    x = torch.tensor([0.0, 1e-30, 1e-3, -5.0], dtype=torch.float64, requires_grad=True)
    sum(part.sum() for part in log_and_sign(x)).backward()
    assert torch.isfinite(x.grad).all()


def test_the_second_order_of_the_lstm_is_the_derivative_of_its_loss():
    task = episode([2, 1, 3])
    learner = new(lambda body, ways: LSTMLearner(body, ways, steps=3, first_order=False))
    assert slope_error(learner, lambda: learner.meta_loss(task)) < 1e-6


# --- LEO


def slope_error(learner, loss):
    """The relative error of the gradient along one direction against a central difference."""
    parameters = list(learner.parameters())
    found = torch.autograd.grad(loss(), parameters)
    along = [normal(*p.shape, seed=90 + i) for i, p in enumerate(parameters)]
    slope = sum((g * v).sum() for g, v in zip(found, along, strict=True)).item()
    values = []
    with torch.no_grad():
        for step in (1e-6, -2e-6):
            for p, v in zip(parameters, along, strict=True):
                p += step * v
            values.append(loss().item())
    return abs((values[0] - values[1]) / 2e-6 - slope) / abs(slope)


def test_leo_without_steps_and_an_identity_decoder_has_its_codes_as_head():
    task = episode([2, 1, 3])
    learner = new(lambda body, ways: LEO(body, ways, latent=6, latent_steps=0, steps=0))
    with torch.no_grad():
        learner.decoder.copy_(torch.eye(6))
    mean, scale = learner.scaling(task.support_x, None)
    x, query = (F.normalize((x - mean) / scale, dim=1) for x in (task.support_x, task.query_x))
    e = torch.stack([x[task.support_y == c].mean(0) for c in range(3)]) @ learner.encoder.T
    code = e + torch.stack([torch.stack([learner.relation(torch.cat([a, b])) for b in e]).mean(0)[:6] for a in e])
    found = learner.adapt(Support(task.support_x, task.support_y)).logits(task.query_x)
    assert torch.allclose(found, query @ code.T, rtol=1e-9, atol=1e-12)


def test_a_latent_step_goes_down_the_slope_measured_by_finite_differences():
    task = episode([2, 1, 3])
    learner = new(lambda body, ways: LEO(body, ways, latent=4, latent_steps=1, steps=0))
    x, y, z = task.support_x, task.support_y, normal(3, 4, seed=5)
    with torch.no_grad():
        after = learner.head(z, x, y)[2]
        for at in [(n, d) for n in range(3) for d in range(4)]:
            step = torch.zeros_like(z)
            step[at] = 1e-5
            up, down = (F.cross_entropy(x @ learner.decoder @ (z + s).T, y) for s in (step, -step))
            slope = ((up - down) / 2e-5).item()
            assert ((z - after)[at] / learner.log_alpha.exp()).item() == pytest.approx(slope, rel=1e-6, abs=1e-9)


def test_the_objective_of_leo_is_the_paper_written_out():
    task = episode([2, 1, 3])
    learner = new(lambda body, ways: LEO(body, ways, latent=4, latent_steps=2, steps=2, beta=0.3, penalty=0.2))
    learner.progress = 0.25
    mean, scale = learner.scaling(task.support_x, None)
    x, query = (F.normalize((x - mean) / scale, dim=1) for x in (task.support_x, task.query_x))
    mu, log_sigma = learner.codes(x, task.support_y, 3)
    code = torch.distributions.Normal(mu, log_sigma.exp())
    z = start = mu + code.stddev * learner.draws(3)
    for _ in range(2):
        (g,) = torch.autograd.grad(F.cross_entropy(x @ learner.decoder @ z.T, task.support_y), z, create_graph=True)
        z = z - learner.log_alpha.exp() * g
    w = z @ learner.decoder.T
    for _ in range(2):
        (g,) = torch.autograd.grad(F.cross_entropy(x @ w.T, task.support_y), w, create_graph=True)
        w = w - learner.log_gamma.exp() * g
    unit = torch.distributions.Normal(torch.zeros_like(mu), torch.ones_like(mu))
    kl = torch.distributions.kl_divergence(code, unit).sum() / 3
    expected = F.cross_entropy(query @ w.T, task.query_y) + 0.3 * kl + 0.2 * (z.detach() - start).square().sum() / 3
    assert learner.meta_loss(task).item() == pytest.approx(expected.item(), rel=1e-9)
    mine, theirs = (torch.autograd.grad(v, list(learner.parameters())) for v in (learner.meta_loss(task), expected))
    assert all(torch.allclose(a, b, rtol=1e-8, atol=1e-12) for a, b in zip(mine, theirs, strict=True))


def test_the_gradient_of_leo_is_the_derivative_of_its_loss():
    task = episode([2, 1, 3])
    learner = new(lambda body, ways: LEO(body, ways, latent=4, penalty=0.0))  # the penalty stops a gradient
    assert slope_error(learner, lambda: learner.meta_loss(task)) < 1e-6


def test_the_noise_of_leo_follows_from_the_progress_alone_and_looks_normal():
    one, other, found = LEO(6), LEO(6), []
    for step in range(300):
        one.progress = other.progress = step / 300
        found.append(one.draws(5))
        assert torch.equal(found[-1], other.draws(5))
    every = torch.stack(found)
    assert len(every.flatten(1).unique(dim=0)) == 300
    assert abs(every.mean().item()) < 0.02
    assert every.std().item() == pytest.approx(1, abs=0.02)
    assert "table" not in one.state_dict()
