"""How far domains lie from each other, and a map of them.

A domain is known by the mean feature vectors of its classes. They say what it is about and how it divides that,
whatever its label names are.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from learners.base import compute_prototypes


def class_means(x: Tensor, y: Tensor, unit: bool) -> Tensor:
    """Return the mean [C, D] of each class that has examples, of features [n, D] and labels [n].

    Args:
        unit: examples are taken at unit length first, where features have no meaning or scale of their own.
    """
    _, compact = y.unique(return_inverse=True)
    return compute_prototypes(F.normalize(x, dim=1) if unit else x, compact, int(compact.max()) + 1)


def domain_distances(domains: Sequence[Tensor], standardise: bool) -> np.ndarray:
    """Return the distances [n, n] between domains, each known by its class means [C, D]: 0 to 2, 0 to itself.

        d(A, B) = (mean_a min_b (1 - cos(a, b)) + mean_b min_a (1 - cos(a, b))) / 2,

    the chamfer distance between their classes (Barrow et al. 1977).

    Args:
        standardise: every feature is counted from its mean over all classes, in deviations, where features have a
            meaning and a scale of their own (markets).
    """
    if standardise:
        every = torch.cat(list(domains))
        mean, scale = every.mean(0), every.std(0, correction=0).clamp_min(1e-6)
        domains = [(means - mean) / scale for means in domains]
    unit = [F.normalize(means, dim=1) for means in domains]
    found = np.zeros((len(unit), len(unit)))
    for i, a in enumerate(unit):
        for j in range(i):
            apart = 1 - a @ unit[j].T
            found[i, j] = found[j, i] = float(apart.min(0).values.mean() + apart.min(1).values.mean()) / 2
    return found.clip(0)


def layout(apart: np.ndarray) -> tuple[np.ndarray, float]:
    """Return places [n, 2] for distances [n, n], and the share of the distances' variation that they show.

    Classical scaling (Torgerson 1952): the two leading eigenvectors of -J D^2 J / 2, J = I - 1 1^T / n. The share is of
    the positive eigenvalues. Signs are fixed, so that equal distances give equal maps.
    """
    n = len(apart)
    centre = np.eye(n) - 1 / max(n, 1)
    values, vectors = np.linalg.eigh(-centre @ np.square(apart) @ centre / 2)
    lead = np.argsort(values)[::-1][:2]
    places = vectors[:, lead] * np.sqrt(values[lead].clip(0))
    places = places * np.where(places[np.abs(places).argmax(0), range(len(lead))] < 0, -1, 1)
    total = values.clip(0).sum()
    shown = float(values[lead].clip(0).sum() / total) if total > 0 else 1.0
    return np.pad(places, ((0, 0), (0, 2 - places.shape[1]))), shown


def nearest(apart: np.ndarray, domain: int, among: Sequence[int], k: int | None = None) -> list[int]:
    """Return the ``k`` (all if None) of ``among`` that lie nearest to a domain, nearest first, itself left out."""
    return sorted((i for i in among if i != domain), key=lambda i: (apart[domain, i], i))[:k]
