"""Bodies: published sizes, chosen statistics, and encoders of which only small parts are meta-trained."""

import copy

import pytest
import torch
from torch.nn import functional as F

from domains.episode import Episode, Pile, Shape
from learners import checkpoint
from learners.bodies.body import Features
from learners.bodies.conv4 import Conv4
from learners.bodies.encoder import TransformerBody
from learners.bodies.mlp import MLP
from learners.bodies.norm import BatchNorm, measure
from learners.bodies.resnet12 import ResNet12
from learners.classifier import Classifier
from learners.encoders.bert import MeanBert
from learners.meta_train import Training, meta_train
from learners.methods.maml import MAML
from learners.methods.protonet import ProtoNet
from learners.support import Support
from tasks.base.settings import settings
from tasks.features.encoders import BUILT_IN, weights

SMALL = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24}
BERT = SMALL | {"vocab_size": 40, "max_position_embeddings": 12}
VIT = SMALL | {"image_size": 16, "patch_size": 8}
TINY = (4, 4, 8, 8)
each_adapter = pytest.mark.parametrize("adapters", ["lora", "film"])
each_kind = pytest.mark.parametrize("kind", ["bert", "vit"])


def normal(*size, seed=0, dtype=torch.float64):
    return torch.randn(*size, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def encoder(kind="bert", adapters=None, **others):
    """A tiny encoder at random weights, the same in every call."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return TransformerBody(kind, BERT if kind == "bert" else VIT, adapters=adapters, rank=2, **others)


def moved(module, size=0.3):
    """The module away from its special start."""
    with torch.no_grad():
        for i, parameter in enumerate(p for p in module.parameters() if p.requires_grad):
            parameter += size * normal(*parameter.shape, seed=i + 1).to(parameter.dtype)
    return module


def texts(y, tokens=12, seed=0):
    """Token ids and masks [n, 2, tokens]: the words of a class, padded to unequal lengths."""
    draw = torch.Generator().manual_seed(seed)
    ids = 1 + 6 * y[:, None] + torch.randint(8, (len(y), tokens), generator=draw)
    lengths = torch.randint(3, tokens + 1, (len(y), 1), generator=draw)
    mask = (torch.arange(tokens) < lengths).long()
    return torch.stack([ids * mask, mask], 1)


def episode(body, counts=(2, 2), queries=2, seed=0, dtype=torch.float64):
    y = torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))
    query_y = torch.arange(len(counts)).repeat_interleave(queries)
    if len(body.shape) == 2:
        return Episode(texts(y, body.shape[1], seed), y, texts(query_y, body.shape[1], seed + 1), query_y)
    x = normal(len(y), *body.shape, seed=seed).to(dtype)
    return Episode(x, y, normal(len(query_y), *body.shape, seed=seed + 1).to(dtype), query_y)


def gradients(learner, episodes, together):
    learner.together = together
    learner.zero_grad()
    losses = learner.backward(episodes)
    return losses, {name: p.grad.clone() for name, p in learner.named_parameters() if p.grad is not None}


def assert_vmap_equals_loop(learner, episodes):
    (losses, looped), (values, vmapped) = (gradients(learner, episodes, together) for together in (1, 8))
    assert losses == pytest.approx(values, rel=1e-9)
    assert looped.keys() == vmapped.keys() == {n for n, p in learner.named_parameters() if p.requires_grad}
    for name in looped:
        assert torch.allclose(looped[name], vmapped[name], rtol=1e-8, atol=1e-10), name


# Sizes


@pytest.mark.parametrize(
    ("make", "dim", "size"),
    [
        # 3x3 convolutions without biases and two numbers a channel of normalisation
        (lambda: Conv4(3, 84, 64), 64 * 5 * 5, 9 * 64 * (3 + 3 * 64) + 4 * 2 * 64),
        (lambda: Conv4(1, 28, 64), 64, 9 * 64 * (1 + 3 * 64) + 4 * 2 * 64),
        (lambda: Conv4(1, 28, 64, strided=True), 64, 9 * 64 * (1 + 3 * 64) + 4 * 2 * 64),
        (lambda: Conv4(3, 84, 64, strided=True), 64, 9 * 64 * (3 + 3 * 64) + 4 * 2 * 64),
        (lambda: MLP(1), 40, 80 + 1640),
        (lambda: Features(7), 7, 0),
        (ResNet12, 640, 12_424_320),
        (lambda: ResNet12(1, 16, TINY), 8, None),
        (encoder, 16, None),
        (lambda: encoder("vit"), 16, None),
        (lambda: encoder("vit", pooling="mean"), 16, None),
        (lambda: encoder(size=5, pooling="cls"), 16, None),
    ],
)
def test_a_body_gives_vectors_of_its_length_and_has_the_published_size(make, dim, size):
    body = make()
    x = torch.zeros(2, *body.shape, dtype=torch.long) if body.shape[0] == 2 else normal(2, *body.shape).float()
    assert body(x).shape == (2, dim)
    assert body.dim == dim
    assert size in (None, sum(parameter.numel() for parameter in body.parameters()))
    again = type(body)(**body.config)
    again.load_state_dict(body.state_dict())
    assert torch.equal(again(x), body(x))


def test_conv4_has_113_thousand_and_resnet12_has_12_and_8_million_weights():
    # Conv4 with biases has 113,088 (Antoniou et al. 2019), four times 64 more than ours
    assert sum(p.numel() for p in Conv4(3, 84, 64).parameters()) == 113_088 - 4 * 64
    assert sum(p.numel() for p in ResNet12(widths=(64, 128, 256, 512)).parameters()) == pytest.approx(8.0e6, rel=0.01)


# ResNet-12


def test_resnet12_is_the_published_network_written_out():
    body, x = moved(ResNet12(2, 33, TINY).double(), 0.1), normal(3, 2, 33, 33)
    found, side = x, 33

    def normalised(h, norm):
        h = (h - h.mean((0, 2, 3), keepdim=True)) / (h.var((0, 2, 3), correction=0, keepdim=True) + norm.eps).sqrt()
        return h * norm.weight.view(1, -1, 1, 1) + norm.bias.view(1, -1, 1, 1)

    for block in body.blocks:
        (c1, c2, c3), (n1, n2, n3) = block.convolutions, block.norms
        h = F.leaky_relu(normalised(F.conv2d(found, c1.weight, padding=1), n1), 0.1)
        h = F.leaky_relu(normalised(F.conv2d(h, c2.weight, padding=1), n2), 0.1)
        h = normalised(F.conv2d(h, c3.weight, padding=1), n3)
        found = F.max_pool2d(
            F.leaky_relu(h + normalised(F.conv2d(found, block.shortcut.weight), block.shortcut_norm), 0.1), 2
        )
        side //= 2
        assert found.shape[2:] == (side, side)
    assert torch.allclose(body(x), found.mean((2, 3)), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("statistics", ["batch", "source"])
def test_second_order_maml_of_resnet12_is_the_same_in_a_loop_and_vmapped(statistics):
    torch.manual_seed(0)
    body = ResNet12(1, 16, TINY, statistics)
    learner = moved(MAML(body, 2, steps=2, rate=0.1).double(), 0.05)
    episodes = [episode(body, seed=seed) for seed in range(3)]
    assert_vmap_equals_loop(learner, episodes)
    _, second = gradients(learner, episodes, 8)
    learner.first_order = True
    _, first = gradients(learner, episodes, 8)
    name = "network.body.blocks.0.shortcut.weight"
    assert (first[name] - second[name]).norm() > 1e-3 * second[name].norm()


def test_resnet12_in_bfloat16_gives_nearly_the_same_vectors_statistics_and_gradient_in_float32():
    torch.manual_seed(0)
    exact = ResNet12(2, 16, TINY, "source")
    mixed = ResNet12(**exact.config | {"precision": "bfloat16"})
    mixed.load_state_dict(exact.state_dict())
    x, towards, found = normal(20, 2, 16, 16).float(), normal(20, 8, seed=1).float(), []
    for body in (exact, mixed):
        vectors = body(x)
        (vectors * towards).sum().backward()
        measure(body, iter([x]))
        found.append((vectors.detach(), torch.cat([p.grad.flatten() for p in body.parameters()]), *body.buffers()))
    (one, gradient, *statistics), (other, rounded, *measured) = found
    assert {t.dtype for t in found[1]} == {torch.float32}
    assert not torch.equal(one, other)
    for a, b in zip((one, *statistics), (other, *measured), strict=True):
        assert (a - b).norm() < 0.05 * a.norm()
    assert torch.cosine_similarity(gradient, rounded, 0) > 0.9  # rounding moves which of four values is the largest


def test_images_that_cannot_be_halved_four_times_are_refused():
    for small in (ResNet12, Conv4):
        with pytest.raises(ValueError, match="15 pixels"):
            small(1, 15)
    assert Conv4(1, 15, strided=True).dim == 64  # whose blocks leave one pixel at the least
    with pytest.raises(ValueError, match="4 blocks"):
        ResNet12(widths=(4, 8))


# Statistics


@pytest.mark.parametrize("make", [lambda s: Conv4(2, 16, 4, statistics=s), lambda s: ResNet12(2, 16, TINY, s)])
def test_source_statistics_are_the_mean_over_equal_batches_and_hold_in_evaluation(make):
    torch.manual_seed(0)
    body, batches = make("source").double(), [normal(5, 2, 16, 16, seed=i) * (i + 1) for i in range(3)]
    measure(body, iter(batches))
    first = (body.convolutions if isinstance(body, Conv4) else body.blocks[0].convolutions)[0]
    norm = (body.norms if isinstance(body, Conv4) else body.blocks[0].norms)[0]
    maps = [first(batch) for batch in batches]
    mean = torch.stack([m.mean((0, 2, 3)) for m in maps]).mean(0)
    variance = torch.stack([m.var((0, 2, 3)) for m in maps]).mean(0)
    assert torch.allclose(norm.mean, mean, rtol=1e-9)
    assert torch.allclose(norm.variance, variance, rtol=1e-9)
    expected = (maps[0] - mean[:, None, None]) / (variance[:, None, None] + norm.eps).sqrt()
    assert torch.allclose(norm.eval()(maps[0]), expected, rtol=1e-9, atol=1e-12)
    body.eval()
    alone = torch.cat([body(x[None]) for x in batches[0]])  # an example's vector depends on it only
    assert torch.allclose(body(batches[0]), alone, rtol=1e-9, atol=1e-12)
    body.train()
    assert not torch.allclose(body(batches[0]), alone, rtol=1e-3)


def test_batch_statistics_are_those_of_the_examples_that_pass_together_always():
    norm, x = BatchNorm(2).double(), normal(4, 2, 3, 3)
    assert torch.equal(norm.eval()(x), norm.train()(x))
    assert norm(5 * x + 3).mean().abs() < 1e-12
    assert not list(norm.buffers())


# Encoders


@each_kind
@each_adapter
def test_adapters_at_their_start_change_nothing_and_are_all_that_is_trained(kind, adapters):
    plain, adapted = encoder(kind), encoder(kind, adapters)
    task = episode(plain, (3, 3), dtype=torch.float32)
    assert torch.allclose(plain(task.support_x), adapted(task.support_x), atol=1e-6)
    trained = {name for name, p in adapted.named_parameters() if p.requires_grad}
    assert trained
    assert all(("lora_" if adapters == "lora" else "film.") in name for name in trained)
    blocks, numbers = 2, sum(p.numel() for p in adapted.parameters() if p.requires_grad)
    assert numbers == blocks * (2 * 2 * 2 * 16 if adapters == "lora" else 2 * 16)
    moved(adapted)
    assert (plain(task.support_x) - adapted(task.support_x)).abs().max() > 1e-3


def test_lora_adds_b_a_to_the_query_and_value_maps():
    body, plain = moved(encoder(adapters="lora")), encoder()
    for adapted, whole in zip(body.encoder.encoder.layer, plain.encoder.encoder.layer, strict=True):
        for name in ("query", "value"):
            low, full = getattr(adapted.attention.self, name), getattr(whole.attention.self, name)
            with torch.no_grad():
                full.weight += low.lora_B["default"].weight @ low.lora_A["default"].weight
    x = texts(torch.tensor([0, 1, 2]))
    assert torch.allclose(plain(x), body(x), atol=1e-5)


def test_film_scales_and_shifts_what_every_block_gives():
    body, plain = moved(encoder(adapters="film", pooling="cls", normalise=False)), encoder()
    x = texts(torch.tensor([0, 1, 2]))
    ids, mask = x.unbind(1)
    hidden, added = plain.encoder.embeddings(ids), torch.finfo(torch.float32).min * (mask[:, None, None] == 0)
    for block, other in zip(plain.encoder.encoder.layer, body.encoder.encoder.layer, strict=True):
        hidden = block(hidden, added) * other.film.scale + other.film.shift
    assert torch.allclose(body(x), hidden[:, 0], atol=1e-5)


def test_a_copy_of_a_body_uses_its_own_film():
    body = moved(encoder(adapters="film"))
    x, other = texts(torch.tensor([0, 1])), copy.deepcopy(body)
    before = other(x)
    moved(body)
    assert torch.equal(other(x), before)


def test_padding_and_dropout_have_no_part_in_a_vector():
    body, x = encoder().train(), texts(torch.tensor([0, 1, 2, 3]))
    assert torch.equal(body(x), body(x))
    junk = x.clone()
    junk[:, 0] += (1 - x[:, 1]) * 7
    assert torch.allclose(body(junk), body(x), atol=1e-6)
    assert torch.equal(body(x.float()), body(x))
    assert torch.isfinite(body(torch.zeros(1, 2, 12))).all()  # nothing but padding


def test_images_are_standardised_first():
    plain, body = encoder("vit"), encoder("vit", mean=(0.5, 0.4, 0.3), std=(0.2, 0.3, 0.4))
    x = normal(2, 3, 16, 16).float()
    mean, std = (torch.tensor(body.config[name]).view(3, 1, 1) for name in ("mean", "std"))
    assert torch.allclose(body(x), plain((x - mean) / std), atol=1e-6)


@each_kind
@pytest.mark.parametrize("adapters", ["lora", "film", None])
def test_second_order_maml_of_an_encoder_moves_what_is_trained_and_vmaps(kind, adapters):
    body = encoder(kind, adapters)
    learner = moved(MAML(body, 2, steps=2, rate=0.1).double(), 0.1)
    assert learner.names == [name for name, p in learner.network.named_parameters() if p.requires_grad]
    episodes = [episode(body, seed=10 * seed) for seed in range(2)]
    assert_vmap_equals_loop(learner, episodes)
    task = episodes[0]
    found = learner.solve(task.support_x, task.support_y, 2, 1)
    start = dict(learner.network.named_parameters())
    loss = F.cross_entropy(learner.network(task.support_x), task.support_y)
    by_hand = torch.autograd.grad(loss, [start[name] for name in learner.names])
    for name, gradient in zip(learner.names, by_hand, strict=True):
        assert torch.allclose(found[name], start[name] - 0.1 * gradient, rtol=1e-6, atol=1e-12)
    assert all(found[name] is start[name] for name in start.keys() - set(learner.names))


@each_kind
@each_adapter
@pytest.mark.parametrize("learner", [ProtoNet, MAML])
def test_a_classifier_on_an_encoder_is_what_the_meta_loss_was_computed_with_and_comes_back(
    learner, kind, adapters, tmp_path
):
    body = moved(encoder(kind, adapters))
    learner, task = learner(body), episode(body, (1, 3, 2), dtype=torch.float32)
    classifier = learner.adapt(Support(task.support_x, task.support_y))
    logits = classifier.logits(task.query_x)
    assert F.cross_entropy(logits, task.query_y).item() == pytest.approx(learner.meta_loss(task).item(), rel=1e-5)
    classifier.with_labels(["a", "b", "c"]).save(tmp_path)
    moved(body)
    again = Classifier.load(tmp_path)
    assert torch.allclose(again.logits(task.query_x), logits, atol=1e-6)
    assert torch.allclose(classifier.logits(task.query_x), logits, atol=1e-6)


@pytest.mark.parametrize("classes", [2, 100])
def test_one_text_a_class_is_enough(classes):
    body, y = encoder(adapters="lora"), torch.arange(classes)
    x = texts(y % 5)
    assert ProtoNet(body).adapt(Support(x, y)).predict_proba(x).shape == (classes, classes)


@each_adapter
def test_ten_steps_of_meta_training_change_the_adapters_only_lower_the_loss_and_resume(adapters, tmp_path):
    y = torch.arange(5).repeat_interleave(12)
    piles = [Pile(str(seed), texts(y, seed=seed), y) for seed in range(3)]
    training = Training(Shape((2, 3), (1, 2), 3, (0,)), steps=10, batch=2, rate=2e-2, every=5, episodes=4)

    def train(path, stop=None):
        learner = ProtoNet(moved(encoder(adapters=adapters), 0.05))
        left = [stop or 99]

        def progress(n):
            left[0] -= n
            if left[0] < 0:
                raise KeyboardInterrupt

        return learner, meta_train(learner, piles[:2], piles[2:], training, path, progress)

    learner, history = train(tmp_path / "straight")
    assert min(history.validation_loss) < history.validation_loss[0]
    start = dict(ProtoNet(moved(encoder(adapters=adapters), 0.05)).named_parameters())
    changed = {name for name, p in learner.named_parameters() if not torch.equal(p, start[name])}
    assert changed == {name for name, p in start.items() if p.requires_grad}
    assert all(p.grad is None for p in learner.parameters() if not p.requires_grad)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "stopped", 7)
    resumed, told = train(tmp_path / "stopped")
    assert told.validation_loss == history.validation_loss
    assert all(torch.equal(p, dict(learner.named_parameters())[name]) for name, p in resumed.named_parameters())
    (mine, _), (theirs, _) = (checkpoint.load(tmp_path / name) for name in ("stopped", "straight"))
    assert mine.keys() == theirs.keys()
    assert all(torch.equal(mine[key], theirs[key]) for key in mine)


# What is refused


@pytest.mark.parametrize("make", [encoder, lambda: encoder("vit"), lambda: ResNet12(3, 16, TINY), lambda: Conv4(3, 16)])
@pytest.mark.parametrize("learner", [ProtoNet, MAML])
def test_supports_that_do_not_fit_are_refused(make, learner):
    body = make()
    learner, y = learner(body), torch.tensor([0, 0, 1, 1])
    shape = body.shape
    for wrong in ((*shape[:-1], shape[-1] + 1), shape[1:], (shape[0] + 1, *shape[1:])):
        with pytest.raises(ValueError, match=r"learner was made for|support must be"):
            learner.adapt(Support(torch.zeros(4, *wrong), y))
    with pytest.raises(ValueError, match="row 0 has a feature that is not finite"):
        learner.adapt(Support(torch.full((4, *shape), torch.nan), y))
    with pytest.raises(ValueError, match="none missing"):
        learner.adapt(Support(torch.zeros(4, *shape), y + 1))


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        (("no-such", {}), "no model type 'no-such'"),
        (("t5", {}), "t5 is not an encoder"),
        (("gpt2", {}), "gpt2 is not an encoder"),
        (("bert", BERT | {"auto_map": {"AutoModel": "a.B"}}), "must not have auto_map"),
        (
            ("bert", BERT | {"inner": {"backbone": "a/b", "use_pretrained_backbone": True}}),
            "must not have backbone, use",
        ),
        (("bert", BERT, 13), "1 to 12 tokens"),
        (("bert", BERT, 8, "prefix"), "'prefix': they are lora, film or None"),
        (("bert", BERT, 8, "lora", 0), "rank 0"),
        (("bert", BERT, 8, None, 8, "max"), "'max': it is mean or cls"),
        (("clip", {"text_config": SMALL, "vision_config": VIT}), "clip cannot read examples"),
        (("resnet", {"hidden_sizes": [8, 8], "depths": [1, 1], "embedding_size": 8}, 16, "lora"), "0 query and value"),
        (("resnet", {"hidden_sizes": [8, 8], "depths": [1, 1], "embedding_size": 8}, 16, "film"), "no blocks"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_models_and_arguments_that_do_not_fit_are_refused(arguments, match):
    with pytest.raises(ValueError, match=match):
        TransformerBody(*arguments)


# With published weights


def test_a_folder_that_lacks_weights_is_refused_and_one_without_a_pooler_is_not(tmp_path):
    from transformers import AutoConfig, AutoModel

    known = AutoConfig.for_model("vit", **VIT)
    model = AutoModel.from_config(known, add_pooling_layer=False)
    model.save_pretrained(tmp_path)
    (tmp_path / "preprocessor_config.json").write_text('{"image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]}')
    body, x = TransformerBody.from_folder(tmp_path, "film", normalise=False), normal(2, 3, 16, 16).float()
    model.eval()
    assert torch.allclose(body(x), model(pixel_values=2 * x - 1).last_hidden_state[:, 0], atol=1e-5)
    part = {name: value for name, value in model.state_dict().items() if "layers.1" not in name}
    model.save_pretrained(tmp_path, state_dict=part)
    with pytest.raises(ValueError, match=r"lacks .* weights of its model: layers\.1"):
        TransformerBody.from_folder(tmp_path)


@pytest.fixture(scope="module")
def minilm():
    folder = weights(settings(), BUILT_IN["text"]["minilm"])
    return folder, MeanBert(folder, exact=True)


def test_the_body_of_minilm_gives_the_vectors_of_the_frozen_encoder(minilm):
    folder, frozen = minilm
    some = ["Short stature.", "A progressive loss of strength that begins in childhood. " * 3, "", "fever " * 500]
    body = TransformerBody.from_folder(folder, "lora")
    words = frozen.tokenizer(some, padding="max_length", truncation=True, max_length=128, return_tensors="pt")
    with torch.no_grad():
        found = body(torch.stack([words["input_ids"], words["attention_mask"]], 1))
    assert body.shape == (2, 128)
    assert torch.allclose(found, frozen.encode(some), atol=1e-5)
    trained = sum(p.numel() for p in body.parameters() if p.requires_grad)
    assert trained == 6 * 2 * 2 * 8 * 384
