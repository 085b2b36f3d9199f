"""Texts in 8 bits: by name, by a trial, and exactly where that is not possible."""

import importlib.util
import shutil
import sys
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from domains.errors import UserError
from learners.encoders import quantised
from learners.encoders.calibration import made_up_texts
from tasks.adapt.adaptation import encoder_warning, model_for
from tasks.base.settings import settings as own_settings
from tasks.features import encoders, encoding, routes
from tasks.features.encoders import BUILT_IN, INT8, BertLoader, encoder_identity, encoders_named, weights
from tasks.features.encoding import encode
from tasks.features.identities import encoders_of_identity
from tasks.features.spec import EncoderSpec
from tasks.features.store import FeatureStore, key_of

MINILM, NAMED = BUILT_IN["text"]["minilm"], INT8["minilm-int8"]
TEXTS = ["The heart beats.", "A much longer sentence about the weather in the mountains, and more.", "Why?", "ok"]
needs_extra = pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in encoders.INT8_NEEDS),
    reason="needs openvino and nncf: pip install acclimate[int8]",
)


@pytest.fixture
def missing(monkeypatch):
    """A machine without the extra."""
    monkeypatch.setattr(encoders, "find_spec", lambda name: None)


@pytest.fixture
def said(monkeypatch):
    """The lines that are said."""
    lines = []
    monkeypatch.setattr(routes, "say", lines.append)
    routes._say_once.cache_clear()
    return lines


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.setenv("ACCLIMATE_ROOT", str(tmp_path))
    monkeypatch.delenv("ACCLIMATE_ENCODER_TEXT", raising=False)
    yield own_settings()
    encoding._encoder.cache_clear()


def test_texts_to_calibrate_by_are_the_same_every_time_and_of_many_lengths_and_languages():
    texts = made_up_texts(200)
    assert texts == made_up_texts(200)
    assert texts != made_up_texts(200, seed=1)
    lengths = [len(text) for text in texts]
    assert min(lengths) < 10
    assert max(lengths) > 500
    assert sum(not text.isascii() for text in texts) > 10


def test_8_bits_by_name_without_the_extra_is_one_line(missing):
    with pytest.raises(UserError, match=r"^encoder e5-int8 needs .*openvino and nncf: pip install acclimate\[int8\]$"):
        encoders_named(["minilm", "e5-int8"], "text")


def test_8_bits_are_of_texts(monkeypatch):
    monkeypatch.setattr(encoders, "find_spec", lambda name: True)
    with pytest.raises(UserError, match="encoder 'minilm-int8' is of family text, the domain of vision"):
        encoders_named(["minilm-int8"], "vision")


def test_a_model_in_8_bits_is_read_exactly_where_the_extra_is_missing(missing, said, here, monkeypatch):
    exact = torch.nn.functional.normalize(torch.ones(2, MINILM.dim), dim=1)
    FeatureStore(here.home_path / "features" / MINILM.identity).put({key_of("a"): exact[0], key_of("b"): exact[1]})
    (found,) = encoders_of_identity(f"{MINILM.identity}-int8")
    for _ in range(2):
        assert torch.equal(encode(here, "text", ["a", "b"], encoders=(found,)), exact)
    assert said == [
        f"{NAMED.identity}: read exactly, more slowly, as openvino is not here; pip install acclimate[int8]"
    ]
    assert not routes.try_int8(here, MINILM)
    assert routes.here(here, MINILM) is MINILM


def test_8_bits_have_an_identity_of_their_own_and_the_weights_and_meta_models_of_the_exact_encoder(monkeypatch):
    monkeypatch.setattr(encoders, "find_spec", lambda name: True)
    assert encoders_named(["minilm-int8", "e5-int8"], "text") == tuple(INT8.values())
    assert encoders_of_identity(NAMED.identity) == (NAMED,)
    with pytest.raises(UserError, match="name each once"):
        encoders_named(["minilm", "minilm-int8"], "text")
    assert encoders.exact(NAMED) == MINILM
    assert weights(own_settings(), NAMED) == weights(own_settings(), MINILM)
    monkeypatch.setenv("ACCLIMATE_ENCODER_TEXT", "minilm-int8")
    assert encoder_identity("text") == MINILM.identity
    trained = SimpleNamespace(encoder=MINILM.identity)
    assert model_for(trained, (NAMED,)) is trained
    assert encoder_warning(trained, (NAMED,)) == []
    assert encoder_warning(trained, (INT8["e5-int8"],)) != []


