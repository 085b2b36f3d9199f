"""The reference learner: represent the task, learn the update, initialise from the task, fine-tune."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from domains.episode import Episode
from learners.base import Learner, check_support, prototypes
from learners.classifier import Affine, Classifier
from learners.task import TaskEncoder

LARGEST_MASS = 20.0  # pool examples a class that its centre may rest on

#: The numbers of the adaptation, each with its start (found by hand on text) as an unconstrained parameter's image.
START = {"power": 0.25, "shrink": 0.5, "sharpness": 20.0, "pool": 0.3, "smoothing": 1.0, "repel": 0.05}


@dataclass(frozen=True)
class Spectrum:
    """Principal axes of the task's examples: mean [D], basis [D, r], eigenvalues [r] relative to their mean over D."""

    mean: Tensor
    basis: Tensor
    values: Tensor

    @classmethod
    @torch.no_grad()
    def of(cls, x: Tensor, y: Tensor, pool: Tensor | None) -> "Spectrum":
        """Return the axes of a support [S, D], [S] and pool [U, D], every class counting the same.

        Pools are seldom balanced: taken as they are, a frequent class would pull the mean towards itself and stretch
        the axes along its own spread. So pool examples are weighted by 1 / the mass of the class they seem to be of.
        """
        if pool is None:
            return cls._weighted(x, x.mean(0), x.new_ones(len(x)))
        mean, centres = x.mean(0), prototypes(x, y, int(y.max()) + 1)
        ways, shots = len(centres), torch.bincount(y).to(x.dtype)[:, None]
        for _ in range(3):
            cosine = F.normalize(pool - mean, dim=-1) @ F.normalize(centres - mean, dim=-1).T
            share = F.softmax(START["sharpness"] * cosine, dim=-1)
            mass = share.sum(0).clamp_min(1e-3)[:, None]
            trust = shots / (shots + START["pool"] * mass.clamp_max(LARGEST_MASS))
            mean = (trust * centres + (1 - trust) * share.T @ pool / mass).mean(0)
        even = len(pool) / ways * (share / mass[:, 0].clamp_min(1)).sum(1)
        return cls._weighted(torch.cat([x, pool]), mean, torch.cat([x.new_ones(len(x)), even]))

    @classmethod
    def _weighted(cls, x: Tensor, mean: Tensor, weights: Tensor) -> "Spectrum":
        centred, dim = (x - mean) * (weights / weights.sum()).sqrt()[:, None], x.shape[1]
        few = len(x) <= dim  # then the same from the smaller Gram matrix
        values, vectors = torch.linalg.eigh(centred @ centred.T if few else centred.T @ centred)
        keep = values > 1e-6 * values[-1]
        values, vectors = values[keep], vectors[:, keep]
        basis = F.normalize(centred.T @ vectors, dim=0) if few else vectors
        return cls(mean, basis, values.clamp_min(0) / (values.sum() / dim).clamp_min(1e-12))


