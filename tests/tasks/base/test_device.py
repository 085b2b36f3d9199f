"""Where networks run: what is named and there, and by itself a GPU where there is one."""

import pytest
import torch

from domains.errors import UserError
from tasks.base.device import torch_device
from tasks.base.settings import settings
from tasks.features.encoders import BUILT_IN, weights
from tasks.features.encoding import _encode_chunk
from tests.learners.encoders.test_encoders import picture

GPU = torch.cuda.is_available()


def test_the_setting_names_a_device_and_a_command_another(monkeypatch):
    monkeypatch.setenv("ACCLIMATE_DEVICE", "cpu")
    assert torch_device().type == torch_device("cpu").type == "cpu"
    monkeypatch.setenv("ACCLIMATE_DEVICE", "auto")
    assert torch_device().type == ("cuda" if GPU else torch_device("auto").type)


@pytest.mark.skipif(GPU, reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_said(monkeypatch):
    monkeypatch.setenv("ACCLIMATE_DEVICE", "cuda")
    with pytest.raises(UserError, match=r"no device 'cuda' on this machine; there is: cpu"):
        torch_device()


@pytest.mark.skipif(not GPU, reason="needs a GPU")
@pytest.mark.parametrize("family", ["text", "vision"])
def test_vectors_are_the_same_on_a_gpu(family, monkeypatch):
    spec = next(iter(BUILT_IN[family].values()))
    folder = weights(settings(), spec)
    examples = ["The heart beats.", "Why?"] * 40 if family == "text" else [picture(i) for i in range(20)]
    found = []
    for device in ("cpu", "cuda"):
        monkeypatch.setenv("ACCLIMATE_DEVICE", device)
        encoder = spec.load(folder).to(torch_device())
        found.append(encoder.encode(examples))
    torch.testing.assert_close(*found, atol=2e-3, rtol=2e-2)


class Greedy:
    """An encoder of one number, which has memory for so many examples at a time."""

    def __init__(self, room):
        self.room = room

    def encode(self, examples):
        if len(examples) > self.room:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return torch.arange(len(examples))[:, None].float()


@pytest.mark.parametrize("room", [1, 5])
def test_a_batch_that_does_not_fit_is_halved(room, monkeypatch, tmp_path):
    spec = BUILT_IN["text"]["minilm"]
    monkeypatch.setattr("tasks.features.encoding._encoder", lambda spec, folder: Greedy(room))
    assert _encode_chunk(spec, tmp_path, ["a"] * 23).shape == (23, 1)


def test_a_model_that_does_not_fit_at_all_is_said(monkeypatch, tmp_path):
    monkeypatch.setattr("tasks.features.encoding._encoder", lambda spec, folder: Greedy(0))
    with pytest.raises(UserError, match=r"does not fit on the GPU; set ACCLIMATE_DEVICE=cpu"):
        _encode_chunk(BUILT_IN["text"]["minilm"], tmp_path, ["a"] * 3)
