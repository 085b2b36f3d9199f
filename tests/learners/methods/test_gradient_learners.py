"""The relatives of MAML, and training without episodes, against a few explicit lines and numbers on paper."""

import copy
import math
from dataclasses import asdict, replace

import pytest
import torch
from torch.nn import functional as F

from domains.episode import Episode, Pile, Shape
from learners import checkpoint
from learners.bodies import MLP, Body, Conv4
from learners.bodies.norm import BatchNorm
from learners.classifier import Classifier
from learners.heads.network import Network
from learners.meta_train import Training, meta_train
from learners.methods.anil import ANIL, descend_head
from learners.methods.finetune import Finetune, label_classes
from learners.methods.fomaml import FOMAML
from learners.methods.maml import MAML
from learners.methods.maml_plus_plus import MAMLPlusPlus
from learners.methods.meta_sgd import MetaSGD
from learners.methods.reptile import Reptile, minibatches
from learners.plain.scratch import Scratch
from learners.support import Support

META = [FOMAML, Reptile, ANIL, MetaSGD, MAMLPlusPlus]
each_meta = pytest.mark.parametrize("kind", META)
each_kind = pytest.mark.parametrize("kind", [*META, Finetune, Scratch])
COUNTS = [[1, 1], [4, 4, 4], [1, 6, 2], [1] * 5, [1] * 100]


