"""An exported model as one ONNX graph, from word pieces to calibrated logits. Needs the extra ``export``."""

import warnings
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from domains.errors import UserError
from learners.chain import Chain

NEEDED = ("onnx", "onnxscript")
FILE = "model.onnx"


class Whole(nn.Module):
    """Encoder and classifier: ``input_ids`` and ``attention_mask`` [n, tokens], int64, to logits [n, N]."""

    def __init__(self, encoder: nn.Module, chain: Chain) -> None:
        super().__init__()
        self.encoder, self.chain = encoder, chain

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        hidden = self.encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        mask = attention_mask.unsqueeze(-1).to(hidden.dtype)
        return self.chain(F.normalize((hidden * mask).sum(1) / mask.sum(1), dim=-1))


def check_installed() -> None:
    """Raise UserError if torch cannot write ONNX here."""
    if missing := [name for name in NEEDED if find_spec(name) is None]:
        raise UserError(f"ONNX needs the packages {' and '.join(missing)}: pip install {' '.join(missing)}")


def write_onnx(folder: Path, chain: Chain, tokens: int) -> Path:
    """Write ``model.onnx`` beside an exported encoder, for any number of texts of up to ``tokens`` word pieces."""
    from transformers.models.auto.modeling_auto import AutoModel
    from transformers.models.auto.tokenization_auto import AutoTokenizer

    encoder = AutoModel.from_pretrained(folder, local_files_only=True, use_safetensors=True)
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    sample = tokenizer(["one text", "and another"], padding=True, return_tensors="pt")
    inputs = {name: sample[name] for name in ("input_ids", "attention_mask")}
    axes = {0: torch.export.Dim("n"), 1: torch.export.Dim("tokens", max=tokens)}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of how axes are named inside
        torch.onnx.export(
            Whole(encoder, chain).eval(),
            tuple(inputs.values()),
            folder / FILE,
            input_names=list(inputs),
            output_names=["logits"],
            dynamic_shapes=dict.fromkeys(inputs, axes),
            dynamo=True,
            external_data=False,
            verbose=False,
        )
    return folder / FILE
