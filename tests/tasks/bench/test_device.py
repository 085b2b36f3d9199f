"""The suite of devices, with the processor alone: the same work, done where it is told, agrees with itself."""

import pytest
import torch

from tasks.base.settings import settings
from tasks.bench import device
from tasks.bench.options import BenchOptions
from tasks.bench.suites import run_suite
from tasks.features.encoders import BUILT_IN


def test_every_work_is_done_on_the_device_and_compared(monkeypatch):
    monkeypatch.setattr(device, "BUILT_IN", {"text": {"minilm": BUILT_IN["text"]["minilm"]}})
    monkeypatch.setattr(device, "SIZES", {"text": 16})
    monkeypatch.setattr(device, "STEPS", 2)
    said = []
    rows = run_suite(settings(), "device", BenchOptions(device="cpu"), said.append)
    works = [row["domain"].split(" ")[0] for row in rows]
    assert works == ["encode", "tune", "meta-train"]
    assert len(said) == len(rows)
    assert all(row["value"] == 1 and row["seconds"] > 0 for row in rows)
    assert [row["cosine"] for row in rows if "cosine" in row] == pytest.approx([1])


def test_a_work_that_differs_between_devices_is_seen():
    vectors = iter([torch.tensor([[1.0, 0.0]]), torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]])])
    row = device.compare("encode", "1 example", lambda at: next(vectors), "meta", lambda n: None)
    assert row["cosine"] == 0


def test_images_are_made_for_it():
    assert len({bytes(image) for image in device.make_examples("vision", 3)}) == 3
