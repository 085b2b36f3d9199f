"""Sentences a second of our encoder and of sentence-transformers, on one core.

    pip install -e '.[export]'
    python docs/peers/encode_speed.py HOME    # the home of a project whose demo has run

The same weights and 800 texts of 20 Newsgroups and HPO (``data/`` of the project), cut after 128 word pieces. CPU
seconds, the best of ROUNDS rounds in turn.
"""

import sys
import time
from pathlib import Path

import pandas as pd
import torch
from sentence_transformers import SentenceTransformer, models

from learners.encoders.bert import MeanBert

ROUNDS, TOKENS = 3, 128


def main(home: Path) -> None:
    torch.set_num_threads(1)
    folder = next(path for path in (home / "encoders").glob("minilm-*") if path.is_dir())
    texts = [text for name in ("20news", "hpo") for text in pd.read_parquet(f"data/{name}/train.parquet").text[:400]]
    body = models.Transformer(str(folder), max_seq_length=TOKENS)
    peer = SentenceTransformer(modules=[body, models.Pooling(384), models.Normalize()], device="cpu")
    ours = MeanBert(folder, TOKENS)
    ways = {
        "sentence-transformers": lambda: peer.encode(texts, convert_to_tensor=True, show_progress_bar=False),
        "acclimate": lambda: ours.encode(texts),
    }
    exact, seconds = ways["acclimate"](), dict.fromkeys(ways, float("inf"))
    for _ in range(ROUNDS):
        for name, way in ways.items():
            began = time.process_time()
            x = way()
            seconds[name] = min(seconds[name], time.process_time() - began)
            print(f"{name}: cosine to ours {(x * exact).sum(1).mean():.4f}, lowest {(x * exact).sum(1).min():.4f}")
    for name, spent in seconds.items():
        ratio = seconds["sentence-transformers"] / spent
        print(f"{name}: {len(texts) / spent:.1f} sentences a CPU second, {ratio:.2f} times sentence-transformers")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
