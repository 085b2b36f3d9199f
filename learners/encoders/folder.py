"""Encoders from a folder in a format of Hugging Face: sentence-transformers, and transformers for texts and images."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

LONGEST = 256  # word pieces of a text


class _Movable:
    """What has one model, and moves to a device with it."""

    model: Any

    def to(self, device: torch.device) -> Self:
        """Move to a device, and return itself."""
        self.model.to(device)
        return self


class SentenceFolder(_Movable):
    """A folder of sentence-transformers: modules, pooling, prompts and lengths are as its files say.

    N. Reimers and I. Gurevych. Sentence-BERT: sentence embeddings using Siamese BERT-networks. EMNLP 2019.
    https://arxiv.org/abs/1908.10084
    """

    def __init__(self, folder: Path) -> None:
        import transformers.models.auto.modeling_auto  # noqa: F401 (first, as the next line imports from its top)
        from sentence_transformers import SentenceTransformer

        self.model = SentenceTransformer(
            str(folder),
            device="cpu",
            local_files_only=True,
            trust_remote_code=False,
            model_kwargs={"use_safetensors": True, "dtype": torch.float32},
        )

    @torch.inference_mode()
    def encode(self, texts: Sequence[str]) -> Tensor:
        """Return vectors [n, D]."""
        found = self.model.encode(list(texts), convert_to_tensor=True, show_progress_bar=False)
        return found.float().cpu()


class TextFolder(_Movable):
    """A text model of transformers; its last hidden states are averaged over word pieces, or the first one is taken.

    Args:
        first: take the first (CLS) in place of the mean.

    Texts are cut after LONGEST word pieces, or after fewer where the tokenizer says so.
    """

    def __init__(self, folder: Path, first: bool) -> None:
        from transformers.models.auto.tokenization_auto import AutoTokenizer

        self.first = first
        self.tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        if self.tokenizer.pad_token is None:
            self.tokenizer.pad_token = self.tokenizer.eos_token
        self.tokens = min(LONGEST, self.tokenizer.model_max_length)
        self.model = _load_model(folder)

    @torch.inference_mode()
    def encode(self, texts: Sequence[str]) -> Tensor:
        """Return unit-length vectors [n, D]."""
        cut: dict[str, Any] = {"padding": True, "truncation": True, "max_length": self.tokens}
        batch = self.tokenizer(list(texts), return_tensors="pt", **cut).to(self.model.device)
        hidden = self.model(**batch).last_hidden_state
        if self.first:
            return F.normalize(hidden[:, 0], dim=-1).cpu()
        mask = batch["attention_mask"][..., None]
        return F.normalize((hidden * mask).sum(1) / mask.sum(1).clamp_min(1), dim=-1).cpu()


class ImageFolder(_Movable):
    """An image model of transformers (ViT, DINOv2, SigLIP, ConvNeXt), its images prepared as the folder says.

    The vector is what the model says of the whole image: that of its projection, of its first token, or the pooled map.
    """

    def __init__(self, folder: Path) -> None:
        from transformers.models.auto.image_processing_auto import AutoImageProcessor

        self.prepare = AutoImageProcessor.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        self.model = _load_model(folder)

    @torch.inference_mode()
    def encode(self, images: Sequence[bytes]) -> Tensor:
        """Return unit-length vectors [n, D] of images (PNG, JPEG, ...)."""
        opened = [Image.open(io.BytesIO(image)).convert("RGB") for image in images]
        pixels = self.prepare(images=opened, return_tensors="pt")["pixel_values"].to(self.model.device)
        if hasattr(self.model, "get_image_features"):
            found = self.model.get_image_features(pixel_values=pixels)
            return F.normalize(getattr(found, "pooler_output", found), dim=-1).cpu()
        out = self.model(pixel_values=pixels)
        tokens = out.last_hidden_state
        return F.normalize(tokens[:, 0] if tokens.ndim == 3 else out.pooler_output.flatten(1), dim=-1).cpu()


def _load_model(folder: Path) -> Any:
    from transformers.models.auto.modeling_auto import AutoModel
    from transformers.utils import logging

    logging.disable_progress_bar()
    given: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False, "use_safetensors": True}
    return AutoModel.from_pretrained(folder, dtype=torch.float32, **given).eval()
