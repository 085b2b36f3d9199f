"""Whether an example is of none of the classes that a model knows: far from all of them, or like none in particular."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional as F

from learners.base import compute_prototypes

FILE = "typicality.safetensors"
OUTSIDE = 0.05  # examples that are less typical than this lie outside: about as many of those that do not
FEWEST = 50  # held-out examples; of fewer the tail says too little
RIDGE = 1e-6  # variance that every direction has at least

Columns = tuple[int, int]  # from the first feature of an encoder to beyond its last


@dataclass(frozen=True)
class ClassDistance:
    """Mahalanobis' distance to the nearest class mean, under one covariance within classes, shrunk.

        d(x) = min_c (u - m_c)^T S^-1 (u - m_c),    u the features of each encoder at unit length, side by side

    K. Lee et al. A simple unified framework for detecting out-of-distribution samples. NeurIPS 2018.
    https://arxiv.org/abs/1807.03888 O. Ledoit and M. Wolf. A well-conditioned estimator for large-dimensional
    covariance matrices. Journal of Multivariate Analysis 88, 2004. https://doi.org/10.1016/S0047-259X(03)00096-4

    Attributes:
        columns: of each encoder; whiten: [D, D] with whiten whiten^T = S^-1; means: [C, D] whitened.
    """

    columns: tuple[Columns, ...]
    whiten: Tensor
    means: Tensor

    @classmethod
    def fit(cls, x: Tensor, y: Tensor, columns: Sequence[Columns]) -> "ClassDistance":
        """Fit to features [n, D] with labels [n]."""
        from sklearn.covariance import ledoit_wolf

        u = side_by_side(x, columns)
        _, compact = y.unique(return_inverse=True)
        means = compute_prototypes(u, compact, int(compact.max()) + 1)
        within = ledoit_wolf((u - means[compact]).double().numpy(), assume_centered=True)[0]
        lower = torch.linalg.cholesky(torch.from_numpy(within) + RIDGE * torch.eye(u.shape[1], dtype=torch.double))
        whiten = torch.linalg.inv(lower).T.float().contiguous()
        return cls(tuple(columns), whiten, means @ whiten)

    def __call__(self, x: Tensor) -> Tensor:
        """Return the distance [n] of features [n, D]."""
        return torch.cdist(side_by_side(x, self.columns) @ self.whiten, self.means).min(1).values.square()


def side_by_side(x: Tensor, columns: Sequence[Columns]) -> Tensor:
    """Return the features [n, D'] in some columns of x [n, D], those of each encoder at unit length."""
    return torch.cat([F.normalize(x[:, start:end].float(), dim=1) for start, end in columns], 1)


@dataclass(frozen=True)
class Typicality:
    """How typical examples are of those that were held out.

    Two things are held against the m held-out examples: the distance d to the nearest class, which tells another topic
    or language, and the greatest probability p, which tells a class that is missing among like ones. With the shares
    r of held-out examples that are at least as far, and at most as sure,

        s(x) = -log r_d(x) - log r_p(x)

    (R. A. Fisher. Statistical methods for research workers. 1925), and the share of held-out examples with an s at
    least as large is a p-value: of new examples like them 5 % are below 0.05, however d and p depend on each other.

    Attributes:
        distances, sure, scores: [m] d, p and s of the held-out examples, each in ascending order.
    """

    distance: ClassDistance
    distances: Tensor
    sure: Tensor
    scores: Tensor

    @classmethod
    def of(cls, distance: ClassDistance, distances: Tensor, sure: Tensor) -> "Typicality":
        """Return what is held against held-out examples with these distances [m] and greatest probabilities [m]."""
        ordered = distances.float().sort().values, sure.float().sort().values
        scores = _score(*ordered, distances.float(), sure.float())
        return cls(distance, *ordered, scores.sort().values)

    def __call__(self, x: Tensor, p: Tensor) -> Tensor:
        """Return the p-value [n] of features [n, D] and probabilities [n, N] by the model, as they are in use."""
        scores = _score(self.distances, self.sure, self.distance(x), p.float().max(1).values)
        return _share_above(self.scores, scores)

    def save(self, folder: Path) -> None:
        """Write one safetensors file into a model's folder."""
        tensors = {"whiten": self.distance.whiten, "means": self.distance.means}
        tensors |= {"distances": self.distances, "sure": self.sure, "scores": self.scores}
        about = {"columns": json.dumps(self.distance.columns)}
        save_file({name: value.contiguous() for name, value in tensors.items()}, folder / FILE, metadata=about)

    @classmethod
    def load(cls, folder: Path) -> "Typicality | None":
        """Read what ``save`` wrote; None for a model without it, or a damaged file."""
        try:
            with safe_open(folder / FILE, "pt") as file:
                columns = tuple((int(start), int(end)) for start, end in json.loads(file.metadata()["columns"]))
                found = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
            distance = ClassDistance(columns, found.pop("whiten"), found.pop("means"))
            return cls(distance, **found)
        except (OSError, SafetensorError, KeyError, TypeError, ValueError):
            return None


def _score(distances: Tensor, sure: Tensor, d: Tensor, p: Tensor) -> Tensor:
    """Return s [n] of distances and probabilities [n], held against those of held-out examples [m] in order."""
    return -_share_above(distances, d).log() - _share_above(-sure.flip(0), -p).log()


def _share_above(ordered: Tensor, values: Tensor) -> Tensor:
    """Return (1 + how many of ``ordered`` [m] are at least as large) / (m + 1) for each value [n]."""
    below = torch.searchsorted(ordered.contiguous(), values.contiguous())
    return (1 + len(ordered) - below) / (len(ordered) + 1)
