"""Encoders: the network is the published one, and a vector depends on its example only."""

import io
from copy import deepcopy

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from learners.encoders.bert import MeanBert, batches
from learners.encoders.efficientnet import LAST, STAGES, EfficientNetModel, SameConv, fold_norms, resize
from learners.encoders.packed import Packed, PackedBert, can_pack, has_bfloat16
from tasks.base.settings import settings
from tasks.features.encoders import BUILT_IN, JOINING, weights


def picture(seed, side=40, mode="RGB"):
    """A PNG of random blocks."""
    blocks = np.random.default_rng(seed).integers(0, 256, (5, 5, 3), dtype=np.uint8)
    image, file = Image.fromarray(blocks).resize((side, side), Image.Resampling.NEAREST).convert(mode), io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


@pytest.fixture(scope="module")
def efficientnet():
    return BUILT_IN["vision"]["efficientnet"].load(weights(settings(), BUILT_IN["vision"]["efficientnet"]))


@pytest.fixture(scope="module")
def minilm():
    return MeanBert(weights(settings(), BUILT_IN["text"]["minilm"]), exact=True)


# The network, without its weights


@pytest.mark.parametrize("size", [(1, 1), (7, 7), (8, 8), (9, 14), (64, 64), (65, 31)], ids=str)
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("kernel", [1, 3, 5])
def test_a_convolution_has_ceil_of_size_over_stride_outputs(size, stride, kernel):
    out = SameConv(2, 3, kernel, stride)(torch.zeros(1, 2, *size))
    assert out.shape == (1, 3, *(-(-n // stride) for n in size))


def test_with_stride_2_the_odd_pixel_of_padding_lies_at_the_right_and_bottom_as_in_tensorflow():
    conv = SameConv(1, 1, 3, 2, bias=False)
    torch.nn.init.ones_(conv.weight)
    image = torch.zeros(1, 1, 4, 4)
    image[0, 0, 0, 0] = 1
    assert conv(image)[0, 0].tolist() == [[1, 0], [0, 0]]
    image[0, 0, 2, 2] = 1  # in the windows of all four outputs, for they begin at 0 and 2
    assert conv(image)[0, 0].tolist() == [[2, 1], [1, 1]]


def test_the_body_is_efficientnet_lite0_in_shape_and_number_of_parameters():
    body = EfficientNetModel()
    assert len(body._blocks) == sum(stage[0] for stage in (*STAGES, LAST)) == 16
    # 4,652,008 of the published network, less its classifier of 1280 x 1000 + 1000
    assert sum(p.numel() for p in body.parameters()) == 4_652_008 - 1_281_000
    names = body.state_dict()
    assert names["_conv_stem.weight"].shape == (32, 3, 3, 3)
    assert names["_blocks.0._depthwise_conv.weight"].shape == (32, 1, 3, 3)
    assert names["_blocks.1._expand_conv.weight"].shape == (96, 16, 1, 1)
    assert names["_blocks.15._project_conv.weight"].shape == (320, 1152, 1, 1)
    assert names["_conv_head.weight"].shape == (1280, 320, 1, 1)
    assert "_blocks.0._expand_conv.weight" not in names
    assert not any("_se_" in name for name in names)


@pytest.mark.parametrize("size", [32, 50, 64])
def test_the_body_gives_1280_numbers_from_0_to_6_for_images_of_any_size(size):
    x = EfficientNetModel().eval()(torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(0)))
    assert x.shape == (2, 1280)
    assert x.min() >= 0
    assert x.max() <= 6


def test_an_image_is_added_to_the_result_only_where_shapes_allow():
    blocks = EfficientNetModel()._blocks
    assert [i for i, block in enumerate(blocks) if block.residual] == [2, 4, 6, 7, 9, 10, 12, 13, 14]


# With the published weights


def test_features_of_the_last_layer_are_of_unit_length_and_tell_images_apart(efficientnet):
    x = efficientnet.encode([picture(i) for i in range(6)])
    assert x.shape == (6, 2768)
    assert x.dtype == torch.float32
    last = x[:, : efficientnet.last]
    assert torch.allclose(last.norm(dim=1), torch.ones(6), atol=1e-5)
    assert (last @ last.T - torch.eye(6)).max() < 0.99


def test_inner_layers_give_mean_and_deviation_of_every_channel(efficientnet):
    model, image = efficientnet.model, torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    seen = []
    hook = model._blocks[4].register_forward_hook(lambda module, inputs, output: seen.append(output))
    last, inner = model.layers(image)
    hook.remove()
    assert torch.allclose(last, model(image), atol=1e-6)
    channels = seen[0].shape[1]
    assert torch.allclose(inner[:, :channels], seen[0].mean((2, 3)), atol=1e-6)
    assert torch.allclose(inner[:, channels : 2 * channels], seen[0].std((2, 3), correction=0), atol=1e-6)


def test_small_and_large_images_in_one_batch_are_each_read_at_their_size(efficientnet):
    def image(side):
        file = io.BytesIO()
        Image.open(io.BytesIO(picture(1))).convert("RGB").resize((side, side)).save(file, "PNG")
        return file.getvalue()

    mixed = [image(32), image(200), image(64), image(65)]
    together, alone = efficientnet.encode(mixed), torch.cat([efficientnet.encode([one]) for one in mixed])
    assert torch.allclose(together, alone, atol=1e-5)
    large = efficientnet.model.layers((resize([Image.open(io.BytesIO(mixed[3]))], 128).float() - 127) / 128)[1]
    assert torch.allclose(together[3, efficientnet.last :], large[0], atol=1e-5)


def test_image_features_depend_on_the_image_only_not_on_its_batch(efficientnet):
    images = [picture(i) for i in range(7)]
    x, back = efficientnet.encode(images), efficientnet.encode(images[::-1]).flip(0)
    alone = torch.cat([efficientnet.encode([image]) for image in images])
    assert torch.allclose(x, back, atol=1e-5)
    assert torch.allclose(x, alone, atol=1e-5)


def test_features_over_four_turns_are_the_same_of_a_turned_image(efficientnet):
    turning = BUILT_IN["vision"]["efficientnet"], JOINING["vision"]["efficientnet-turned"]
    upright, every = (spec.load(weights(settings(), spec)) for spec in turning)
    image, both = Image.open(io.BytesIO(picture(1))).resize((64, 64)), []
    for each in (image, image.transpose(Image.Transpose.ROTATE_90)):
        out = io.BytesIO()
        each.save(out, "png")
        both.append(out.getvalue())
    assert not torch.allclose(*upright.encode(both), atol=1e-3)
    assert torch.allclose(*every.encode(both), atol=1e-4)


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "1", "CMYK", "I"])
def test_images_of_every_mode_and_size_are_read(efficientnet, mode):
    kind = "TIFF" if mode in ("CMYK", "I") else "PNG"
    file = io.BytesIO()
    Image.new(mode, (3, 200), 0).save(file, kind)
    assert torch.isfinite(efficientnet.encode([file.getvalue(), picture(0)])).all()


