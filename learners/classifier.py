"""What adaptation gives: a classifier of feature vectors that is tensors and a few words, never code."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional as F

FILE = "classifier.safetensors"


@dataclass(frozen=True)
class Affine:
    """x -> x W^T + b, with weight [out, in] and bias [out]."""

    weight: Tensor
    bias: Tensor


#: A step of a classifier: an affine map, or one of the words ``relu`` and ``normalise`` (to unit length).
Layer = Affine | str


@dataclass(frozen=True)
class Classifier:
    """Layers from features to logits, a temperature, and the labels.

    Prototype classifiers are of this form too: the softmax of -|z - c|^2 equals that of 2 c.z - |c|^2.
    """

    layers: tuple[Layer, ...]
    labels: tuple[str, ...] = ()
    temperature: float = 1.0

    def logits(self, x: Tensor) -> Tensor:
        """Return uncalibrated logits [n, N] of features [n, D]."""
        for layer in self.layers:
            if isinstance(layer, Affine):
                x = F.linear(x, layer.weight, layer.bias)
            else:
                x = F.relu(x) if layer == "relu" else F.normalize(x, dim=-1)
        return x

    @torch.no_grad()
    def predict_proba(self, x: Tensor) -> Tensor:
        """Return calibrated probabilities [n, N] of features [n, D]."""
        return F.softmax(self.logits(x) / self.temperature, dim=-1)

    def named(self, labels: Sequence[str]) -> "Classifier":
        """Return the same classifier with label names."""
        return replace(self, labels=tuple(labels))

    def at(self, temperature: float) -> "Classifier":
        """Return the same classifier with another temperature."""
        return replace(self, temperature=float(temperature))

    def save(self, folder: Path) -> Path:
        """Write one safetensors file into a folder and return its path."""
        tensors, words = {}, []
        for i, layer in enumerate(self.layers):
            words.append("affine" if isinstance(layer, Affine) else layer)
            if isinstance(layer, Affine):
                tensors[f"{i}.weight"] = layer.weight.detach().contiguous()
                tensors[f"{i}.bias"] = layer.bias.detach().contiguous()
        about = {"layers": words, "labels": self.labels, "temperature": self.temperature}
        save_file(tensors, folder / FILE, metadata={"classifier": json.dumps(about)})
        return folder / FILE

    @classmethod
    def load(cls, folder: Path) -> "Classifier":
        """Read what ``save`` wrote.

        Raises:
            ValueError: the file holds a layer that this version does not know.
        """
        with safe_open(folder / FILE, "pt") as file:
            about = json.loads(file.metadata()["classifier"])
            layers: list[Layer] = []
            for i, word in enumerate(about["layers"]):
                if word not in ("affine", "relu", "normalise"):
                    raise ValueError(f"{folder / FILE}: unknown layer {word!r}; made by a newer version?")
                affine = word == "affine"
                layers.append(Affine(file.get_tensor(f"{i}.weight"), file.get_tensor(f"{i}.bias")) if affine else word)
        return cls(tuple(layers), tuple(about["labels"]), about["temperature"])
