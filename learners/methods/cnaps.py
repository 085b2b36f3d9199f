"""CNAPs: a support set modulates the body in one pass, with the classifier of Simple CNAPS."""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

from domains.episode import Episode
from learners.base import ABSENT, Learner, compute_prototypes, one_hot
from learners.bodies import MLP, Body, Conv4
from learners.bodies.norm import BatchNorm
from learners.classifier import Affine, Classifier, FixedPart, Layer
from learners.parts import Part, register_part
from learners.support import Support

HIDDEN = 64
CHUNK = 256  # examples whose distances are taken together when predicting


class CNAPs(Learner):
    """Meta-learns how a support set modulates the body, in one pass and without descent.

    A set encoder g gives z = mean_S g(x). A small network for each place turns z into (gamma, beta), which act after
    each batch normalisation of the body (h -> gamma h + beta, FiLM). On features, and in bodies without normalisation,
    they act on the vector f. Then, with class means mu_k of f and n_k examples a class,

        log p(y = k | x) ~ -s/2 (f - mu_k)^T Q_k^-1 (f - mu_k),  Q_k = l_k Sigma_k + (1 - l_k) Sigma + I,

    where l_k = n_k / (n_k + 1), and Sigma_k and Sigma are the covariances of the class (0 for a single example) and of
    the support set. Meta-training minimises -log p of the query. FiLM starts as the identity. s is learned; it starts
    at 1 as published, and at 16 / D on features, which are longer. Unlike in the paper the body is meta-trained too. A
    body with ``source`` statistics measures them without FiLM.

    J. Requeima, J. Gordon, J. Bronskill, S. Nowozin, R. E. Turner. Fast and flexible multi-task classification using
    conditional neural adaptive processes. NeurIPS 2019. https://arxiv.org/abs/1906.07697
    P. Bateni, R. Goyal, V. Masrani, F. Wood, L. Sigal. Improved few-shot visual classification. CVPR 2020.
    https://arxiv.org/abs/1912.03432

    Args:
        head: ``mahalanobis`` as above, or ``mean``, for which Q_k = I.
    """

    name = "cnaps"

    def __init__(
        self, body: int | Body, ways: int | None = None, head: Literal["mahalanobis", "mean"] = "mahalanobis"
    ) -> None:
        super().__init__(body, ways)
        if head not in ("mahalanobis", "mean"):
            raise ValueError(f"head is {head!r}; there are: mahalanobis, mean")
        if len(self.shape) not in (1, 3):
            raise ValueError(f"examples are {list(self.shape)}, the set encoder reads vectors or images [C, H, W]")
        self.head = head
        norms = {name: norm for name, norm in self.body.named_modules() if isinstance(norm, BatchNorm)}
        self.places = tuple(norms)
        self.log_sharpness = nn.Parameter(torch.tensor(1.0 if self.raw else min(1.0, 16 / self.dim)).log())
        images = len(self.shape) == 3
        self.encoder: Body = (
            Conv4(self.shape[0], self.shape[1], HIDDEN, strided=True) if images else MLP(self.shape[0], [HIDDEN])
        )
        channels = [len(norm.weight) for norm in norms.values()] or [self.dim]
        self.generators = nn.ModuleList(
            nn.Sequential(nn.Linear(HIDDEN, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, 2 * c)) for c in channels
        )
        for last in (generator[-1] for generator in self.generators):  # type: ignore[index]
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)
        if not self.raw:
            self.together = 4

    def films(self, support: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Return gamma [C] and beta [C] of every place, from a support [S, *shape]."""
        z = self.encoder(support).mean(0)
        made = [generator(z).chunk(2) for generator in self.generators]
        return [(1 + gamma, beta) for gamma, beta in made]

    def modulate_norms(self, films: Sequence[tuple[Tensor, Tensor]]) -> dict[str, Tensor]:
        """Return the weights and biases of the body's normalisations after FiLM, by name."""
        now, own = {}, dict(self.body.named_parameters())
        for place, (gamma, beta) in zip(self.places, films, strict=bool(self.places)):
            now[f"{place}.weight"] = gamma * own[f"{place}.weight"]
            now[f"{place}.bias"] = gamma * own[f"{place}.bias"] + beta
        return now

    def embed(self, x: Tensor, films: Sequence[tuple[Tensor, Tensor]]) -> Tensor:
        """Return f(x) [n, D]."""
        if self.places:
            return functional_call(self.body, self.modulate_norms(films), (x,))
        ((gamma, beta),) = films
        return gamma * self.body(x) + beta

    def factors(self, f: Tensor, y: Tensor, ways: int) -> Tensor:
        """Return L_k [N, D, D] with L_k L_k^T = Q_k, from an embedded support [S, D]."""
        one = torch.eye(f.shape[1], dtype=f.dtype, device=f.device)
        if self.head == "mean":
            return one.expand(ways, -1, -1)
        members, centred = one_hot(y, ways, f.dtype), f - f.mean(0)
        counts = members.sum(0)[:, None, None]
        own = f - members @ compute_prototypes(f, y, ways)
        within = (members.T[:, :, None] * own).mT @ own / (counts - 1).clamp_min(1)
        overall = centred.T @ centred / max(len(f) - 1, 1)
        share = counts / (counts + 1)
        return torch.linalg.cholesky(share * within + (1 - share) * overall + one)

    def meta_loss(self, episode: Episode) -> Tensor:
        ways = self.ways or episode.ways
        mean, scale = self.scaling(episode.support_x, episode.pool_x)
        both = (torch.cat([episode.support_x, episode.query_x]) - mean) / scale
        sizes, y = [len(episode.support_x), len(episode.query_x)], episode.support_y
        support, query = self.embed(both, self.films(both[: sizes[0]])).split(sizes)
        means, seen = compute_prototypes(support, y, ways), one_hot(y, ways).any(0)
        logits = mahalanobis(query, means, self.factors(support, y, ways), seen, self.log_sharpness.exp())
        return F.cross_entropy(logits, episode.query_y)

    @torch.no_grad()
    def adapt(self, support: Support) -> Classifier:
        ways = self.check(support)
        mean, scale = self.scaling(support.x, support.pool_x)
        embedded = (support.x - mean) / scale
        films = self.films(embedded)
        f = self.embed(embedded, films)
        tensors = {"means": compute_prototypes(f, support.y, ways), "factors": self.factors(f, support.y, ways)}
        tensors |= {"seen": one_hot(support.y, ways).any(0), "sharpness": self.log_sharpness.exp()}
        head = FixedPart.of(Mahalanobis(ways, self.dim), tensors)
        if self.places:
            return Classifier((FixedPart.of(self.body, self.modulate_norms(films)), head))
        gamma, beta = films[0]
        film: Layer = Affine((gamma / scale).expand(self.dim).diag(), beta - gamma * mean / scale)
        return Classifier((*self.embedding(), film, head))


@register_part
class Mahalanobis(Part):
    """Vectors [n, D] to logits [n, N] by their distances from class means, each in the metric of its class."""

    name = "mahalanobis"

    def __init__(self, ways: int, dim: int) -> None:
        super().__init__()
        self.config = {"ways": ways, "dim": dim}
        self.register_buffer("means", torch.zeros(ways, dim))
        self.register_buffer("factors", torch.eye(dim).expand(ways, -1, -1))
        self.register_buffer("seen", torch.ones(ways, dtype=torch.bool))
        self.register_buffer("sharpness", torch.ones(()))
        self.means: Tensor
        self.factors: Tensor
        self.seen: Tensor
        self.sharpness: Tensor

    def forward(self, x: Tensor) -> Tensor:
        parts = x.split(CHUNK)
        return torch.cat([mahalanobis(p, self.means, self.factors, self.seen, self.sharpness) for p in parts])


def mahalanobis(x: Tensor, means: Tensor, factors: Tensor, seen: Tensor, sharpness: Tensor) -> Tensor:
    """Return logits [n, N] of x [n, D]; a shared label that the support lacks gets one below all others."""
    difference = (x[None] - means[:, None]).mT
    white = torch.linalg.solve_triangular(factors, difference, upper=False)
    logits = -0.5 * sharpness * white.square().sum(1).T
    lowest = logits.masked_fill(~seen, torch.inf).amin(1, keepdim=True)
    return torch.where(seen, logits, lowest + ABSENT)