def test_the_format_of_an_image_does_not_change_its_features(efficientnet):
    image, file = Image.open(io.BytesIO(picture(1))), io.BytesIO()
    image.save(file, "BMP")
    one, other = efficientnet.encode([picture(1), file.getvalue()])
    assert torch.equal(one, other)


TEXTS = [
    "Short stature.",
    "A progressive loss of strength in the muscles of the lower limbs that begins in childhood and spreads upwards. "
    * 3,
    "",
    "Ελληνικά, 中文 and emoji 🫀",
    "fever " * 500,
]


def test_text_features_are_of_unit_length_and_tell_texts_apart(minilm):
    x = minilm.encode(TEXTS)
    assert x.shape == (5, 384)
    assert torch.allclose(x.norm(dim=1), torch.ones(5), atol=1e-5)
    rhythm, heartbeat, football = minilm.encode(["abnormal heart rhythm", "irregular heartbeat", "the match was drawn"])
    assert rhythm @ heartbeat > rhythm @ football + 0.3


def test_text_features_depend_on_the_text_only_not_on_its_batch(minilm):
    x, back = minilm.encode(TEXTS), minilm.encode(TEXTS[::-1]).flip(0)
    alone = torch.cat([minilm.encode([text]) for text in TEXTS])
    assert torch.allclose(x, back, atol=1e-5)
    assert torch.allclose(x, alone, atol=1e-5)


def test_text_features_are_those_of_the_published_recipe_one_text_at_a_time(minilm):
    from transformers import AutoModel

    plain = AutoModel.from_pretrained(weights(settings(), BUILT_IN["text"]["minilm"]), local_files_only=True).eval()
    for text, x in zip(TEXTS, minilm.encode(TEXTS), strict=True):
        batch = minilm.tokenizer([text], truncation=True, max_length=128, padding=False, return_tensors="pt")
        with torch.inference_mode():
            mean = plain(**batch).last_hidden_state.mean(1)[0]
        assert torch.allclose(x, mean / mean.norm(), atol=1e-5)


def test_batches_hold_every_row_once_longest_first_within_the_budget():
    lengths = [3, 128, 5, 9, 128, 2, 300, 64]
    found = list(batches(lengths, 256))
    assert found == [[6], [1, 4], [7, 3, 2, 0], [5]]
    assert list(batches([], 256)) == []


