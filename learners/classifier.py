"""What adaptation gives: a classifier of feature vectors that is tensors and a few words, never code."""

import copy
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from scipy.sparse import csr_matrix
from torch import Tensor
from torch.func import functional_call
from torch.nn import functional as F

from learners.examples import Examples
from learners.objective import tilt
from learners.parts import Part, make_part

FILE = "classifier.safetensors"


@dataclass(frozen=True)
class Affine:
    """x -> x W^T + b, with weight [out, in] and bias [out]."""

    weight: Tensor
    bias: Tensor


@dataclass(frozen=True)
class Columns:
    """x -> (x[:, s:s+k] - mean) / scale, with mean and scale [k], and s the ``start``."""

    mean: Tensor
    scale: Tensor
    start: int = 0

    def __call__(self, x: Tensor) -> Tensor:
        return (x[:, self.start : self.start + len(self.mean)] - self.mean) / self.scale


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


@dataclass(frozen=True)
class NgramAffine:
    """counts of n-grams -> t W + b, with t the TF-IDF vector at unit length: t_v ~ (1 + log count_v) idf_v.

    Only the n-grams that labelled texts have carry a weight; the others count towards the length of t.

    Attributes:
        idf: [V] inverse document frequencies.
        columns: [V'] the n-grams with a weight; weight: [V', N]; bias: [N].
    """

    idf: Tensor
    columns: Tensor
    weight: Tensor
    bias: Tensor

    def __call__(self, ngrams: csr_matrix) -> Tensor:
        """Return logits [n, N] of counts [n, V]."""
        found = tf_idf(ngrams, self.idf.float().numpy())[:, self.columns.numpy()] @ self.weight.float().numpy()
        return torch.from_numpy(np.asarray(found, np.float32)) + self.bias


@dataclass(frozen=True)
class Blend:
    """x -> sum_e w_e log p_e(y | x), a weighted logarithmic pool of classifiers, each at its temperature.

    C. Genest and J. V. Zidek. Combining probability distributions. Statistical Science 1, 1986.
    https://doi.org/10.1214/ss/1177013825
    """

    members: tuple["Classifier", ...]
    weights: tuple[float, ...]


#: Words for steps without numbers. ``normalise`` is to unit length, ``signed root`` that of the absolute value.
WORDS = {
    "relu": F.relu,
    "normalise": lambda x: F.normalize(x, dim=-1),
    "signed root": lambda x: x.sign() * x.abs().sqrt(),
    "softmax": lambda x: F.softmax(x, dim=-1),
    "log": lambda x: x.clamp_min(1e-12).log(),
}
#: A step of a classifier: an affine map, some columns, a module, a pool, or a word of WORDS.
Layer = Affine | NgramAffine | Blend | Columns | FixedPart | PooledOpinions | str


