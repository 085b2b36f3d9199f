"""An adapted text model as a folder that ``sentence-transformers`` loads, and plain ``transformers`` nearly.

The folder is the encoder's, with a ``modules.json`` that names what follows it: the mean over tokens, unit length, and
the classifier as dense maps. ``SentenceTransformer(folder).encode(texts)`` are then calibrated logits, and
``config.json`` has the labels. Module names are those of sentence-transformers 2, which later versions take too.
"""

import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from torch import Tensor

from domains.errors import UserError
from learners.chain import Chain, Step, exportable_part
from learners.classifier import Affine, Classifier
from tasks.base.settings import Settings
from tasks.export.model_card import model_card
from tasks.export.onnx_graph import check_installed, write_onnx
from tasks.features.encoders import TOKENS, weights
from tasks.features.spec import EncoderSpec
from tasks.features.tuned import TunedReader
from tasks.models import registry
from tasks.models.lookup import input_of, version_or_champion

Files = Iterator[tuple[str, Mapping[str, Any], Mapping[str, Tensor]]]


def export_sentence_transformers(
    settings: Settings, domain: str, folder: Path, version: str = "", onnx: bool = False
) -> registry.Registered:
    """Write an adapted model into a new folder, whole or not at all, and return which it was.

    Args:
        settings: where models and encoders are.
        domain: whose model.
        folder: new or empty.
        version: of the model; empty: the champion.
        onnx: write ``model.onnx`` too.

    Raises:
        UserError: no such model, or it reads no text, or has a step that the format lacks; or the folder is in use or
            cannot be written; or what ONNX needs is not installed.
    """
    if onnx:
        check_installed()
    found = version_or_champion(settings, domain, version)
    reads = input_of(found)
    if reads.family != "text":
        raise UserError(f"{domain} is of family {found.tags['family']}: only models of text can be exported")
    model, spec = Classifier.load(found.folder).as_named(), reads.encoders[0]
    tuned = _tuned_part(model, reads.encoders)
    try:
        features = model.without_ngrams()
        if tuned is None:
            part = exportable_part(features, spec.dim)
        else:
            part, spec = tuned.classifier, tuned.spec
        chain = Chain.of(part, spec.dim)
    except ValueError as error:
        strategy = found.params.get("strategy", "unknown")
        raise UserError(
            f"{domain} version {found.version} is of strategy {strategy}, which sentence-transformers cannot express "
            f"({error}); run `acclimate adapt {domain} --method logistic` or `--method transductive`, and export that"
        ) from error
    with new_folder(folder) as made:
        whole = made / "model"
        whole.mkdir()
        for file in weights(settings, spec).iterdir():
            shutil.copyfile(file, whole / file.name)
        if tuned is not None:
            tuned.model.save_pretrained(whole)
        _describe(whole, model.labels)
        _write_modules(whole, chain.steps, spec.dim)
        if spec.prompt:
            prompts = {"prompts": {"text": spec.prompt}, "default_prompt_name": "text"}
            _write_json(whole / "config_sentence_transformers.json", prompts)
        page = model_card(found, model.labels, spec.identity, onnx, model.reads_ngrams or part is not features)
        (whole / "README.md").write_text(page, "utf-8")
        if onnx:
            write_onnx(whole, chain, TOKENS)
        os.replace(whole, folder)
    return found


@dataclass(frozen=True)
class TunedPart:
    """What a model has from a tuned encoder: a classifier of its vectors, and the BERT itself."""

    classifier: Classifier
    spec: EncoderSpec
    model: Any


def _tuned_part(model: Classifier, encoders: Sequence[EncoderSpec]) -> TunedPart | None:
    """Return the part of a model that reads what a tuned encoder says, with that encoder; None where there is none."""
    *others, last = encoders
    start = sum(spec.dim for spec in others)
    if not last.opinions or last.folder is None or not model.reads(start, start + last.dim):
        return None
    own = model.with_members(lambda member: not member.reads_ngrams and not member.reads(0, start))
    reader = TunedReader(last.folder)
    classifier = replace(own, layers=(reader.head, *own.layers[1:]))  # in place of the columns
    return TunedPart(classifier, reader.spec, reader.encoder.model)


@contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """Yield a folder beside a new one to make that in, for it to be there whole or not at all.

    Raises:
        UserError: the folder is in use or cannot be made.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(f"{folder} exists and is not empty; choose a new folder")
    if not folder.resolve().parent.is_dir():
        raise UserError(f"cannot write {folder}: no such folder as {folder.resolve().parent}; make it first")
    try:
        with tempfile.TemporaryDirectory(dir=folder.resolve().parent, prefix=f".{folder.name}.") as made:
            yield Path(made)
    except OSError as error:
        raise UserError(f"cannot write {folder}: {error.strerror or error}; choose another folder") from error


def _describe(folder: Path, labels: Sequence[str]) -> None:
    """Put the labels and the length at which texts are cut where ``transformers`` looks for them."""
    names = {"id2label": dict(enumerate(labels)), "label2id": {label: i for i, label in enumerate(labels)}}
    for file, more in (("config.json", names), ("tokenizer_config.json", {"model_max_length": TOKENS})):
        _write_json(folder / file, json.loads((folder / file).read_text("utf-8")) | more)
    _write_json(folder / "sentence_bert_config.json", {"max_seq_length": TOKENS, "do_lower_case": False})


def _write_modules(folder: Path, steps: Sequence[Step], dim: int) -> None:
    """Write a folder a module, and ``modules.json``, which names them in order."""
    listed = [{"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"}]
    for i, (kind, config, tensors) in enumerate(_modules(steps, dim), 1):
        path = f"{i}_{kind}"
        (folder / path).mkdir()
        if config:
            _write_json(folder / path / "config.json", config)
        if tensors:
            save_file(dict(tensors), folder / path / "model.safetensors", metadata={"format": "pt"})
        listed.append({"idx": i, "name": str(i), "path": path, "type": f"sentence_transformers.models.{kind}"})
    _write_json(folder / "modules.json", listed)


def _modules(steps: Sequence[Step], dim: int) -> Files:
    """Yield kind, config and tensors of what follows the encoder."""
    modes = {"cls_token": False, "mean_tokens": True, "max_tokens": False, "mean_sqrt_len_tokens": False}
    pooling = {f"pooling_mode_{mode}": on for mode, on in modes.items()}
    yield "Pooling", {"word_embedding_dimension": dim} | pooling, {}
    yield "Normalize", {}, {}
    for step, after in pairwise((*steps, None)):
        if isinstance(step, Affine):
            activation = "activation.ReLU" if after == "relu" else "linear.Identity"
            wide, narrow = step.weight.shape
            config: dict[str, Any] = {"in_features": narrow, "out_features": wide, "bias": True}
            config |= {"activation_function": f"torch.nn.modules.{activation}"}
            yield "Dense", config, {"linear.weight": step.weight, "linear.bias": step.bias}
        elif step == "normalise":
            yield "Normalize", {}, {}


def _write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", "utf-8")
