"""Encoders that users bring: small models in each format, made on the spot, and what is wrong with others."""

import atexit
import io
import json
import shutil
import tempfile
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional as F

from domains.errors import UserError
from tasks.base.settings import settings as own_settings
from tasks.features import encoders
from tasks.features.encoders import BUILT_IN, encoders_named, identity_of, weights
from tasks.features.encoding import _encoder, encode
from tasks.features.identities import encoders_of_identity

TEXTS = ["The heart beats.", "A much longer sentence about the weather in the mountains, and more.", "Why?"]


@cache
def kept_bert(hidden):
    """A folder with a BERT of random weights and a real tokenizer, as transformers writes it; made once."""
    from transformers import AutoTokenizer, BertConfig, BertModel

    source = weights(own_settings(), BUILT_IN["text"]["minilm"])
    tokenizer = AutoTokenizer.from_pretrained(source, local_files_only=True)
    torch.manual_seed(hidden)
    sizes = {"num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32, "max_position_embeddings": 64}
    folder = Path(tempfile.mkdtemp(prefix="acclimate-bert-"))
    atexit.register(shutil.rmtree, folder, True)
    BertModel(BertConfig(vocab_size=len(tokenizer), hidden_size=hidden, **sizes)).eval().save_pretrained(folder)
    tokenizer.model_max_length = 64
    tokenizer.save_pretrained(folder)
    return folder


def small_bert(folder, hidden=16):
    """The same in a folder of the test's own."""
    return Path(shutil.copytree(kept_bert(hidden), folder, dirs_exist_ok=True))


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.setenv("ACCLIMATE_ROOT", str(tmp_path))
    yield own_settings()
    _encoder.cache_clear()


def image_folder(folder, kind):
    from transformers import ConvNextConfig, ConvNextModel, ViTConfig, ViTImageProcessor, ViTModel

    torch.manual_seed(3)
    if kind == "vit":
        config = ViTConfig(
            hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32, image_size=32
        )
        ViTModel(config, add_pooling_layer=False).save_pretrained(folder)
    else:
        ConvNextModel(ConvNextConfig(hidden_sizes=[8, 8, 8, 12], depths=[1, 1, 1, 1])).save_pretrained(folder)
    ViTImageProcessor(size={"height": 32, "width": 32}).save_pretrained(folder)
    return folder


def picture(seed):
    file = io.BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (20, 24, 3), dtype=np.uint8)).save(file, "PNG")
    return file.getvalue()


def test_a_text_model_of_transformers_is_read_by_the_mean_or_the_first_state(here, tmp_path):
    from transformers import AutoModel, AutoTokenizer

    folder = small_bert(tmp_path / "my model")
    mean, first = encoders_named([str(folder), f"{folder}:cls"], "text")
    assert (mean.dim, first.dim) == (16, 16)
    assert mean.identity.startswith("my-model-")
    assert mean.identity != first.identity
    x = encode(here, "text", TEXTS, encoders=(mean, first))
    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder).eval()
    for text, row in zip(TEXTS, x, strict=True):
        with torch.no_grad():
            hidden = model(**tokenizer(text, return_tensors="pt")).last_hidden_state[0]
        torch.testing.assert_close(row[:16], F.normalize(hidden.mean(0), dim=-1), atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(row[16:], F.normalize(hidden[0], dim=-1), atol=1e-5, rtol=1e-4)


def test_a_folder_of_sentence_transformers_is_read_as_its_files_say(here, tmp_path):
    from sentence_transformers import SentenceTransformer
    from sentence_transformers import models as parts

    inner = parts.Transformer(str(small_bert(tmp_path / "inner")), max_seq_length=8)
    pooling = parts.Pooling(16, pooling_mode="max")
    made = SentenceTransformer(modules=[inner, pooling, parts.Dense(16, 5)], prompts={"text": "say: "}, device="cpu")
    made.default_prompt_name = "text"
    made.save(str(tmp_path / "whole"))
    (spec,) = encoders_named(["whole"], "text")  # from the project's folder
    assert spec.dim == 5
    x = encode(here, "text", TEXTS, encoders=(spec,))
    again = SentenceTransformer(str(tmp_path / "whole"), device="cpu").encode(TEXTS, convert_to_tensor=True)
    torch.testing.assert_close(x, again, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(("kind", "dim"), [("vit", 16), ("convnext", 12)])
def test_an_image_model_of_transformers_gives_a_vector_an_image(here, tmp_path, kind, dim):
    (spec,) = encoders_named([str(image_folder(tmp_path / kind, kind))], "vision")
    x = encode(here, "vision", [picture(1), picture(2), picture(1)], encoders=(spec,))
    assert x.shape == (3, dim)
    torch.testing.assert_close(x.norm(dim=1), torch.ones(3))
    torch.testing.assert_close(x[0], x[2])
    assert not torch.allclose(x[0], x[1])


def test_what_a_model_names_is_found_again_and_a_change_of_weights_is_said(here, tmp_path):
    folder = small_bert(tmp_path / "tiny")
    found = encoders_named(["minilm", str(folder)], "text")
    assert encoders_of_identity(identity_of(found)) == found
    assert encoders_of_identity("tiny-00000000-mean") is None
    assert encoders_of_identity("../x") is None
    small_bert(folder, hidden=24)
    with pytest.raises(UserError, match=r"encoder .*tiny has changed: models here were made with tiny-\w+-mean, now"):
        encoders_of_identity(identity_of(found))
    shutil.rmtree(folder)
    with pytest.raises(UserError, match=r"no encoder .*tiny"):
        encoders_of_identity(identity_of(found))


def drop_weights(folder):
    (folder / "model.safetensors").unlink()


def pickle_weights(folder):
    drop_weights(folder)
    torch.save({}, folder / "pytorch_model.bin")


def need_code(folder):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"auto_map": {"AutoModel": "own.Model"}}))


