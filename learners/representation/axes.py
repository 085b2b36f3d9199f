"""The axes along which a task's features are scaled, and the space that the scaling makes."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional as F

from learners.base import compute_prototypes, one_hot
from learners.classifier import Affine, Layer
from learners.representation.sharing import shareable

TOTAL_SHARPNESS = 20.0  # of the assignment that evens out the classes of a pool
POOL_WEIGHT, LARGEST_MASS = 0.3, 20.0  # of a pool example against a label; examples that a centre may rest on
WIDE = 400  # more dimensions than these are reduced to the span of so many examples
LEADING = 0.99  # of the variance is held by the axes that are kept: about 280 of a sentence encoder's 384
FEW_AXES = 256  # so many are kept anyway, for they take little time


@dataclass(frozen=True)
class Axes:
    """Principal axes: basis [D, r], variances [r] relative to their mean over D, and what they tell classes apart.

    ``basis`` is None where features are coordinates on the axes already. ``ratio`` [r] is the variance between class
    means over the variance of ``values``. An axis without variance has value 0 and ratio 0; where examples are fewer
    than dimensions, such axes are left out.
    """

    basis: Tensor | None
    values: Tensor
    ratio: Tensor

    @classmethod
    @torch.no_grad()
    def total(cls, x: Tensor, y: Tensor, pool: Tensor | None) -> tuple["Axes", Tensor]:
        """Return the axes of all examples, support [S, D], [S] and pool [U, D], and their mean [D].

        Pools are seldom balanced: taken as they are, a frequent class would pull the mean towards itself and stretch
        the axes along its own spread. So pool examples are weighted by 1 / the mass of the class they seem to be of.
        """
        mean, weights, every = x.mean(0), x.new_ones(len(x)), x
        if pool is not None:
            centres, every = compute_prototypes(x, y, int(y.max()) + 1), torch.cat([x, pool])
            ways, shots = len(centres), torch.bincount(y).to(x.dtype)[:, None]
            for _ in range(3):
                cosine = F.normalize(pool - mean, dim=-1) @ F.normalize(centres - mean, dim=-1).T
                share = F.softmax(TOTAL_SHARPNESS * cosine, dim=-1)
                mass = share.sum(0).clamp_min(1e-3)[:, None]
                trust = shots / (shots + POOL_WEIGHT * mass.clamp_max(LARGEST_MASS))
                mean = (trust * centres + (1 - trust) * share.T @ pool / mass).mean(0)
            weights = torch.cat([weights, len(pool) / ways * (share / mass[:, 0].clamp_min(1)).sum(1)])
        centred = (every - mean) * (weights / weights.sum()).sqrt()[:, None]
        few = len(centred) <= x.shape[1]  # then the same from the smaller Gram matrix
        values, vectors = torch.linalg.eigh(centred @ centred.T if few else centred.T @ centred)
        there = values > 1e-6 * values[-1]
        if few:
            values, basis = values[there], F.normalize(centred.T @ vectors[:, there], dim=0)
        else:
            values, basis = values * there, vectors
        coordinates = (x - mean) @ basis
        between = compute_prototypes(coordinates, y, int(y.max()) + 1).var(0)
        ratio = between / coordinates.var(0).clamp_min(1e-12) * (values > 0)
        return cls(basis, values / (values.sum() / x.shape[1]).clamp_min(1e-12), ratio), mean

    @classmethod
    @torch.no_grad()
    def within(cls, x: Tensor, members: Tensor, dimensions: int) -> "Axes":
        """Return the axes of the variance within classes, of centred examples [n, r] with memberships [n, N].

        The mean of the variances is taken over so many ``dimensions``; those beyond r have none. It is the covariance
        of linear discriminant analysis (Fisher 1936), with soft labels where there are no others.
        """
        mass, weights = members.sum(0).clamp_min(1e-6), members.sum(1)
        means = members.T @ x / mass[:, None]
        if 2 * len(x) <= x.shape[1]:  # then the same from the smaller Gram matrix, without axes that have no variance
            values, vectors = torch.linalg.eigh(weights.diag() - members @ (members / mass).T)
            spread = (vectors * (values.clamp_min(0) / mass.sum()).sqrt()).T @ x
            values, vectors = torch.linalg.eigh(spread @ spread.T)
            there = values > 1e-6 * values[-1]
            values, basis = values[there], F.normalize(spread.T @ vectors[:, there], dim=0)
        else:
            scaled, centres = x * weights.sqrt()[:, None], means * mass.sqrt()[:, None]
            values, basis = torch.linalg.eigh((scaled.T @ scaled - centres.T @ centres) / mass.sum())
            values = values.clamp_min(0)
        mean = (values.sum() / dimensions).clamp_min(1e-12)
        between = ((means - means.mean(0)) @ basis).square().mean(0)
        return cls(basis, values / mean, between / (values + 0.01 * mean))


@dataclass(frozen=True)
class Start:
    """What solving a task starts from: its examples centred, and the axes of all their variance.

    Where there are as many axes as dimensions, everything is turned into coordinates on them once, so that scaling
    along them is a product of each coordinate and a number. Nothing depends on the turn.

    Attributes:
        axes: their ``basis`` is None where coordinates are on the axes themselves.
        to: [D, r] the map from features to coordinates, or None where these are the features.
        mean: [r] what is taken off coordinates.
        x, pool: centred coordinates [S, r] and [U, r] (or None).
    """

    axes: "Axes"
    to: Tensor | None
    mean: Tensor
    x: Tensor
    pool: Tensor | None

    @classmethod
    @shareable
    @torch.no_grad()
    def of(cls, x: Tensor, y: Tensor, pool: Tensor | None) -> "Start":
        """Return the start of a support [S, D], [S] and pool [U, D]."""
        to = span(x, pool)
        if to is not None:
            x, pool = x @ to, None if pool is None else pool @ to
        axes, mean = Axes.total(x, y, pool)
        x, pool = x - mean, None if pool is None else pool - mean
        if axes.basis is not None and axes.basis.shape[0] == axes.basis.shape[1]:
            turn, axes = axes.basis, replace(axes, basis=None)
            to, mean, x = turn if to is None else to @ turn, mean @ turn, x @ turn
            pool = None if pool is None else pool @ turn
        return cls(axes, to, mean, x, pool)

    def leading(self, share: float = LEADING, least: int = FEW_AXES) -> "Start":
        """Return the same on the fewest axes with that share of the variance; itself if axes have a basis."""
        below = self.axes.values.cumsum(0) <= (1 - share) * self.axes.values.sum()
        axes = max(len(below) - int(below.sum()), least)
        if self.axes.basis is not None or axes >= len(below):
            return self
        assert self.to is not None
        kept = Axes(None, self.axes.values[-axes:], self.axes.ratio[-axes:])
        pool = None if self.pool is None else self.pool[:, -axes:]
        return Start(kept, self.to[:, -axes:], self.mean[-axes:], self.x[:, -axes:], pool)

    def rotate(self, x: Tensor) -> Tensor:
        """Return features [n, D] as coordinates [n, r] that are not centred."""
        return x if self.to is None else x @ self.to

    def layers(self, space: "Space", head: Tensor) -> tuple[Layer, ...]:
        """Return the layers of a classifier whose logits are ``space.unit(rotate(x) - mean) head^T``."""
        map_ = space.map(len(self.mean), head.dtype)
        bias = -self.mean @ map_
        if self.to is not None:
            map_ = self.to @ map_
        return Affine(map_.T, bias), "normalise", Affine(head, head.new_zeros(len(head)))


@dataclass(frozen=True)
class Space:
    """Centred coordinates scaled by axis weights [r] along a basis (None: the coordinates' own), to unit length.

    What lies outside the basis is scaled by ``beyond`` [].
    """

    basis: Tensor | None
    weights: Tensor
    beyond: Tensor

    def unit(self, x: Tensor) -> Tensor:
        """Return the place of centred coordinates [n, r]: on the axes if there are as many, else as they are."""
        if self.basis is None:
            return F.normalize(x * self.weights, dim=-1)
        if self.basis.shape[0] == self.basis.shape[1]:
            return F.normalize(x @ (self.basis * self.weights), dim=-1)
        return F.normalize(self.beyond * x + x @ self.basis * (self.weights - self.beyond) @ self.basis.T, dim=-1)

    def map(self, size: int, dtype: torch.dtype) -> Tensor:
        """Return the same up to the unit length as a matrix [r, r], for coordinates of a size."""
        if self.basis is None:
            return self.weights.diag()
        if self.basis.shape[0] == self.basis.shape[1]:
            return self.basis * self.weights
        inside = (self.basis * (self.weights - self.beyond)) @ self.basis.T
        return self.beyond * torch.eye(size, dtype=dtype, device=inside.device) + inside


@torch.no_grad()
def span(x: Tensor, pool: Tensor | None) -> Tensor | None:
    """Return an orthonormal basis [D, r] of what a support and some of its pool span; None where D is small anyway.

    What is outside hardly matters to the task, and axes take time as the cube of their number.
    """
    if x.shape[1] <= WIDE:
        return None
    rows = x[:: -(-len(x) // WIDE)]
    if pool is not None and len(rows) < WIDE:
        rows = torch.cat([rows, pool[:: -(-len(pool) // (WIDE - len(rows)))]])
    return torch.linalg.qr(rows.T)[0]


@torch.no_grad()
def agreement(x: Tensor, y: Tensor, names: Tensor) -> Tensor:
    """Return how well label names [N, D] tell the classes of a support [S, D], [S] apart, [].

    (mean cosine of a class's examples and its own name - mean cosine with other names) / deviation of the latter:
    about 0 for numbers and codes, above 1 for words that say what is in the examples.
    """
    ways = len(names)
    cosine = F.normalize(x - x.mean(0), dim=-1) @ F.normalize(names - names.mean(0), dim=-1).T
    own = one_hot(y, ways, torch.bool)
    others = cosine.masked_fill(own, 0).sum(1) / (ways - 1)
    margin = compute_prototypes((cosine[own] - others)[:, None], y, ways).mean()
    spread = cosine[~own].std(correction=0) if ways > 2 else cosine[~own].abs().mean()
    return margin / spread.clamp_min(1e-6)
