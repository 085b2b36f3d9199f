"""Examples to vectors: pretrained encoders, in several processes; what was encoded before is read from the store."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import nullcontext
from functools import cache
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
import torch
from filelock import FileLock
from torch import Tensor

from domains.domain import Family
from domains.errors import UserError
from domains.names import label_phrases
from learners.classifier import Classifier
from learners.encoders.ngrams import count_ngrams
from learners.examples import Examples
from tasks.base.device import at_once, one_thread, torch_device
from tasks.base.pools import process_pool
from tasks.base.settings import Settings
from tasks.features.encoders import CHUNK, BertLoader, family_encoders, weights
from tasks.features.routes import WORTH, here, try_int8
from tasks.features.spec import EncoderSpec
from tasks.features.store import FeatureStore, key_of

INLINE, FEW = 256, 32  # fewer new examples than this are not worth another process; of them so many a thread


def encode(
    settings: Settings,
    family: Family,
    examples: Sequence[Any],
    advance: Callable[[int], None] = lambda n: None,
    encoders: Sequence[EncoderSpec] | None = None,
    reader: Classifier | None = None,
) -> Tensor:
    """Return features [n, D] of raw examples: texts, encoded images, or market feature vectors.

    Runs at once take turns with an encoder where there is much to encode, so that what one has encoded the next finds.

    Args:
        advance: called with the number of examples whose features have become known, by each encoder.
        encoders: whose features stand side by side; None: those of the family's first one alone.
        reader: a classifier that may not need all of them; the features of the others are left 0.
    """
    if family == "market":
        advance(len(examples))
        return torch.tensor(np.asarray(examples, dtype=np.float32))
    if encoders is None:
        encoders = family_encoders(family)[:1]
    ends = list(accumulate(spec.dim for spec in encoders))

    def read(spec: EncoderSpec, end: int) -> Tensor:
        if reader is None or reader.reads(end - spec.dim, end):
            return _encode_by(settings, spec, examples, advance)
        advance(len(examples))
        return torch.zeros(len(examples), spec.dim)

    if len(encoders) > 1 and len(examples) < INLINE:  # each here, of which loading may take longest
        with one_thread(), ThreadPoolExecutor(at_once(settings.processes)) as threads:
            return torch.cat(list(threads.map(read, encoders, ends)), 1)
    return torch.cat(list(map(read, encoders, ends)), 1)


def _encode_by(
    settings: Settings, spec: EncoderSpec, examples: Sequence[Any], advance: Callable[[int], None]
) -> Tensor:
    """Return features [n, D] by one encoder; what was encoded before is read from its store."""
    asked, spec = spec, here(settings, spec)
    store = FeatureStore(settings.home_path / "features" / spec.identity)
    keys = [key_of(example) for example in examples]
    known = store.get(set(keys))
    if absent := len(set(keys) - known.keys()):
        if absent >= WORTH and try_int8(settings, asked):
            return _encode_by(settings, asked, examples, advance)
        settings.home_path.mkdir(parents=True, exist_ok=True)
        turn = FileLock(settings.home_path / f"{spec.identity}.lock") if absent >= INLINE else nullcontext()
        with turn:
            known = store.get(set(keys)) if absent >= INLINE else known
            copies, made = Counter(keys), dict[bytes, Tensor]()
            advance(sum(key in known for key in keys))
            new = {key: example for key, example in zip(keys, examples, strict=True) if key not in known}
            for part in _encode_new(spec, weights(settings, spec), new, settings.processes) if new else ():
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


def encode_names(
    settings: Settings,
    family: Family,
    domains: Sequence[Sequence[str]],
    encoders: Sequence[EncoderSpec] | None = None,
) -> list[Tensor | None]:
    """Return features [N, D] of the label names of domains, encoded together.

    None for a domain whose names say nothing, and where the encoder reads no text.
    """
    phrases = [label_phrases(labels) if family == "text" else None for labels in domains]
    every = [phrase for some in phrases if some is not None for phrase in some]
    rest = encode(settings, family, every, encoders=encoders) if every else torch.empty(0)
    found: list[Tensor | None] = []
    for some in phrases:
        found.append(None if some is None else rest[: len(some)])
        rest = rest[len(some or ()) :]
    return found


def encode_here(encoders: Sequence[tuple[EncoderSpec, Path]], examples: Sequence[Any]) -> Tensor:
    """Return features [n, D] of raw examples by encoders, each in its folder: in this process, past the cache."""
    found = []
    for spec, folder in encoders:
        _encoder(spec, folder)
        found.append(_encode_chunk(spec, folder, list(examples)) if examples else torch.zeros(0, spec.dim))
    return torch.cat(found, 1)


def _encode_new(
    spec: EncoderSpec, folder: Path, new: dict[bytes, Any], processes: int
) -> Iterator[dict[bytes, Tensor]]:
    """Yield features by key, long examples first so that no process is left with them at the end."""
    processes = at_once(processes)
    keys = sorted(new, key=lambda key: -len(new[key]))
    inline = len(keys) < INLINE or processes < 2
    shared = inline and isinstance(spec.load, BertLoader) and not spec.load.int8  # by threads
    size = FEW if shared else CHUNK
    chunks = [keys[i : i + size] for i in range(0, len(keys), size)]
    jobs = [(spec, folder, [new[key] for key in chunk]) for chunk in chunks]
    if inline:
        _encoder(spec, folder)  # once, and not by each thread
        with one_thread(), ThreadPoolExecutor(processes if shared else 1) as threads:
            for chunk, x in zip(chunks, threads.map(lambda job: _encode_chunk(*job), jobs), strict=True):
                yield dict(zip(chunk, x, strict=True))
        return
    try:
        running = {_pool(processes).submit(_encode_chunk, *job): chunk for job, chunk in zip(jobs, chunks, strict=True)}
        for done in as_completed(running):
            yield dict(zip(running[done], done.result(), strict=True))
    except BrokenProcessPool as error:
        _pool.cache_clear()
        raise UserError(
            "an encoding process was killed, probably for lack of memory: free some, or set ACCLIMATE_PROCESSES=1"
        ) from error


@cache
def _pool(processes: int) -> ProcessPoolExecutor:
    """Return processes that stay for the next domain: each needs seconds to import what an encoder needs."""
    return process_pool(processes)


@cache
def _encoder(spec: EncoderSpec, folder: Path) -> Any:
    encoder, device = spec.load(folder), torch_device()
    return encoder if device.type == "cpu" else encoder.to(device)


def _encode_chunk(spec: EncoderSpec, folder: Path, examples: list[Any]) -> Tensor:
    with one_thread():
        encoder, batch = _encoder(spec, folder), spec.batch if torch_device().type == "cpu" else CHUNK
        while True:
            try:
                parts = [encoder.encode(examples[i : i + batch]) for i in range(0, len(examples), batch)]
                return torch.cat(parts).clone()
            except torch.OutOfMemoryError as error:  # of a GPU
                if batch == 1:
                    raise UserError(f"{spec.identity} does not fit on the GPU; set ACCLIMATE_DEVICE=cpu") from error
                batch = -(-batch // 2)