class Reference(Learner):
    """Soft clustering of support and pool in a space that the task itself shapes, with meta-learned numbers.

    1. *Represent*: z from ``TaskEncoder``.
    2. *Update*: T gradient steps on the prototypes, dW = -a_t(z) grad CE(support), rates learned by step.
    3. *Initialise*: along each principal axis i features are scaled by FiLM weights
       w_i = (lambda_i + shrink)^-power * exp(g(lambda_i, fisher_i, z)); prototypes are class means moved away from
       their common mean by repel(z).
    4. *Fine-tune*: R rounds in which pool examples take soft labels softmax(sharpness cos + log prior) and every
       prototype becomes the sum of its support and pool(z) times its share of the pool.

    All is differentiable and trained by the loss of the query set over source episodes with pools. Untrained it is a
    fixed recipe, partly whitened soft k-means. Each step can be switched off by leaving it out of ``parts``.
    """

    name = "reference"
    rounds, steps = 10, 3

    def __init__(
        self,
        dim: int,
        ways: int | None = None,
        parts: frozenset[str] = frozenset({"represent", "update", "initialise", "finetune"}),
    ) -> None:
        super().__init__(dim, ways)
        self.parts = parts
        self.task = TaskEncoder(dim)
        size = self.task.query.shape[1]
        self.base = nn.Parameter(torch.tensor(list(START.values())).log())
        self.shift = nn.Linear(size, len(START) + self.steps + 1)  # moves numbers, rates and temperature
        self.log_rates = nn.Parameter(torch.full((self.steps,), -4.0))
        self.log_temperature = nn.Parameter(torch.zeros(()))
        last = nn.Linear(16, 1)
        self.film = nn.Sequential(nn.Linear(2 + size, 16), nn.GELU(), last)
        for layer in (self.shift, last):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    def solve(self, x: Tensor, y: Tensor, pool: Tensor | None, spectrum: Spectrum) -> tuple[Tensor, Tensor, Tensor]:
        """Return axis weights [r], the weight outside their span [], and the head [N, r] on unit features."""
        ways = int(y.max()) + 1
        if "represent" in self.parts:
            mean, scale = self.scaling(x, pool)
            z = self.task((x - mean) / scale, y, None if pool is None else (pool - mean) / scale)
        else:
            z = x.new_zeros(self.task.query.shape[1])
        moves = self.shift(z)
        number = dict(zip(START, (self.base + moves[: len(START)]).exp(), strict=True))
        rates = (self.log_rates + moves[len(START) : -1]).exp()

        coordinates, outside = project(x, spectrum)
        axes, beyond = self.axis_weights(coordinates, y, spectrum, number, z)
        support = unit(coordinates, outside, axes, beyond)
        sums = F.one_hot(y, ways).to(x.dtype).T @ support
        centres = prototypes(support, y, ways)
        head = centres
        if "initialise" in self.parts:
            head = head - number["repel"] * head.mean(0)
        if "update" in self.parts:
            head = self.descend(head, support, y, rates, number["sharpness"])
        if pool is None or "finetune" not in self.parts:
            return (
                axes,
                beyond,
                number["sharpness"] * (-moves[-1] - self.log_temperature).exp() * F.normalize(head, dim=-1),
            )

        unlabelled = unit(*project(pool, spectrum), axes, beyond)
        moved, prior = head - centres, x.new_full((ways,), 1 / ways)
        shots = torch.bincount(y, minlength=ways).to(x.dtype)[:, None]
        for _ in range(self.rounds):
            cosine = unlabelled @ F.normalize(head, dim=-1).T
            share = F.softmax(number["sharpness"] * cosine + prior.log(), dim=-1)
            mass, smooth = share.sum(0), number["smoothing"] * len(pool) / ways
            prior = (mass + smooth) / (mass + smooth).sum()
            even = len(pool) / ways
            weight = number["pool"] * even / mass.clamp_min(even)  # no class gets more than its even part
            head = sums + shots * moved + weight[:, None] * (share.T @ unlabelled)
        return (
            axes,
            beyond,
            number["sharpness"] * (-moves[-1] - self.log_temperature).exp() * F.normalize(head, dim=-1),
        )

    def axis_weights(
        self, coordinates: Tensor, y: Tensor, spectrum: Spectrum, number: dict[str, Tensor], z: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return FiLM weights of the axes [r] and of what lies outside them []."""
        base = -number["power"] * (spectrum.values + number["shrink"]).log()
        beyond = -number["power"] * number["shrink"].log()
        if "initialise" in self.parts:
            ways, variance = int(y.max()) + 1, coordinates.var(0).clamp_min(1e-12)
            fisher = prototypes(coordinates, y, ways).var(0) / variance
            described = torch.stack([(spectrum.values + 0.01).log() / 2, fisher], dim=1)
            base = base + self.film(torch.cat([described, z.expand(len(described), -1)], dim=1))[:, 0]
        return base.exp(), beyond.exp()

    def descend(self, head: Tensor, support: Tensor, y: Tensor, rates: Tensor, sharpness: Tensor) -> Tensor:
        """Return prototypes after T gradient steps on the support's cross-entropy (gradient in closed form)."""
        target = F.one_hot(y, len(head)).to(support.dtype)
        for rate in rates:
            error = F.softmax(sharpness * support @ F.normalize(head, dim=-1).T, dim=-1) - target
            head = head - rate * error.T @ support * sharpness / len(y)
        return head

    def meta_loss(self, episode: Episode) -> Tensor:
        spectrum = Spectrum.of(episode.support_x, episode.support_y, episode.pool_x)
        axes, beyond, head = self.solve(episode.support_x, episode.support_y, episode.pool_x, spectrum)
        query = unit(*project(episode.query_x, spectrum), axes, beyond)
        return F.cross_entropy(query @ head.T, episode.query_y)

    @torch.no_grad()
    def adapt(self, support_x: Tensor, support_y: Tensor, pool_x: Tensor | None = None) -> Classifier:
        check_support(support_x, support_y, self.dim)
        pool_x = pool_x if pool_x is not None and len(pool_x) else None
        spectrum = Spectrum.of(support_x, support_y, pool_x)
        axes, beyond, head = self.solve(support_x, support_y, pool_x, spectrum)
        basis = spectrum.basis
        map_ = beyond * torch.eye(self.dim) + (basis * (axes - beyond)) @ basis.T
        return Classifier(
            (
                Affine(map_, -map_ @ spectrum.mean),
                "normalise",
                Affine(head @ basis.T, head.new_zeros(len(head))),
            )
        )


class Whitened(Reference):
    """Prototypes in a partly whitened space, from the support alone: the reference learner as it starts, no pool."""

    name = "whitened"
    meta_trained = False

    def __init__(self, dim: int, ways: int | None = None) -> None:
        super().__init__(dim, ways, parts=frozenset())

    def adapt(self, support_x: Tensor, support_y: Tensor, pool_x: Tensor | None = None) -> Classifier:
        return super().adapt(support_x, support_y)


class Transductive(Reference):
    """The reference learner as it starts, without meta-training: what the pool alone gives."""

    name = "transductive"
    meta_trained = False

    def __init__(self, dim: int, ways: int | None = None) -> None:
        super().__init__(dim, ways, parts=frozenset({"finetune"}))


def project(x: Tensor, spectrum: Spectrum) -> tuple[Tensor, Tensor]:
    """Return coordinates on the axes [n, r] and the squared length outside them [n]."""
    centred = x - spectrum.mean
    coordinates = centred @ spectrum.basis
    return coordinates, (centred.square().sum(1) - coordinates.square().sum(1)).clamp_min(0)


def unit(coordinates: Tensor, outside: Tensor, axes: Tensor, beyond: Tensor) -> Tensor:
    """Return the coordinates of weighted features scaled to unit length over all D dimensions."""
    scaled = coordinates * axes
    length = (scaled.square().sum(1) + outside * beyond.square()).clamp_min(1e-24).sqrt()
    return scaled / length[:, None]
