"""What adaptation gives: a classifier of feature vectors that is tensors and a few words, never code."""

import copy
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor
from torch.func import functional_call
from torch.nn import functional as F

from learners.parts import Part, make_part

FILE = "classifier.safetensors"


@dataclass(frozen=True)
class Affine:
    """x -> x W^T + b, with weight [out, in] and bias [out]."""

    weight: Tensor
    bias: Tensor


@dataclass(frozen=True)
class Columns:
    """x -> (x[:, :k] - mean) / scale, with mean and scale [k]."""

    mean: Tensor
    scale: Tensor

    def __call__(self, x: Tensor) -> Tensor:
        return (x[:, : len(self.mean)] - self.mean) / self.scale


@dataclass(frozen=True)
class FixedPart:
    """A module known by name (``learners/parts.py``) at some weights, in evaluation mode."""

    module: Part
    weights: Mapping[str, Tensor]

    @classmethod
    def of(cls, module: Part, weights: Mapping[str, Tensor] | None = None) -> "FixedPart":
        """Return a module as it is now, or at other parameters; later changes to the module do not reach it."""
        own = {**dict(module.named_parameters()), **dict(module.named_buffers()), **(weights or {})}
        return cls(copy.deepcopy(module).eval(), {name: value.detach().clone() for name, value in own.items()})


@dataclass(frozen=True)
class PooledOpinions:
    """x -> mean_e log p_e(y | x), the logarithmic pool of classifiers at temperature 1."""

    members: tuple["Classifier", ...]


#: Words for steps without numbers. ``normalise`` is to unit length.
WORDS = {
    "relu": F.relu,
    "normalise": lambda x: F.normalize(x, dim=-1),
    "softmax": lambda x: F.softmax(x, dim=-1),
    "log": lambda x: x.clamp_min(1e-12).log(),
}
#: A step of a classifier: an affine map, some columns, a module, a pool, or a word of WORDS.
Layer = Affine | Columns | FixedPart | PooledOpinions | str


@dataclass(frozen=True)
class Classifier:
    """Layers from features to logits, a temperature, and the labels.

    Prototype classifiers are of this form too: the softmax of -|z - c|^2 equals that of 2 c.z - |c|^2.

    ``threshold`` belongs to the temperature: labels at least so probable are in an example's prediction set
    (``learners/choice/conformal.py``); None where nothing is known.
    """

    layers: tuple[Layer, ...]
    labels: tuple[str, ...] = ()
    temperature: float = 1.0
    threshold: float | None = None

    def logits(self, x: Tensor) -> Tensor:
        """Return uncalibrated logits [n, N] of features [n, D] or raw examples."""
        for layer in self.layers:
            if isinstance(layer, Affine):
                x = F.linear(x, layer.weight, layer.bias)
            elif isinstance(layer, Columns):
                x = layer(x)
            elif isinstance(layer, FixedPart):
                x = functional_call(layer.module, dict(layer.weights), (x,))
            elif isinstance(layer, PooledOpinions):
                x = torch.stack([F.log_softmax(member.logits(x), -1) for member in layer.members]).mean(0)
            else:
                x = WORDS[layer](x)
        return x

    @torch.no_grad()
    def predict_proba(self, x: Tensor) -> Tensor:
        """Return calibrated probabilities [n, N] of features [n, D]."""
        return F.softmax(self.logits(x) / self.temperature, dim=-1)

    def with_labels(self, labels: Sequence[str]) -> "Classifier":
        """Return the same classifier with label names."""
        return replace(self, labels=tuple(labels))

    def with_temperature(self, temperature: float) -> "Classifier":
        """Return the same classifier with another temperature, for which no threshold is known."""
        return replace(self, temperature=float(temperature), threshold=None)

    def save(self, folder: Path) -> Path:
        """Write one safetensors file into a folder and return its path."""
        words, tensors = _pack(self.layers)
        tensors = {name: value.detach().cpu().clone().contiguous() for name, value in tensors.items()}
        numbers = {"temperature": self.temperature, "threshold": self.threshold}
        about = {"layers": words, "labels": self.labels, **numbers}
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
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
        layers = _unpack(about["layers"], tensors, folder / FILE)
        return cls(layers, tuple(about["labels"]), about["temperature"], about.get("threshold"))


def _pack(layers: Sequence[Layer], prefix: str = "") -> tuple[list[object], dict[str, Tensor]]:
    """Return layers in words, and their tensors by name."""
    words: list[object] = []
    tensors: dict[str, Tensor] = {}
    for i, layer in enumerate(layers):
        at = f"{prefix}{i}."
        if isinstance(layer, Affine):
            words.append("affine")
            tensors |= {f"{at}weight": layer.weight, f"{at}bias": layer.bias}
        elif isinstance(layer, Columns):
            words.append("columns")
            tensors |= {f"{at}mean": layer.mean, f"{at}scale": layer.scale}
        elif isinstance(layer, FixedPart):
            words.append({"module": layer.module.name, "config": layer.module.config})
            tensors |= {f"{at}{name}": value for name, value in layer.weights.items()}
        elif isinstance(layer, PooledOpinions):
            members = [_pack(member.layers, f"{at}{e}.") for e, member in enumerate(layer.members)]
            words.append({"pool": [of for of, _ in members]})
            tensors |= {name: value for _, own in members for name, value in own.items()}
        else:
            words.append(layer)
    return words, tensors


def _unpack(words: Sequence[Any], tensors: Mapping[str, Tensor], file: Path, prefix: str = "") -> tuple[Layer, ...]:
    """Return what ``_pack`` was given; the file is named where a word is not known."""
    layers: list[Layer] = []
    for i, word in enumerate(words):
        at = f"{prefix}{i}."
        if word == "affine":
            layers.append(Affine(tensors[f"{at}weight"], tensors[f"{at}bias"]))
        elif word == "columns":
            layers.append(Columns(tensors[f"{at}mean"], tensors[f"{at}scale"]))
        elif isinstance(word, dict) and "module" in word:
            weights = {k.removeprefix(at): v for k, v in tensors.items() if k.startswith(at)}
            layers.append(FixedPart(make_part(word["module"], word["config"]).eval(), weights))
        elif isinstance(word, dict) and "pool" in word:
            members = [_unpack(of, tensors, file, f"{at}{e}.") for e, of in enumerate(word["pool"])]
            layers.append(PooledOpinions(tuple(map(Classifier, members))))
        elif isinstance(word, str) and word in WORDS:
            layers.append(word)
        else:
            raise ValueError(f"{file}: unknown layer {word!r}; made by a newer version?")
    return tuple(layers)