@pytest.fixture(autouse=True)
def fixed():
    """Constructors draw from torch's own generator."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


def normal(*size, seed=0):
    return torch.randn(*size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def episode(counts=(3, 1, 2), shape=(6,), queries=2, seed=0):
    """Gaussian classes with so many support examples each."""
    centres = normal(len(counts), *shape, seed=seed)
    y, query_y = torch.arange(len(counts)).repeat_interleave(torch.tensor(counts)), torch.arange(len(counts))
    query_y = query_y.repeat(queries)
    x, query_x = (centres[i] + 0.7 * normal(len(i), *shape, seed=seed + k) for k, i in ((100, y), (200, query_y)))
    return Episode(x, y, query_x, query_y)


def moved(learner, size=0.05):
    """The learner in float64, away from its special start."""
    learner = learner.double()
    with torch.no_grad():
        for i, parameter in enumerate(learner.parameters()):
            parameter += size * normal(*parameter.shape, seed=i + 1)
    return learner


def close(one, other, rel=1e-6):
    return (one - other).norm() <= rel * other.norm() + 1e-12


class Still(Body):
    """Numbers as they are, not standardised."""

    name, config, shape, dim = "still", {}, (1,), 1

    def forward(self, x):
        return x


def line_learner(kind, **arguments):
    """A learner of y = w x + b at w = 1, b = 0, and an episode whose b has no gradient, for x and y are odd.

    L_support = (w - 3)^2, so w_1 = w - 0.1 * 2 (w - 3) = 1.4. L_query = (2 w_1 - 8)^2 = 5.2^2.
    """
    learner = kind(Still(), 1, steps=1, rate=0.1, **arguments).double()
    with torch.no_grad():
        learner.network.weight.fill_(1)
        learner.network.bias.zero_()
    numbers = ([1.0, -1], [3.0, -3], [2.0, -2], [8.0, -8])
    return learner, Episode(*(torch.tensor(column, dtype=torch.float64)[:, None] for column in numbers))


def images(seed=0, counts=(2, 1, 2)):
    return episode(counts, (1, 28, 28), seed=seed)


# what all have in common


@each_meta
@pytest.mark.parametrize("ways", [None, 3])
@pytest.mark.parametrize("conv", [False, True], ids=["features", "conv4"])
def test_episodes_run_at_once_have_the_gradients_of_episodes_one_by_one(kind, ways, conv):
    learner = moved(kind(Conv4(1, 28, 8) if conv else 6, ways, **({"batch": 2} if kind is Reptile else {})))
    learner.progress = 0.4 if kind is MAMLPlusPlus else 0.0  # second order
    tasks, found = [images(s) if conv else episode(seed=s) for s in range(3)], []
    for together in (1, 8):
        learner.together = together
        learner.zero_grad()
        losses = torch.tensor(learner.backward(tasks), dtype=torch.float64)
        found.append([losses, *(p.grad for p in learner.parameters() if p.grad is not None)])
    for mine, theirs in zip(*found, strict=True):
        assert torch.allclose(mine, theirs, rtol=1e-9, atol=1e-11)
    assert any(gradient.abs().max() > 1e-4 for gradient in found[0][1:])


@each_meta
@pytest.mark.parametrize("counts", COUNTS, ids=lambda c: f"{len(c)}x{c[:3]}")
def test_adapt_is_what_the_meta_loss_was_computed_with(kind, counts, tmp_path):
    learner, task = kind(6), episode(counts)
    if kind is Reptile:
        learner = kind(6, test_steps=5)
    learner.fit_scale((3 * normal(50, 6) + 1).float())
    learner = moved(learner, 0.02).eval()
    classifier = learner.adapt(Support(task.support_x, task.support_y))
    logits = classifier.logits(task.query_x)
    assert logits.shape == (len(task.query_y), len(counts))
    assert F.cross_entropy(logits, task.query_y).item() == pytest.approx(learner.meta_loss(task).item(), rel=1e-9)
    classifier.save(tmp_path)
    assert torch.allclose(Classifier.load(tmp_path).logits(task.query_x), logits, atol=1e-12)


@each_meta
def test_on_images_too(kind, tmp_path):
    learner = moved(kind(Conv4(1, 28, 8), test_steps=5, steps=5), 0.02).eval()
    task = images()
    classifier = learner.adapt(Support(task.support_x, task.support_y))
    logits = classifier.logits(task.query_x)
    assert F.cross_entropy(logits, task.query_y).item() == pytest.approx(learner.meta_loss(task).item(), rel=1e-9)
    classifier.save(tmp_path)
    assert torch.allclose(Classifier.load(tmp_path).logits(task.query_x), logits, atol=1e-12)


@each_kind
@pytest.mark.parametrize("counts", [[1, 1], [1, 6, 2], [1] * 100], ids=lambda c: f"{len(c)}x{c[:3]}")
def test_any_support_gives_a_classifier_and_changes_nothing_in_the_learner(kind, counts):
    learner, task = kind(6), episode(counts)
    before = copy.deepcopy(learner.state_dict())
    with torch.no_grad():
        classifier = learner.adapt(Support(task.support_x.float(), task.support_y))
        p = classifier.predict_proba(task.query_x.float())
    assert p.shape == (len(task.query_y), len(counts))
    assert torch.isfinite(p).all()
    assert all(torch.equal(value, before[name]) for name, value in learner.state_dict().items())
    assert all(parameter.grad is None for parameter in learner.parameters())


@pytest.mark.parametrize("kind", [*META, Finetune])
@pytest.mark.parametrize("labels", [[0, 2, 2], [1, 1, 1]], ids=str)
def test_with_shared_labels_a_support_may_lack_some_of_them(kind, labels):
    learner = kind(6, 3)
    p = learner.adapt(Support(normal(3, 6).float(), torch.tensor(labels))).predict_proba(normal(4, 6).float())
    assert p.shape == (4, 3)
    assert torch.isfinite(p).all()


@each_kind
@pytest.mark.parametrize(
    ("x", "y", "words"),
    [
        (torch.zeros(2, 5), [0, 1], "5 dimensions, the learner was made for 6"),
        (torch.full((2, 6), math.nan), [0, 1], "row 0 has a feature that is not finite"),
        (torch.zeros(2, 6), [0, 2], r"must be 0\.\.1 with none missing"),
        (torch.zeros(2, 6), [0, 0], "1 class; at least 2"),
    ],
)
def test_a_support_that_is_none_is_refused(kind, x, y, words):
    with pytest.raises(ValueError, match=words):
        kind(6).adapt(Support(x, torch.tensor(y)))


@each_kind
def test_images_of_another_size_are_refused(kind):
    with pytest.raises(ValueError, match=r"examples are \[1, 14, 14\], the learner was made for \[1, 28, 28\]"):
        kind(Conv4(1, 28, 8)).adapt(Support(torch.zeros(2, 1, 14, 14), torch.tensor([0, 1])))


# meta-training

SHAPE = Shape(ways=(3, 3), shots=(3,), queries=4, pool=(0,))
TRAINING = Training(SHAPE, steps=50, batch=4, rate=5e-3, every=25, episodes=10, seed=5)
INTERPOLATION = replace(TRAINING, optimiser="sgd", rate=0.5, schedule="linear", clip=1e9)


def gaussians(name, seed, classes=3, n=20, shared=False):
    """Classes whose first two numbers tell them apart among four that do not; if shared, the same in every pile."""
    draw = torch.Generator().manual_seed(seed)
    own = torch.Generator().manual_seed(0) if shared else draw
    centres = torch.randn(classes, 6, generator=own) * torch.tensor([2.0, 2, 0, 0, 0, 0])
    y = torch.arange(classes).repeat_interleave(n)
    return Pile(name, centres[y] + torch.randn(len(y), 6, generator=draw), y, shared)


PILES = [gaussians(f"pile {seed}", seed) for seed in range(12)]


def train(learner, training, path=None, progress=lambda n: None):
    return meta_train(learner, PILES[:8], PILES[8:], training, path, progress)


@each_meta
def test_meta_training_lowers_the_loss_on_held_out_episodes(kind):
    history = train(kind(6, 3), TRAINING) if kind is not Reptile else reptile_run()
    assert min(history.validation_loss) < history.validation_loss[0] - 0.02


def reptile_run():
    """It learns fastest where labels mean the same everywhere."""
    piles = [gaussians(f"pile {seed}", seed, shared=True) for seed in range(4)]
    return meta_train(Reptile(6, 3, test_steps=5), piles[:3], piles[3:], INTERPOLATION)


@pytest.mark.parametrize("kind", [Reptile, MAMLPlusPlus])
def test_a_run_that_was_stopped_ends_bit_for_bit_like_one_that_was_not(kind, tmp_path, stopped):
    training = replace(INTERPOLATION if kind is Reptile else TRAINING, steps=9, every=3, batch=2, episodes=3)

    def new():
        torch.manual_seed(1)
        return kind(MLP(6, [8]), 3) if kind is Reptile else kind(6, 3)

    stopped(4, lambda progress: train(new(), training, tmp_path / "run.checkpoint", progress))
    resumed, straight, steps = new(), new(), []
    histories = [
        train(resumed, training, tmp_path / "run.checkpoint", steps.append),
        train(straight, training, tmp_path / "straight.checkpoint"),
    ]
    assert steps == [3, 1, 1, 1, 1, 1, 1]
    assert len({repr(asdict(history)) for history in histories}) == 1
    (mine, _), (theirs, _) = (checkpoint.load(tmp_path / f"{run}.checkpoint") for run in ("run", "straight"))
    assert mine.keys() == theirs.keys()
    assert all(torch.equal(mine[name], theirs[name]) for name in mine)


@each_meta
@pytest.mark.parametrize("together", [1, 8])
def test_what_is_frozen_in_a_body_stays(kind, together):
    body = MLP(6, [8, 8])
    body.layers[0].requires_grad_(False)
    learner = kind(body, 3)
    learner.together = together
    learner.double().backward([episode(seed=s) for s in range(2)])
    assert all((p.grad is not None) == p.requires_grad for p in learner.parameters())
    end = learner.solve(episode().support_x, episode().support_y, 3, 2)
    assert torch.equal(end["body.layers.0.weight"], body.layers[0].weight)


# Reptile


def test_reptile_on_paper():
    learner, task = line_learner(Reptile, optimiser="sgd")
    assert learner.backward([task]) == pytest.approx([4])  # (1 - 3)^2
    assert learner.network.weight.grad.item() == pytest.approx(1 - 1.4, rel=1e-12)
    assert learner.network.bias.grad.item() == pytest.approx(0, abs=1e-12)
    torch.optim.SGD(learner.parameters(), lr=0.25).step()
    assert learner.network.weight.item() == pytest.approx(1 + 0.25 * 0.4, rel=1e-12)
    learner, task = line_learner(Reptile, optimiser="adam")  # the first step of Adam has the length of its rate
    learner.backward([task])
    assert learner.network.weight.grad.item() == pytest.approx(-0.1, rel=1e-6)


@pytest.mark.parametrize("optimiser", ["sgd", "adam"])
@pytest.mark.parametrize("queries", [False, True])
def test_reptile_moves_towards_where_the_optimisers_of_torch_end(optimiser, queries):
    learner = moved(Reptile(Conv4(1, 28, 8), 3, 4, 1e-2, batch=2, optimiser=optimiser, queries=queries))
    tasks, steps = [images(s) for s in range(2)], []
    for task in tasks:
        x, y = (
            torch.cat(both) if queries else both[0] for both in zip(task.tensors[:2], task.tensors[2:4], strict=True)
        )
        net = copy.deepcopy(learner.network)
        kinds = {"sgd": torch.optim.SGD(net.parameters(), 1e-2)}
        kinds["adam"] = torch.optim.Adam(net.parameters(), 1e-2, betas=(0.0, 0.999))
        for index in minibatches(len(y), 2, 4):
            kinds[optimiser].zero_grad()
            F.cross_entropy(net(x[index]), y[index]).backward()
            kinds[optimiser].step()
        steps.append([p.detach() - q.detach() for p, q in zip(learner.parameters(), net.parameters(), strict=True)])
    learner.backward(tasks)
    for parameter, *moves in zip(learner.parameters(), *steps, strict=True):
        assert close(parameter.grad, sum(moves) / 2)


def test_minibatches_pass_over_every_example_before_any_comes_again():
    found = minibatches(5, 2, 5)
    assert [len(index) for index in found] == [2] * 5
    assert torch.cat(found).view(2, 5).sort(1).values.tolist() == [[0, 1, 2, 3, 4]] * 2
    assert minibatches(5, 5, 2) == minibatches(5, None, 2) == [None, None]


def test_one_row_for_all_classes_moves_to_the_mean_of_theirs():
    learner, task = moved(Reptile(MLP(6, [4]))), episode()
    end = learner.solve(task.support_x, task.support_y, 3, learner.steps)
    learner.backward([task])
    assert torch.allclose(learner.network.weight.grad, learner.network.weight - end["weight"].mean(0, keepdim=True))


@pytest.mark.parametrize(
    ("arguments", "words"), [({"optimiser": "lbfgs"}, "lbfgs"), ({"batch": 0}, "at least 1, not 0")]
)
def test_reptile_names_settings_that_are_wrong(arguments, words):
    with pytest.raises(ValueError, match=words):
        Reptile(6, **arguments)


# ANIL


@pytest.mark.parametrize("first_order", [False, True])
@pytest.mark.parametrize("targets", [False, True], ids=["labels", "numbers"])
def test_anil_descends_the_head_as_autograd_would(first_order, targets):
    net, task = moved(Network(MLP(6, [5]), 3), 0.3), episode()
    y = normal(len(task.support_y), 3) if targets else task.support_y
    start, rates = net.start(3), [{"weight": normal(1, seed=t).abs().requires_grad_(), "bias": 0.2} for t in range(3)]
    expected = net.descend(start, task.support_x, y, rates, first_order)
    found = descend_head(start["weight"], start["bias"], net.body(task.support_x), y, rates, first_order)
    ends = [{"weight": found[0], "bias": found[1]}, expected]
    wanted = [*net.parameters(), *(step["weight"] for step in rates)]
    gradients = [
        torch.autograd.grad(net.outputs({**start, **{k: end[k] for k in ("weight", "bias")}}, task.query_x).sin().sum(),
                            wanted, retain_graph=True)
        for end in ends
    ]  # fmt: skip
    assert all(close(one, other) for one, other in zip(found, (expected["weight"], expected["bias"]), strict=True))
    # first-order gradients of the head still leave the features their own path in neither way
    assert all(close(one, other) for one, other in zip(*gradients, strict=True))


def test_anil_leaves_the_body_to_meta_training():
    learner, task = moved(ANIL(Conv4(1, 28, 8), 3)), images()
    end = learner.solve(task.support_x, task.support_y, 3, 5)
    for name, parameter in learner.network.named_parameters():
        assert torch.equal(end[name], parameter) == name.startswith("body.")
    learner.backward([task])
    assert all(parameter.grad.abs().max() > 0 for parameter in learner.parameters())
    assert learner.log_rates.shape == (5, 2)


# Meta-SGD


def test_meta_sgd_on_paper():
    learner, task = line_learner(MetaSGD)
    assert learner.backward([task])[0] == pytest.approx(5.2**2)
    assert learner.network.weight.grad.item() == pytest.approx(4 * -5.2 * 0.8)
    # dL/d alpha = -grad L_support * dL_query/dw_1 = 4 * (4 * -5.2)
    assert learner.alpha["weight"].grad.item() == pytest.approx(-83.2)


def test_meta_sgd_has_a_rate_for_every_element_and_follows_it():
    learner, task = moved(MetaSGD(6, 3)), episode()
    mean, scale = learner.scaling(task.support_x, None)
    net = copy.deepcopy(learner.network)
    F.cross_entropy(net((task.support_x - mean) / scale), task.support_y).backward()
    end = learner.solve((task.support_x - mean) / scale, task.support_y, 3, 1)
    for name, parameter in net.named_parameters():
        alpha = learner.alpha[name.replace(".", "_")]
        assert alpha.shape == parameter.shape
        assert close(end[name], parameter - alpha * parameter.grad)


def test_meta_sgd_with_equal_rates_is_maml():
    task, one, other = (
        images(),
        MetaSGD(Conv4(1, 28, 8), 3, rate=0.1).double(),
        MAML(Conv4(1, 28, 8), 3, 1, 0.1).double(),
    )
    other.network.load_state_dict(one.network.state_dict())
    one.backward([task])
    other.backward([task])
    for mine, theirs in zip(one.network.parameters(), other.network.parameters(), strict=True):
        assert close(mine.grad, theirs.grad)


# MAML++


def test_without_its_remedies_maml_plus_plus_is_maml():
    body, task = Conv4(1, 28, 8), images()
    plain = MAMLPlusPlus(copy.deepcopy(body), 3, 2, 0.1, multi_step_until=0, second_order_from=0, step_norms=False)
    maml = MAML(body, 3, 2, 0.1)
    maml.network.load_state_dict(plain.network.state_dict())
    plain, maml = moved(plain), moved(maml)
    assert plain.backward([task]) == pytest.approx(maml.backward([task]), rel=1e-12)
    for mine, theirs in zip(plain.parameters(), maml.parameters(), strict=True):
        assert close(mine.grad, theirs.grad)


@pytest.mark.parametrize(
    ("progress", "expected"),
    [(0.0, [0.25] * 4), (0.25, [0.125] * 3 + [0.625]), (0.5, [0, 0, 0, 1]), (1.0, [0, 0, 0, 1])],
)
def test_the_weights_of_the_steps_go_to_the_last(progress, expected):
    learner = MAMLPlusPlus(6, steps=4, multi_step_until=0.5)
    learner.progress = progress
    assert learner.weights() == pytest.approx(expected)
    learner.eval()
    assert learner.weights() == [0, 0, 0, 1]


@pytest.mark.parametrize("progress", [0.0, 0.1, 0.4])
def test_maml_plus_plus_written_out(progress):
    learner, task = moved(MAMLPlusPlus(Conv4(1, 28, 8), 3, 3, multi_step_until=0.2, second_order_from=0.3)), images()
    learner.progress = progress
    loss = learner.meta_loss(task)
    found = torch.autograd.grad(loss, [p for p in learner.parameters() if p.requires_grad])
    net, norms = learner.network, [n for n, m in learner.network.named_modules() if isinstance(m, BatchNorm)]
    fixed_names = [f"{n}.{what}" for n in norms for what in ("weight", "bias")]
    now = {k: v for k, v in net.named_parameters() if k not in fixed_names}
    total = 0.0
    for t, v in enumerate({0.0: [1 / 3] * 3, 0.1: [1 / 6, 1 / 6, 2 / 3], 0.4: [0, 0, 1]}[progress]):
        bn = {k: learner.by_step[k.replace(".", "_")][t] for k in fixed_names}
        value = F.cross_entropy(torch.func.functional_call(net, {**now, **bn}, task.support_x), task.support_y)
        slopes = torch.autograd.grad(value, list(now.values()), create_graph=progress >= 0.3, retain_graph=True)
        rates = learner.log_rates[t].exp()
        now = {k: p - rates[i] * slopes[i] for i, (k, p) in enumerate(now.items())}
        outputs = torch.func.functional_call(net, {**now, **bn}, task.query_x)
        total = total + v * F.cross_entropy(outputs, task.query_y)
    expected = torch.autograd.grad(total, [p for p in learner.parameters() if p.requires_grad])
    assert loss.item() == pytest.approx(total.item(), rel=1e-9)
    assert all(close(one, other) for one, other in zip(found, expected, strict=True))


def test_more_steps_than_were_trained_repeat_the_last_normalisation():
    learner, task = moved(MAMLPlusPlus(Conv4(1, 28, 8), 3, 2, test_steps=4)), images()
    found = learner.adapt(Support(task.support_x, task.support_y)).layers[0].weights
    for i in range(4):
        assert torch.equal(found[f"norms.{i}.weight"], learner.by_step[f"body_norms_{i}_weight"][-1])


def test_a_share_of_meta_training_that_is_none_is_named():
    with pytest.raises(ValueError, match=r"within 0\.\.1, not 1\.5"):
        MAMLPlusPlus(6, multi_step_until=1.5)


# pretrain and fine-tune, and from scratch


def picture_piles():
    """Two domains of pictures as bytes: the class is where a bright square lies."""
    piles, draw = [], torch.Generator().manual_seed(3)
    for name in ("a", "b"):
        x = torch.randint(60, (60, 1, 28, 28), generator=draw, dtype=torch.uint8)
        y = torch.arange(3).repeat(20)
        for i, c in enumerate(y.tolist()):
            column = 2 + 8 * c + (4 if name == "b" else 0)
            x[i, :, 8:20, column : column + 4] = 255
        piles.append(Pile(name, x, y))
    return piles


def test_classes_of_other_domains_are_other_classes_unless_labels_are_shared():
    one, other = (
        Pile("a", torch.zeros(3, 2), torch.tensor([0, 4, 4])),
        Pile("b", torch.zeros(2, 2), torch.tensor([1, 0])),
    )
    targets, classes = label_classes([one, other])
    assert ([t.tolist() for t in targets], classes) == ([[0, 1, 1], [3, 2]], 4)
    targets, classes = label_classes([replace(other, shared=True), one, replace(other, shared=True)])
    assert ([t.tolist() for t in targets], classes) == ([[1, 0], [2, 3, 3], [1, 0]], 4)


@pytest.mark.parametrize("cosine", [False, True])
@pytest.mark.parametrize("statistics", ["batch", "source"])
def test_pretraining_lowers_the_loss_of_all_source_classes_and_gives_a_body_for_new_ones(cosine, statistics, tmp_path):
    learner, piles = Finetune(Conv4(1, 28, 8, True, statistics), cosine=cosine, steps=40), picture_piles()
    losses = learner.pretrain(piles[:1], 30, 16, 5e-3, torch.Generator().manual_seed(0))
    assert len(losses) == 30
    assert sum(losses[-5:]) < 0.5 * sum(losses[:5])
    assert not learner.training
    x, y = piles[1].examples(torch.arange(60)), piles[1].y
    classifier = learner.adapt(Support(x[:15], y[:15]))
    assert (classifier.logits(x[15:]).argmax(1) == y[15:]).float().mean() > 0.8
    classifier.save(tmp_path)
    assert torch.allclose(Classifier.load(tmp_path).logits(x), classifier.logits(x), atol=1e-5)


@pytest.mark.parametrize("tune_body", [False, True])
@pytest.mark.parametrize("cosine", [False, True])
@pytest.mark.parametrize("raw", [False, True], ids=["features", "body"])
def test_finetuning_is_adam_on_the_support(tune_body, cosine, raw):
    learner, task = moved(Finetune(MLP(6, [16]) if raw else 6, 3, 7, 1e-2, tune_body, cosine)), episode()
    net, draw = copy.deepcopy(learner.body), torch.Generator().manual_seed(0)
    width = net.dim
    weight = torch.randn(3, width, generator=draw).double() * width**-0.5 if cosine else torch.zeros(3, width).double()
    weight, bias = weight.float().double().requires_grad_(), torch.zeros(3).double().requires_grad_()
    optimiser = torch.optim.Adam([weight, bias, *(net.parameters() if tune_body else [])], 1e-2)

    def logits(x):
        f = net(x)
        if cosine:
            return 10 * (f / f.norm(dim=1, keepdim=True)) @ (weight / weight.norm(dim=1, keepdim=True)).T
        return f @ weight.T + bias

    for _ in range(7):
        optimiser.zero_grad()
        F.cross_entropy(logits(task.support_x), task.support_y).backward()
        optimiser.step()
    found = learner.adapt(Support(task.support_x, task.support_y)).logits(task.query_x)
    assert close(found, logits(task.query_x))
    same = all(torch.equal(a, b) for a, b in zip(net.parameters(), learner.body.parameters(), strict=True))
    assert same != tune_body


def test_pretraining_that_was_stopped_ends_bit_for_bit_like_one_that_was_not(tmp_path):
    found = []
    for stops in ((5, 9), (9,)):
        torch.manual_seed(0)
        start = Finetune(6).state_dict()
        for steps in stops:
            learner, generator = Finetune(6), torch.Generator().manual_seed(2)
            learner.load_state_dict(start)
            losses = learner.pretrain(PILES, steps, 8, 1e-2, generator, tmp_path / f"{len(stops)}.checkpoint", every=2)
        found.append([torch.tensor(losses), generator.get_state(), *learner.state_dict().values()])
    assert all(torch.equal(one, other) for one, other in zip(*found, strict=True))


def test_finetune_says_how_it_is_trained_and_what_it_needs():
    with pytest.raises(NotImplementedError, match="call pretrain"):
        Finetune(6).meta_loss(episode())
    with pytest.raises(ValueError, match="at least 2 classes, 1 piles have 1"):
        Finetune(6).pretrain([gaussians("a", 0, classes=1)], 1, 1, 1e-3, torch.Generator())


def scratch_of_before(x, y, ways):
    """What ``Scratch`` computed before it knew bodies."""
    mean, scale = x.mean(0), x.std(0).clamp_min(1e-6)
    draw = torch.Generator().manual_seed(0)
    w1 = (torch.randn(64, x.shape[1], generator=draw) * (2 / x.shape[1]) ** 0.5).requires_grad_()
    w2 = (torch.randn(ways, 64, generator=draw) * 64**-0.5).requires_grad_()
    b1, b2 = torch.zeros(64, requires_grad=True), torch.zeros(ways, requires_grad=True)
    optimiser = torch.optim.AdamW([w1, b1, w2, b2], lr=1e-2, weight_decay=1e-3)
    for _ in range(60):
        optimiser.zero_grad()
        F.cross_entropy(F.linear(F.relu(F.linear((x - mean) / scale, w1, b1)), w2, b2), y).backward()
        optimiser.step()
    return w1.detach() / scale, w2.detach()


def test_scratch_on_features_is_what_it_was():
    task = episode()
    x, y = task.support_x.float(), task.support_y
    first, _, last = Scratch(6).adapt(Support(x, y)).layers
    w1, w2 = scratch_of_before(x, y, 3)
    assert torch.equal(first.weight, w1)
    assert torch.equal(last.weight, w2)


@pytest.mark.parametrize("statistics", ["batch", "source"])
def test_scratch_trains_a_body_on_the_support_alone(statistics, tmp_path):
    learner, pile = Scratch(Conv4(1, 28, 8, True, statistics)).eval(), picture_piles()[0]
    x, y = pile.examples(torch.arange(60)), pile.y
    with torch.no_grad():
        classifier = learner.adapt(Support(x[:15], y[:15]))
    assert (classifier.logits(x[15:]).argmax(1) == y[15:]).float().mean() > 0.8
    again = learner.adapt(Support(x[:15], y[:15]))
    assert torch.equal(again.logits(x), classifier.logits(x))
    classifier.save(tmp_path)
    assert torch.allclose(Classifier.load(tmp_path).logits(x), classifier.logits(x), atol=1e-5)