@pytest.mark.parametrize(("name", "stored"), [("minilm", torch.float32), ("e5", torch.float16)])
def test_a_network_is_loaded_as_it_is_stored_and_tuned_in_float32(name, stored):
    encoder = MeanBert(weights(settings(), BUILT_IN["text"][name]))
    assert {parameter.dtype for parameter in encoder.stored.parameters()} == {stored}
    assert {parameter.dtype for parameter in encoder.model.parameters()} == {torch.float32}


def test_no_texts_are_no_vectors(minilm):
    assert minilm.encode([]).shape == (0, 384)


@pytest.mark.skipif(not has_bfloat16(), reason="this processor does not multiply bfloat16")
@pytest.mark.parametrize("name", BUILT_IN["text"])
def test_vectors_in_16_bits_are_the_exact_ones_but_for_a_hair_and_the_setting_has_those(name, minilm, monkeypatch):
    spec = BUILT_IN["text"][name]
    folder = weights(settings(), spec)
    exact = MeanBert(folder, prompt=spec.prompt, exact=True).encode(TEXTS)
    usual, again = spec.load(folder).encode(TEXTS), spec.load(folder).encode(TEXTS[::-1]).flip(0)
    assert not torch.allclose(usual, exact, atol=1e-5)
    assert (usual * exact).sum(1).min() > 0.9999
    torch.testing.assert_close(usual, again, atol=1e-5, rtol=0)
    monkeypatch.setenv("ACCLIMATE_BFLOAT16", "never")
    assert torch.allclose(spec.load(folder).encode(TEXTS), exact, atol=1e-5)


@pytest.mark.skipif(not can_pack(), reason="this torch has no oneDNN")
def test_a_packed_map_is_the_linear_map_up_to_rounding():
    linear, x = torch.nn.Linear(24, 40), torch.randn(5, 7, 24, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        assert torch.allclose(Packed(linear)(x), linear(x), atol=1e-5)
        assert torch.allclose(Packed(linear, gelu=True)(x), torch.nn.functional.gelu(linear(x)), atol=1e-5)


def test_a_text_is_cut_after_128_word_pieces(minilm):
    long, longer = minilm.encode(["fever " * 500, "fever " * 126 + "and nothing of this is read " * 50])
    assert torch.allclose(long, longer, atol=1e-5)


@pytest.mark.skipif(not can_pack(), reason="this torch has no oneDNN")
@pytest.mark.parametrize("stored", [torch.float32, torch.float16], ids=str)
def test_a_packed_bert_reads_what_the_published_one_does_padded_or_not(stored):
    from transformers import BertConfig, BertModel

    with torch.random.fork_rng():
        torch.manual_seed(0)
        sizes = {"hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 3, "intermediate_size": 40}
        stored_model = BertModel(BertConfig(vocab_size=50, **sizes)).eval().to(stored)
    model, packed_model = deepcopy(stored_model).float(), PackedBert(stored_model)
    assert packed_model.embeddings.word_embeddings.weight.dtype == stored
    ids = torch.arange(14).reshape(2, 7)
    for mask in (torch.ones(2, 7, dtype=torch.bool), torch.arange(7) < torch.tensor([[7], [4]])):
        with torch.inference_mode():
            published, packed = model(ids, attention_mask=mask.long()).last_hidden_state, packed_model(ids, mask)
        assert torch.allclose(packed[mask], published[mask], atol=1e-5)


def test_a_folded_network_gives_the_same_and_an_unfolded_one_still_learns():
    torch.manual_seed(0)
    model = EfficientNetModel()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_var, 0.5, 2.0)
            nn.init.normal_(module.running_mean, std=0.1)
            nn.init.uniform_(module.weight, 0.5, 1.5)
    x = torch.randn(2, 3, 45, 64)
    with torch.no_grad():
        before = model.eval().layers(x)
    model(x).sum().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())
    folded = fold_norms(model)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in folded.modules())
    with torch.no_grad():
        after = folded.layers(x)
    for one, other in zip(before, after, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)


def test_windows_of_a_long_text_are_averaged_and_a_short_one_is_as_it_was(minilm):
    folder = weights(settings(), BUILT_IN["text"]["minilm"])
    windows = MeanBert(folder, tokens=32, windows=3, exact=True)
    short = "The heart beats."
    long = " ".join(f"word{i} and the heart of the matter" for i in range(40))
    together = windows.encode([long, short, "", long])
    torch.testing.assert_close(together[1], minilm.encode([short])[0], atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(together[0], together[3], atol=1e-5, rtol=1e-4)
    ids = minilm.tokenizer(long, add_special_tokens=False)["input_ids"]
    parts = [minilm.tokenizer.decode(ids[start : start + 30]) for start in (0, 22, 44)]  # 8 of 32 are shared
    expected = torch.nn.functional.normalize(windows.encode(parts).mean(0), dim=-1)
    torch.testing.assert_close(together[0], expected, atol=1e-4, rtol=1e-3)
    torch.testing.assert_close(together.norm(dim=1), torch.ones(4))
