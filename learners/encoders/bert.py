"""Sentences to vectors: a BERT with mean pooling (Reimers & Gurevych 2019), as MiniLM and E5 are."""

from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from threading import Lock
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor
from torch.nn import functional as F
from torch.nn.utils.rnn import pad_sequence

from learners.encoders.packed import PackedBert, can_pack, has_bfloat16

#: Word pieces of a batch: what a block computes of them then stays in the cache of a core.
BUDGET, BUDGET_OF_GPU = 1024, 32 * 1024
OVERLAP = 4  # neighbouring windows share one in so many word pieces


class MeanBert:
    """A BERT from a local folder in the ``transformers`` layout (safetensors): all-MiniLM-L6-v2, multilingual-e5-small.

    Args:
        folder: holds ``config.json``, ``model.safetensors`` and the tokenizer's files.
        tokens: longer texts are cut after this many word pieces.
        prompt: comes before every text.
        windows: so many overlapping windows of ``tokens`` are read of a longer text at most, and averaged.
        exact: never multiply in bfloat16, as is done where the processor has instructions for it.
    """

    def __init__(
        self, folder: Path, tokens: int = 128, prompt: str = "", windows: int = 1, exact: bool = False
    ) -> None:
        from transformers.models.auto.tokenization_auto import AutoTokenizer

        self.tokens, self.prompt, self.windows, self.exact = tokens, prompt, windows, exact
        self.tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        self.device, self.packs = torch.device("cpu"), False
        self.turn = Lock()  # several threads may encode; a tokenizer serves one
        self.packed: PackedBert | None = None  # takes the model's place when that first encodes, without gradients
        self.dim = self._load(folder)

    def _load(self, folder: Path) -> int:
        """Load the network, and return how many numbers its vectors have."""
        from transformers.models.auto.modeling_auto import AutoModel
        from transformers.utils import logging

        logging.disable_progress_bar()
        dtype = stored_dtype(folder / "model.safetensors")
        self.stored = AutoModel.from_pretrained(folder, local_files_only=True, use_safetensors=True, dtype=dtype).eval()
        self.packs = can_pack() and self.stored.config.hidden_act == "gelu"
        return int(self.stored.config.hidden_size)

    @cached_property
    def model(self) -> Any:
        """The network in float32: what is tuned, exported, or moved to a device."""
        return self.stored.float()

    def to(self, device: torch.device) -> "MeanBert":
        """Move to a device, and return itself."""
        self.model.to(device)
        self.device = device
        return self

    @torch.inference_mode()
    def encode(self, texts: Sequence[str]) -> Tensor:
        """Return unit-length vectors [n, D]; texts of about the same length are read together."""
        if not texts:
            return torch.zeros(0, self.dim)
        on_cpu = self.device.type == "cpu"
        only_ids = {"padding": False, "return_attention_mask": False, "return_token_type_ids": False}
        prompted = [self.prompt + text for text in texts]
        cut = {"truncation": True, "max_length": self.tokens}
        if self.windows > 1:
            cut |= {"stride": self.tokens // OVERLAP, "return_overflowing_tokens": True}
        with self.turn:
            if on_cpu and self.packs and self.packed is None:
                fast = not self.exact and has_bfloat16() and can_pack(torch.bfloat16)
                self.packed = PackedBert(self.stored, torch.bfloat16 if fast else torch.float32)
                self.__dict__.pop("model", None)
                del self.stored  # whose maps would be there twice
            found = self.tokenizer(prompted, **cut, **only_ids)
        ids, of = found["input_ids"], torch.arange(len(texts))
        if self.windows > 1:
            of = torch.tensor(found["overflow_to_sample_mapping"])
            kept = [i for i, first in enumerate(torch.searchsorted(of, of).tolist()) if i - first < self.windows]
            ids, of = [ids[i] for i in kept], of[kept]
        x = torch.empty(len(ids), self.dim)
        for rows in batches([len(each) for each in ids], BUDGET if on_cpu else BUDGET_OF_GPU):
            x[rows] = self.vectors([torch.tensor(ids[row]) for row in rows]).cpu()
        if len(ids) == len(texts):
            return x
        return F.normalize(torch.zeros(len(texts), self.dim).index_add_(0, of, x), dim=-1)

    def prepare(self, texts: Sequence[str]) -> list[Tensor]:
        """Return the word pieces of texts, cut where they are too long."""
        if not texts:
            return []
        prompted = [self.prompt + text for text in texts]
        found = self.tokenizer(prompted, truncation=True, max_length=self.tokens, return_attention_mask=False)
        return [torch.tensor(ids) for ids in found["input_ids"]]

    def batches(self, prepared: Sequence[Tensor], rows: Sequence[int]) -> Iterator[list[int]]:
        """Yield rows of prepared texts in batches of about the same length."""
        for part in batches([len(prepared[row]) for row in rows], BUDGET):
            yield [rows[i] for i in part]

    def vectors(self, ids: Sequence[Tensor]) -> Tensor:
        """Return unit-length vectors [n, D] of word pieces."""
        lengths = torch.tensor([len(each) for each in ids])
        padded = pad_sequence(list(ids), batch_first=True, padding_value=self.tokenizer.pad_token_id)
        mask = torch.arange(padded.shape[1]) < lengths[:, None]
        padded, mask, lengths = (each.to(self.device) for each in (padded, mask, lengths))
        return F.normalize((self.states(padded, mask) * mask[..., None]).sum(1) / lengths[:, None], dim=-1)

    def states(self, ids: Tensor, mask: Tensor) -> Tensor:
        """Return the last hidden states [n, T, D] of word pieces [n, T]; mask: [n, T], True for what is read."""
        if self.packed is not None:
            return self.packed(ids, mask)
        return self.model(ids, attention_mask=mask).last_hidden_state


def stored_dtype(path: Path) -> torch.dtype:
    """Return float16 if all tensors of a safetensors file have it, else float32."""
    with safe_open(path, "pt") as file:
        kinds = {file.get_slice(name).get_dtype() for name in file.keys()}  # noqa: SIM118 (not a dict)
    return torch.float16 if kinds == {"F16"} else torch.float32


def batches(lengths: Sequence[int], budget: int) -> Iterator[list[int]]:
    """Yield rows, longest first, so that rows times the longest of them is at most the budget; one row at least."""
    order = sorted(range(len(lengths)), key=lambda row: -lengths[row])
    while order:
        size = max(1, budget // max(1, lengths[order[0]]))
        yield order[:size]
        order = order[size:]


def tokenise(folder: Path, texts: Sequence[str], tokens: int = 128) -> Tensor:
    """Return texts as ``TransformerBody`` reads them: token ids and attention masks [n, 2, tokens], int32."""
    from transformers.models.auto.tokenization_auto import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    batch = tokenizer(list(texts), padding="max_length", truncation=True, max_length=tokens, return_tensors="pt")
    return torch.stack([batch["input_ids"], batch["attention_mask"]], 1).int()