@dataclass(frozen=True)
class Classifier:
    """Layers from features to logits, a temperature, and the labels.

    Prototype classifiers are of this form too: the softmax of -|z - c|^2 equals that of 2 c.z - |c|^2.

    ``threshold`` belongs to the temperature: labels at least so probable are in an example's prediction set
    (``learners/choice/conformal.py``); None where nothing is known. ``shift`` [N] is what calibrated logits gain where
    classes are as frequent as in the pool (``learners/shift/class_prior.py``); None where they are as the labels are.
    ``offsets`` [N] is what log-probabilities gain, after that, before the greatest one's label is named
    (``learners/objective.py``); None: the most probable label is named.
    """

    layers: tuple[Layer, ...]
    labels: tuple[str, ...] = ()
    temperature: float = 1.0
    threshold: float | None = None
    shift: Tensor | None = None
    offsets: Tensor | None = None

    def in_use(self) -> "Classifier":
        """Return the classifier for examples as frequent as those of the pool."""
        return self if self.shift is None else replace(self._moved(self.shift), shift=None)

    def as_named(self) -> "Classifier":
        """Return the classifier in use whose most probable label is the one that it names."""
        model = self.in_use()
        return model if model.offsets is None else replace(model._moved(model.offsets), offsets=None)

    def _moved(self, gain: Tensor) -> "Classifier":
        """Return the classifier with calibrated logits that have gained so much [N]."""
        return replace(self, layers=(*self.layers, Affine(torch.eye(len(gain)), gain * self.temperature)))

    def tilt(self, p: np.ndarray) -> np.ndarray:
        """Return probabilities in use [n, N] moved by the offsets: the greatest one's label is named."""
        return tilt(p, None if self.offsets is None else self.offsets.double().numpy())

    def name(self, p: np.ndarray) -> np.ndarray:
        """Return the labels [n] that it names at probabilities in use [n, N]."""
        return self.tilt(p).argmax(1)

    @property
    def reads_ngrams(self) -> bool:
        """Whether it takes ``Examples``, with the n-grams of texts beside their features."""
        members = [m for layer in self.layers if isinstance(layer, Blend) for m in layer.members]
        return any(isinstance(layer, NgramAffine) for layer in self.layers) or any(m.reads_ngrams for m in members)

    def reads(self, start: int, end: int) -> bool:
        """Whether it reads any of the features from ``start`` on and before ``end``."""
        for layer in self.layers:
            if isinstance(layer, Blend):
                return any(member.reads(start, end) for member in layer.members)
            if isinstance(layer, Columns):
                return layer.start < end and start < layer.start + len(layer.mean)
            if isinstance(layer, NgramAffine):
                return False
            if not isinstance(layer, str):
                break
        return True

    def without_ngrams(self) -> "Classifier":
        """Return what reads features alone.

        Raises:
            ValueError: nothing would be left.
        """
        try:
            return self.with_members(lambda member: not member.reads_ngrams)
        except ValueError as error:
            raise ValueError("it reads character n-grams alone") from error

    def with_members(self, keep: Callable[["Classifier"], bool]) -> "Classifier":
        """Return the classifier whose blends keep some members, with their temperatures and weights.

        Raises:
            ValueError: nothing would be left of a blend.
        """
        layers: list[Layer] = []
        for layer in self.layers:
            if not isinstance(layer, Blend):
                layers.append(layer)
                continue
            kept = [(m, w) for m, w in zip(layer.members, layer.weights, strict=True) if w > 0 and keep(m)]
            if not kept:
                raise ValueError("no member of the blend is kept")
            members, weights = zip(*kept, strict=True)
            total = sum(weights)
            if len(members) == 1:
                ways, t = len(self.labels) or members[0].ways, members[0].temperature
                layers += [*members[0].layers, Affine(torch.eye(ways) / t, torch.zeros(ways))]
            else:
                layers.append(Blend(members, tuple(w / total for w in weights)))
        return replace(self, layers=tuple(layers))

    @property
    def ways(self) -> int:
        """The number of labels N, read off the last map."""
        last = self.layers[-1]
        if isinstance(last, Blend):
            return last.members[0].ways
        return len(last.bias) if isinstance(last, Affine | NgramAffine) else len(self.labels)

    def logits(self, x: Tensor | Examples) -> Tensor:
        """Return uncalibrated logits [n, N] of features [n, D], raw examples, or texts in both views.

        Raises:
            ValueError: it reads n-grams, and there are only features.
        """
        for layer in self.layers:
            if isinstance(layer, Blend):
                logs = [F.log_softmax(member.logits(x) / member.temperature, -1) for member in layer.members]
                x = torch.stack([w * z for w, z in zip(layer.weights, logs, strict=True)]).sum(0)
                continue
            if isinstance(layer, NgramAffine):
                if not isinstance(x, Examples):
                    raise ValueError("this model reads the words of texts too: give it Examples, not features alone")
                x = layer(x.ngrams)
                continue
            x = x.x if isinstance(x, Examples) else x
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
        assert isinstance(x, Tensor)
        return x

    @torch.no_grad()
    def predict_proba(self, x: Tensor | Examples) -> Tensor:
        """Return calibrated probabilities [n, N] of features [n, D]."""
        return F.softmax(self.logits(x) / self.temperature, dim=-1)

    def with_labels(self, labels: Sequence[str]) -> "Classifier":
        """Return the same classifier with label names."""
        return replace(self, labels=tuple(labels))

    def with_temperature(self, temperature: float) -> "Classifier":
        """Return the same classifier with another temperature, for which no threshold is known."""
        return replace(self, temperature=float(temperature), threshold=None, shift=None, offsets=None)

    def save(self, folder: Path) -> Path:
        """Write one safetensors file into a folder and return its path."""
        words, tensors = _pack(self.layers)
        tensors = {name: value.detach().cpu().clone().contiguous() for name, value in tensors.items()}
        numbers = {"temperature": self.temperature, "threshold": self.threshold}
        about = {"layers": words, "labels": self.labels, **numbers}
        for name, value in (("shift", self.shift), ("offsets", self.offsets)):
            if value is not None:
                tensors[name] = value.detach().cpu().clone().contiguous()
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
        numbers = about["temperature"], about.get("threshold")
        return cls(layers, tuple(about["labels"]), *numbers, tensors.get("shift"), tensors.get("offsets"))