def need_module(folder):
    (folder / "modules.json").write_text(json.dumps([{"type": "own.Module", "path": ""}]))


def half_weights(folder):
    content = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(content[: len(content) // 2])


MISTAKES = {
    drop_weights: r"no weights as \*\.safetensors in",
    pickle_weights: r"pytorch_model\.bin is not read, as that could run code",
    need_code: "it needs code of its own, which is not run",
    need_module: r"its module own\.Module needs code of its own, which is not run",
    half_weights: "cannot be loaded",
    lambda folder: (folder / "config.json").unlink(): r"no config\.json in",
}


@pytest.mark.parametrize("spoil", MISTAKES)
def test_a_folder_that_cannot_be_read_safely_is_one_line(here, tmp_path, spoil):
    folder = small_bert(tmp_path / "tiny")
    spoil(folder)
    with pytest.raises(UserError, match=MISTAKES[spoil]) as error:
        encoders_named([str(folder)], "text")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("names", "family", "said"),
    [
        (["nothing"], "text", "no encoder 'nothing': neither built in, nor a folder, nor a name like org/model"),
        (["efficientnet"], "text", "encoder 'efficientnet' is of family vision, the domain of text"),
        (["e5", "e5"], "text", "name each once"),
        (["minilm"], "market", "examples of family market are vectors already"),
        (["./x:max"], "text", "no encoder './x:max'"),
    ],
)
def test_a_name_that_is_no_encoder_is_one_line(here, names, family, said):
    with pytest.raises(UserError, match=said):
        encoders_named(names, family)


def test_a_name_on_the_hub_is_fetched_by_the_hub_s_client_and_its_absence_is_one_line(here, tmp_path, monkeypatch):
    import huggingface_hub

    folder = small_bert(tmp_path / "snapshot")
    asked = []

    def download(name, allow_patterns):
        asked.append(allow_patterns)
        if name != "org/model":
            raise OSError("404\nnot found")
        return str(folder)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    (spec,) = encoders_named(["org/model"], "text")
    assert spec.folder == folder
    assert not {"*.bin", "*.py"} & set(asked[0])
    with pytest.raises(UserError, match="encoder org/other: no such folder, and the hub does not give it"):
        encoders_named(["org/other"], "text")


def test_a_setting_names_the_encoders_of_a_family(here, monkeypatch):
    monkeypatch.setenv("ACCLIMATE_ENCODER_TEXT", "e5, minilm")
    assert encoders.family_encoders("text") == (BUILT_IN["text"]["e5"], BUILT_IN["text"]["minilm"])
    monkeypatch.delenv("ACCLIMATE_ENCODER_TEXT")
    assert encoders.family_encoders("text") == tuple(BUILT_IN["text"].values())
    assert encoders.family_encoders("market") == ()
