"""The targets of the quick start are scored with what a user gets."""

import numpy as np
import pytest

from tasks.bench import quick
from tasks.bench.options import BenchOptions
from tasks.models import registry


def words(frame):
    """The same letters in other orders, and some at random, so that only words tell classes apart."""
    about, rng = {"target 0": ("abcd", "efgh"), "target 1": ("dcba", "hgfe")}, np.random.default_rng(0)
    noise = ["".join(rng.choice(list("abcdefgh"), 6)) for _ in frame["label"]]
    texts = [
        f"{' '.join(rng.permutation(about[label]))} {end}" for label, end in zip(frame["label"], noise, strict=True)
    ]
    return frame.assign(text=texts)


@pytest.fixture
def anagrams(made, letters):
    return made("target", classes=2, per_class=40, role="target", split=words)


def test_the_words_of_texts_count(anagrams, settings, model, tmp_path, monkeypatch):
    folder = tmp_path / "meta"
    folder.mkdir()
    model.save(folder)
    version = registry.log_meta_model(settings, "text", folder, {}, {}, {"key": "meta"})
    registry.promote(settings, "meta-text", version, lambda folder: None)
    monkeypatch.setattr(quick, "snapshots", lambda root, home: [anagrams])
    monkeypatch.setattr(quick, "SHOTS", (10,))
    rows = quick.bench_quick(settings, BenchOptions(draws=2), print)
    accuracy = {row["method"]: row["value"] for row in rows if row["metric"] == "accuracy"}
    assert accuracy["acclimate"] > 0.9
    assert accuracy["logistic"] < 0.7
