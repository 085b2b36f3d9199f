"""Sentences to vectors: MiniLM with mean pooling (Wang et al. 2020; Reimers & Gurevych 2019)."""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F


class MiniLM:
    """all-MiniLM-L6-v2 from a local folder in the ``transformers`` layout (safetensors).

    Args:
        folder: holds ``config.json``, ``model.safetensors`` and the tokenizer's files.
        tokens: longer texts are cut after this many word pieces.
    """

    dim = 384

    def __init__(self, folder: Path, tokens: int = 128) -> None:
        from transformers import AutoModel, AutoTokenizer
        from transformers.utils import logging

        logging.disable_progress_bar()
        self.tokens = tokens
        self.tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        self.model = AutoModel.from_pretrained(folder, local_files_only=True, use_safetensors=True).eval()

    @torch.inference_mode()
    def encode(self, texts: Sequence[str]) -> Tensor:
        """Return unit-length vectors [n, 384]."""
        batch = self.tokenizer(list(texts), padding=True, truncation=True, max_length=self.tokens, return_tensors="pt")
        hidden = self.model(**batch).last_hidden_state
        mask = batch["attention_mask"].unsqueeze(-1).to(hidden.dtype)
        return F.normalize((hidden * mask).sum(1) / mask.sum(1), dim=-1)


def tokenise(folder: Path, texts: Sequence[str], tokens: int = 128) -> Tensor:
    """Return texts as ``TransformerBody`` reads them: token ids and attention masks [n, 2, tokens], int32."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    batch = tokenizer(list(texts), padding="max_length", truncation=True, max_length=tokens, return_tensors="pt")
    return torch.stack([batch["input_ids"], batch["attention_mask"]], 1).int()
