"""The benchmark of encoding: ratios of CPU time, and cosines."""

import torch

from tasks.bench import encoding


def test_rows_are_of_the_same_texts_beside_sentence_transformers(monkeypatch):
    clock = iter([0, 8, 0, 2] * (encoding.ROUNDS + 1))
    monkeypatch.setattr(encoding.time, "process_time", lambda: next(clock))
    ways = {"sentence-transformers": lambda texts: torch.eye(2), "int8": lambda texts: torch.tensor([[1.0, 0], [3, 4]])}
    rows = encoding._time(ways, "minilm", "hpo", ["a", "b"], lambda n: None)
    found = {(row["method"], row["metric"]): row["value"] for row in rows}
    assert found["int8", "ratio of CPU time to sentence-transformers"] == 0.25
    assert found["int8", "texts a CPU second"] == 1.0
    assert [row["value"] for row in rows if row["metric"].startswith("cosine")] == [1, 1, 0.9, 0.8]
    assert {row["setting"] for row in rows} == {"minilm, 2 texts, one thread"}
