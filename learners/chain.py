"""A classifier as dense maps, ReLU and unit length: what other libraries can load without a line of this project."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import combinations

import torch
from torch import Tensor
from torch.nn import functional as F

from learners.classifier import Affine, Blend, Classifier, Columns, FixedPart

Step = Affine | str


@dataclass(frozen=True)
class Chain:
    """Steps from features [n, D] to calibrated logits [n, N]: ``Affine``, ``relu`` after one, and ``normalise``.

    The softmax of the result is what ``Classifier.predict_proba`` gives: the temperature is in the last map. A blend
    whose members are such chains is one too; where any of them begins with ``normalise``, all do, so that features
    have to be of unit length, as those of texts are.
    """

    steps: tuple[Step, ...]

    @classmethod
    def of(cls, classifier: Classifier, dim: int) -> "Chain":
        """Return a classifier of features [n, dim] with neighbouring maps multiplied into one.

        Raises:
            ValueError: it has a step that is none of these; the message names it.
        """
        return cls(tuple(_merge(classifier, dim)))

    def __call__(self, x: Tensor) -> Tensor:
        """Return calibrated logits [n, N] of features [n, D]."""
        for step in self.steps:
            if isinstance(step, Affine):
                x = F.linear(x, step.weight, step.bias)
            else:
                x = F.relu(x) if step == "relu" else F.normalize(x, dim=-1)
        return x


def exportable_part(classifier: Classifier, dim: int) -> Classifier:
    """Return the classifier or, where its blend is no chain, as much of the blend as is one.

    Raises:
        ValueError: no part of it is a chain.
    """
    blends = [layer for layer in classifier.layers if isinstance(layer, Blend)]
    members = [pair for blend in blends for pair in zip(blend.members, blend.weights, strict=True)]
    try:
        Chain.of(classifier, dim)
        return classifier
    except ValueError:
        if not members:
            raise
    parts = [part for size in range(1, len(members)) for part in combinations(members, size)]
    for part in sorted(parts, key=lambda part: -sum(share for _, share in part)):
        chosen = [id(member) for member, _ in part]
        found = classifier.with_members(lambda member, chosen=chosen: id(member) in chosen)  # type: ignore[misc]
        with suppress(ValueError):
            Chain.of(found, dim)
            return found
    raise ValueError("no member of its blend is a chain of maps")


def _merge(classifier: Classifier, dim: int) -> Iterator[Step]:
    """Yield the steps; products are taken in double precision, so that only their result is rounded."""
    weight, bias = _identity(dim)
    untouched = True  # whether the map that waits is the identity
    for layer in classifier.layers:
        if isinstance(layer, Affine | Columns):
            own, shift = _matrix(layer, len(bias))
            weight, bias, untouched = own @ weight, own @ bias + shift, False
        elif isinstance(layer, Blend) and untouched:
            *before, last = _side_by_side(layer, dim)
            assert isinstance(last, Affine)
            yield from before
            (weight, bias), untouched = _matrix(last, last.weight.shape[1]), False
        elif layer in ("relu", "normalise"):
            if layer == "relu" or not untouched:  # elsewhere ReLU is a property of the map before it
                yield _single(weight, bias)
                (weight, bias), untouched = _identity(len(bias)), True
            yield str(layer)
        else:
            word = layer.module.name if isinstance(layer, FixedPart) else layer
            raise ValueError(f"the step {word!r} is no dense map, ReLU or normalisation")
    yield _single(weight / classifier.temperature, bias / classifier.temperature)


def _side_by_side(blend: Blend, dim: int) -> tuple[Step, ...]:
    """Return the steps of a blend: sum_e w_e z_e, which is sum_e w_e log softmax z_e up to a number an example.

    Beside a hidden layer a plain map goes through ReLU as W x + b = relu(W x + b) - relu(-W x - b).

    Raises:
        ValueError: a member is neither a map nor two with ReLU between.
    """
    inner: list[tuple[Tensor, Tensor]] = []
    outer: list[Tensor] = []
    total, lead = torch.zeros(blend.members[0].ways, dtype=torch.float64), False
    plain, shift = torch.zeros(len(total), dim, dtype=torch.float64), torch.zeros_like(total)
    for member, share in zip(blend.members, blend.weights, strict=True):
        steps = list(Chain.of(member, dim).steps)
        if steps[0] == "normalise":
            lead, steps = True, steps[1:]
        match steps:
            case [Affine() as only]:
                weight, bias = _matrix(only, dim)
                plain, shift = plain + share * weight, shift + share * bias
            case [Affine() as hidden, "relu", Affine() as last]:
                inner.append(_matrix(hidden, dim))
                weight, bias = _matrix(last, len(hidden.bias))
                outer.append(share * weight)
                total = total + share * bias
            case _:
                raise ValueError("a member of the blend is neither a map nor two with ReLU between")
    start: tuple[Step, ...] = ("normalise",) if lead else ()
    if not inner:
        return (*start, _single(plain, shift))
    inner += [(plain, shift), (-plain, -shift)]
    outer += [torch.eye(len(total), dtype=torch.float64), -torch.eye(len(total), dtype=torch.float64)]
    weights, biases = zip(*inner, strict=True)
    return (*start, _single(torch.cat(weights), torch.cat(biases)), "relu", _single(torch.cat(outer, 1), total))


def _identity(dim: int) -> tuple[Tensor, Tensor]:
    return torch.eye(dim, dtype=torch.float64), torch.zeros(dim, dtype=torch.float64)


def _matrix(layer: Affine | Columns, dim: int) -> tuple[Tensor, Tensor]:
    """Return the weight [out, dim] and bias [out] of a layer.

    Raises:
        ValueError: it reads columns beyond the ``dim``.
    """
    if isinstance(layer, Affine):
        return layer.weight.detach().cpu().double(), layer.bias.detach().cpu().double()
    scale, end = 1 / layer.scale.cpu().double(), layer.start + len(layer.scale)
    if end > dim:
        raise ValueError("a member reads the features of another encoder")
    return torch.eye(dim, dtype=torch.float64)[layer.start : end] * scale[:, None], -layer.mean.cpu().double() * scale


def _single(weight: Tensor, bias: Tensor) -> Affine:
    return Affine(weight.float().contiguous(), bias.float().contiguous())