def test_what_fails_in_a_trial_is_said_once_and_vectors_stay_exact(here, tmp_path, said, monkeypatch):
    def fail(*arguments):
        raise RuntimeError("no such instruction\nat 0x1")

    monkeypatch.setattr(encoders, "find_spec", lambda name: True)
    monkeypatch.setattr(routes, "quantise", fail)
    monkeypatch.setattr(routes, "_machine", lambda: "this one")
    spec = EncoderSpec("tiny", 2, None, None, BertLoader(), folder=tmp_path)
    monkeypatch.setattr(BertLoader, "__call__", lambda loader, folder: None)
    assert not routes.try_int8(here, spec)
    assert not routes.try_int8(here, spec)
    assert said == ["tiny in 8 bits: cannot be made here (no such instruction), not used here"]
    assert routes.here(here, spec) is spec


@pytest.fixture(scope="module")
def minilm_folder():
    return weights(own_settings(), MINILM)


@pytest.fixture
def tiny(minilm_folder, here, tmp_path, monkeypatch):
    """A small BERT of random weights, built in, and few texts to calibrate by and to try."""
    from transformers import BertConfig, BertModel

    shutil.copytree(minilm_folder, tmp_path / "tiny", ignore=shutil.ignore_patterns("*.safetensors"))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
        BertModel(BertConfig(**sizes)).eval().save_pretrained(tmp_path / "tiny")
    spec = EncoderSpec("tiny", 32, None, None, BertLoader(tokens=32, prompt="a "), folder=tmp_path / "tiny", batch=128)
    monkeypatch.setitem(BUILT_IN["text"], "tiny", spec)
    monkeypatch.setattr(quantised, "TEXTS", 16)
    monkeypatch.setattr(routes, "TEXTS", 4)
    return spec


@needs_extra
def test_vectors_in_8_bits_are_near_the_exact_ones_and_depend_on_the_text_only(here, tiny):
    small = routes.quantised(here, tiny)
    assert small.identity == "tiny-int8"
    reader, texts = small.load(weights(here, small)), [*TEXTS, "", "fever " * 100]
    x = reader.encode(texts)
    assert x.shape == (6, 32)
    assert (x * tiny.load(tiny.folder).encode(texts)).sum(1).min() > 0.97
    torch.testing.assert_close(x, torch.cat([reader.encode([text]) for text in texts]), atol=0.02, rtol=0)
    assert "openvino_telemetry.backend" not in sys.modules


@needs_extra
@pytest.mark.parametrize("taken", [True, False])
def test_a_trial_at_the_first_use_decides_once_and_for_this_machine(here, tiny, said, monkeypatch, taken):
    monkeypatch.setattr(routes, "MOST_TIME", 1e6 if taken else 0)
    monkeypatch.setattr(encoding, "WORTH", 3)
    stores = [FeatureStore(here.home_path / "features" / name) for name in ("tiny", "tiny-int8")]

    def stored():
        return [len(store.get({key_of(text) for text in TEXTS})) for store in stores]

    encode(here, "text", TEXTS[:1], encoders=(tiny,))
    assert stored() == [1, 0]  # too few for a trial
    encode(here, "text", TEXTS, encoders=(tiny,))
    assert stored() == ([1, 4] if taken else [4, 0])
    (line,) = said
    assert line.startswith("tiny in 8 bits: ")
    assert ("used here from now on" in line) == taken
    assert not routes.try_int8(here, tiny)
    if taken:
        assert routes.here(here, tiny).identity == "tiny-int8"
        assert routes.here(here.model_copy(update={"int8": "never"}), tiny) is tiny
        monkeypatch.setenv("ACCLIMATE_ENCODER_TEXT", "minilm")
        assert routes.here(here, tiny) is tiny
        monkeypatch.delenv("ACCLIMATE_ENCODER_TEXT")
        long = replace(tiny, identity="tiny-windows", load=BertLoader(16, "a ", 3), of="tiny")
        assert routes.here(here, long) is long
        monkeypatch.setattr(routes, "_machine", lambda: "another")
        assert routes.here(here, tiny) is tiny
    named = replace(tiny, identity="tiny-int8", of="tiny", exact="tiny")
    assert encode(here, "text", TEXTS, encoders=(named,)).shape == (4, 32)
    assert stored()[1] == 4