def tf_idf(ngrams: csr_matrix, idf: np.ndarray) -> csr_matrix:
    """Return rows of unit length, (1 + log count) idf, of counts [n, V] and inverse document frequencies [V]."""
    found = ngrams.astype(np.float32, copy=True)
    found.data = (1 + np.log(found.data)) * idf[found.indices]
    lengths = np.sqrt(np.asarray(found.multiply(found).sum(1)).ravel())
    found.data /= np.repeat(np.maximum(lengths, 1e-12), np.diff(found.indptr))
    return found


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
            words.append({"columns": layer.start} if layer.start else "columns")
            tensors |= {f"{at}mean": layer.mean, f"{at}scale": layer.scale}
        elif isinstance(layer, FixedPart):
            words.append({"module": layer.module.name, "config": layer.module.config})
            tensors |= {f"{at}{name}": value for name, value in layer.weights.items()}
        elif isinstance(layer, PooledOpinions):
            members = [_pack(member.layers, f"{at}{e}.") for e, member in enumerate(layer.members)]
            words.append({"pool": [of for of, _ in members]})
            tensors |= {name: value for _, own in members for name, value in own.items()}
        elif isinstance(layer, NgramAffine):
            words.append("ngrams")
            tensors |= {f"{at}{name}": value for name, value in vars(layer).items()}
        elif isinstance(layer, Blend):
            members = [_pack(member.layers, f"{at}{e}.") for e, member in enumerate(layer.members)]
            temperatures = [member.temperature for member in layer.members]
            words.append({"blend": [of for of, _ in members], "weights": layer.weights, "temperatures": temperatures})
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
        elif word == "columns" or (isinstance(word, dict) and "columns" in word):
            start = 0 if word == "columns" else int(word["columns"])
            layers.append(Columns(tensors[f"{at}mean"], tensors[f"{at}scale"], start))
        elif isinstance(word, dict) and "module" in word:
            weights = {k.removeprefix(at): v for k, v in tensors.items() if k.startswith(at)}
            layers.append(FixedPart(make_part(word["module"], word["config"]).eval(), weights))
        elif isinstance(word, dict) and "pool" in word:
            members = [_unpack(of, tensors, file, f"{at}{e}.") for e, of in enumerate(word["pool"])]
            layers.append(PooledOpinions(tuple(map(Classifier, members))))
        elif word == "ngrams":
            layers.append(NgramAffine(*(tensors[f"{at}{name}"] for name in ("idf", "columns", "weight", "bias"))))
        elif isinstance(word, dict) and "blend" in word:
            members = [_unpack(of, tensors, file, f"{at}{e}.") for e, of in enumerate(word["blend"])]
            blended = zip(members, word["temperatures"], strict=True)
            layers.append(Blend(tuple(Classifier(m, (), t) for m, t in blended), tuple(word["weights"])))
        elif isinstance(word, str) and word in WORDS:
            layers.append(word)
        else:
            raise ValueError(f"{file}: unknown layer {word!r}; made by a newer version?")
    return tuple(layers)
