"""A BERT in numbers of 8 bits by OpenVINO, each tensor's scale fixed beforehand: a vector depends on its text only."""

import io
import json
import logging
import shutil
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path

import torch
from torch import Tensor, nn

from learners.encoders.bert import MeanBert
from learners.encoders.calibration import made_up_texts

FILE = "int8.xml"
TEXTS = 200  # to calibrate by
LONGEST = 256  # word pieces of one of them


class QuantisedBert(MeanBert):
    """What ``quantise`` wrote, with the tokenizer, lengths, prompt and pooling of a ``MeanBert``; on one thread."""

    def _load(self, folder: Path) -> int:
        stop_telemetry()
        import openvino

        core = openvino.Core()
        settings = {"INFERENCE_NUM_THREADS": 1, "PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"}
        self.compiled = core.compile_model(core.read_model(folder / FILE), "CPU", settings)
        return int(json.loads((folder / "config.json").read_text("utf-8"))["hidden_size"])

    def to(self, device: torch.device) -> "QuantisedBert":
        """Return itself: it runs on the processor."""
        return self

    def states(self, ids: Tensor, mask: Tensor) -> Tensor:
        """Return the last hidden states [n, T, D] of word pieces [n, T]; mask: [n, T], True for what is read."""
        return torch.from_numpy(self.compiled([ids.numpy(), mask.long().numpy()])[0])


class _States(nn.Module):
    """A BERT from word pieces and mask to the last hidden states, as OpenVINO converts it."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        return self.model(ids, attention_mask=mask).last_hidden_state


def quantise(folder: Path, made: Path, prompt: str = "") -> None:
    """Write the BERT in a folder as one of 8 bits into another, with its tokenizer; takes about a minute.

    Args:
        folder: as ``MeanBert`` reads it.
        made: an empty folder.
        prompt: comes before every text.
    """
    stop_telemetry()
    import nncf
    import openvino

    exact = MeanBert(folder, LONGEST, prompt)
    batches = [(ids[None].numpy(), torch.ones_like(ids[None]).numpy()) for ids in exact.prepare(made_up_texts(TEXTS))]
    example = tuple(torch.from_numpy(part) for part in batches[0])
    with torch.no_grad(), _quiet():
        converted = openvino.convert_model(_States(exact.model), example_input=example)
        small = nncf.quantize(
            converted, nncf.Dataset(batches), model_type=nncf.ModelType.TRANSFORMER, subset_size=len(batches)
        )
    openvino.save_model(small, made / FILE)
    for path in folder.iterdir():
        if path.suffix != ".safetensors":  # tokenizer and config, as they are
            shutil.copyfile(path, made / path.name)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep bars and warnings, of tracing for the most part, to ourselves."""
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(logging.NOTSET)


def stop_telemetry() -> None:
    """Keep OpenVINO and NNCF, when they are imported next, from reporting to their makers: they do by a package."""
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
