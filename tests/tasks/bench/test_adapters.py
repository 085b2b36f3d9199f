"""The suite of learned starts: a start of tuning is learned from source domains, and every start is measured alike."""

import numpy as np
import torch

from domains.labelled_examples import LabelledExamples
from tasks.base.settings import settings
from tasks.bench import adapters
from tasks.features.encoders import BUILT_IN, weights

WORDS = {"heart": "the heart beats {}", "engine": "an engine with {} gears", "song": "sing {} songs"}


def made(name, size):
    texts = [text.format(i) for text in WORDS.values() for i in range(size)]
    return LabelledExamples(name, "text", tuple(texts), np.repeat(np.arange(3), size), tuple(WORDS), None)


def test_a_start_is_learned_and_tuned_from(monkeypatch):
    monkeypatch.setattr(adapters, "PER_CLASS", 2)
    monkeypatch.setattr(adapters, "EPOCHS", 1)
    monkeypatch.setattr(adapters, "TARGET_EPOCHS", 1)
    folder = weights(settings(), BUILT_IN["text"]["minilm"])
    starts = adapters.learn_start([made("a", 6), made("b", 6)], folder, 2, 0)
    zero, learned = starts.values()
    assert zero.keys() == learned.keys()
    ups = [name for name in zero if name.endswith("up")]
    assert all(not zero[name].any() for name in ups)
    assert any(learned[name].any() for name in ups)
    job = adapters.TuneJob(made("c", 8), 3, 0, starts, folder, 0)
    found = adapters.measure_starts(job, lambda n: None)
    assert list(found) == ["zero, frozen", "zero, tuned", "a learned start, frozen", "a learned start, tuned"]
    assert min(found[f"{start}, frozen"] for start in starts) > 0.8
    assert all(0 <= accuracy <= 1 for accuracy in found.values())


def test_queries_are_not_in_the_support_and_classes_without_enough_are_left_out():
    domain = made("a", 6)
    domain.y[:2] = 1  # four of the first class are left
    rows, y, (asked, asked_y) = adapters.draw_ways(domain, 5, 4, 3, np.random.default_rng(0))
    assert not set(rows) & set(asked)
    assert torch.bincount(y).tolist() == [4, 4]
    assert sorted(torch.bincount(asked_y).tolist()) == [2, 3]
