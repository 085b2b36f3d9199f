"""CPU time of the encoders of texts, exact, in 16 and in 8 bits, beside sentence-transformers with the same weights."""

import statistics
import time
from collections.abc import Callable
from typing import Any

from torch.nn import functional as F

from domains.domain import EXAMPLE_COLUMN
from domains.errors import UserError
from learners.encoders.bert import MeanBert
from learners.encoders.packed import has_bfloat16
from tasks.base.device import one_thread
from tasks.base.progress import progress
from tasks.base.settings import Settings
from tasks.bench.labels.domains import read_domain
from tasks.bench.options import BenchOptions, Row
from tasks.features.encoders import BUILT_IN, TOKENS, int8_installed, weights
from tasks.features.routes import quantised
from tasks.features.spec import EncoderSpec

DOMAINS = ("hpo", "drugreviews")
TEXTS, ROUNDS = 600, 3


def bench_encoding(settings: Settings, options: BenchOptions, say: Callable[[str], None]) -> list[Row]:
    """Time each way to encode the same texts in turn, after a warm-up, on one thread.

    In 16 bits where the processor multiplies them itself, in 8 where the extra is there.

    The value of a ``ratio`` row is CPU seconds over those of sentence-transformers, medians of rounds.

    Raises:
        UserError: a domain is unknown, or not of texts, or its file cannot be had.
    """
    if not int8_installed():
        say("8 bits are left out: they need pip install acclimate[int8]")
    names, rows = options.domains or DOMAINS, list[Row]()
    texts = {name: _texts(settings, name) for name in names}
    with progress("bench encoding", len(BUILT_IN["text"]) * len(names) * (ROUNDS + 1)) as advance, one_thread():
        for encoder, spec in BUILT_IN["text"].items():
            ways = _ways(settings, spec)
            for name in names:
                rows += _time(ways, encoder, name, texts[name], advance)
    return rows


def _texts(settings: Settings, name: str) -> list[str]:
    found = read_domain(settings, name)
    if EXAMPLE_COLUMN[found.family] != "text":
        raise UserError(f"--domains: {name} is of family {found.family}; name domains of texts")
    return list(found.examples[:TEXTS])


def _ways(settings: Settings, spec: EncoderSpec) -> dict[str, Callable[[list[str]], Any]]:
    from sentence_transformers import SentenceTransformer, models

    folder = weights(settings, spec)
    body = models.Transformer(str(folder), max_seq_length=TOKENS)
    peer = SentenceTransformer(modules=[body, models.Pooling(spec.dim), models.Normalize()], device="cpu")
    ways = {
        "sentence-transformers": lambda texts: peer.encode(
            [spec.prompt + text for text in texts], convert_to_tensor=True, show_progress_bar=False
        ),
        "exact": MeanBert(folder, TOKENS, spec.prompt, exact=True).encode,
    }
    if has_bfloat16():
        ways["bfloat16"] = MeanBert(folder, TOKENS, spec.prompt).encode
    if int8_installed():
        small = quantised(settings, spec)
        ways["int8"] = small.load(weights(settings, small)).encode
    return ways


def _time(
    ways: dict[str, Callable[[list[str]], Any]],
    encoder: str,
    name: str,
    texts: list[str],
    advance: Callable[[int], None],
) -> list[Row]:
    seconds: dict[str, list[float]] = {way: [] for way in ways}
    x = {}
    for _ in range(ROUNDS + 1):
        for way, encode in ways.items():
            began = time.process_time()
            x[way] = encode(texts)
            seconds[way].append(time.process_time() - began)
        advance(1)
    medians = {way: statistics.median(taken[1:]) for way, taken in seconds.items()}
    usual, rows = "sentence-transformers", list[Row]()
    for way, median in medians.items():
        cosines = F.cosine_similarity(x[way], x[usual])
        for metric, value in (
            ("ratio of CPU time to sentence-transformers", median / medians[usual]),
            ("texts a CPU second", len(texts) / median),
            ("cosine to sentence-transformers, mean", float(cosines.mean())),
            ("cosine to sentence-transformers, lowest", float(cosines.min())),
        ):
            about = {"suite": "encoding", "domain": name, "setting": f"{encoder}, {len(texts)} texts, one thread"}
            found = {"method": way, "metric": metric, "value": round(value, 4), "ci95": None, "n": ROUNDS}
            rows.append(about | found | {"seconds": round(sum(seconds[way]), 2)})
    return rows
