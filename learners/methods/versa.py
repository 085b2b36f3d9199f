"""VERSA: a network says from a class's examples which head it has, and how surely."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from domains.episode import Episode
from learners.base import ABSENT, compute_prototypes, one_hot
from learners.bodies import Body
from learners.classifier import Affine, Classifier, FixedPart, Layer
from learners.heads.gaussian_head import GaussianHead, logits_of
from learners.heads.linear_head import LinearHead
from learners.heads.noise import noise_table, read_noise
from learners.support import Support

HIDDEN, FIRST = 128, -2.0  # units; log standard deviation of a weight before meta-training, less half of log D


class VERSA(LinearHead):
    """Meta-learns an amortised posterior of the head: q(w_c) = N(mu(h_c), diag sigma^2(h_c)), h_c a class's mean.

        min  - log 1/L sum_l softmax_y(w^(l) f(x)),    w^(l) ~ q,

    over query examples, with L = ``samples`` draws of the logits (local reparametrisation: they are Gaussian too). The
    posterior of a class depends on its own examples alone. ``adapt`` averages over the head in closed form
    (``GaussianHead``).

    This differs from the paper: the log number of examples is read beside their mean, so that sigma can fall with it,
    and mu starts as a prototype's weights at ProtoNet's sharpness.

    J. Gordon, J. Bronskill, M. Bauer, S. Nowozin, R. E. Turner. Meta-learning probabilistic inference for prediction.
    ICLR 2019. https://arxiv.org/abs/1805.09921
    """

    name, unit = "versa", True

    def __init__(self, body: int | Body, ways: int | None = None, samples: int = 10) -> None:
        super().__init__(body, ways)
        self.samples = samples
        last = nn.Linear(HIDDEN, 2 * self.dim)
        nn.init.zeros_(last.weight)
        with torch.no_grad():
            last.bias.copy_(torch.tensor([0.0, FIRST]).repeat_interleave(self.dim))
        self.inference = nn.Sequential(nn.Linear(self.dim + 1, HIDDEN), nn.ELU(), last)
        self.log_sharpness = nn.Parameter(torch.tensor(0.0 if self.raw else 2.3))
        self.register_buffer("table", noise_table(), persistent=False)
        self.table: Tensor

    def posterior(self, support: Tensor, y: Tensor, ways: int) -> tuple[Tensor, Tensor, Tensor]:
        """Return mu and sigma^2 [N, D] from embeddings [S, D], and the bias [N] that a label without examples has."""
        centre, counts = compute_prototypes(support, y, ways), one_hot(y, ways, support.dtype).sum(0)
        told = torch.cat([centre, counts.clamp_min(1).log()[:, None]], 1)
        change, log_sigma = self.inference(told).chunk(2, -1)
        bias = torch.where(counts > 0, 0.0, ABSENT).to(support.dtype)
        return 2 * self.log_sharpness.exp() * centre + change, (2 * log_sigma).exp(), bias

    def meta_loss(self, episode: Episode) -> Tensor:
        ways = self.ways or episode.ways
        mean, scale = self.scaling(episode.support_x, episode.pool_x)
        both = self.embed(torch.cat([episode.support_x, episode.query_x]), mean, scale)
        support, query = both.split([len(episode.support_x), len(episode.query_x)])
        mu, variance, bias = self.posterior(support, episode.support_y, ways)
        m, v = logits_of(query, mu, variance)
        noise = read_noise(self.table, self.progress, self.samples, *m.shape)
        log_p = F.log_softmax(m + bias + noise * v.clamp_min(1e-12).sqrt(), -1).logsumexp(0)
        return F.nll_loss(log_p, episode.query_y) + math.log(self.samples)

    @torch.no_grad()
    def adapt(self, support: Support) -> Classifier:
        ways = self.check(support)
        mean, scale = self.scaling(support.x, support.pool_x)
        mu, variance, bias = self.posterior(self.embed(support.x, mean, scale), support.y, ways)
        head = GaussianHead(ways, self.dim)
        first: tuple[Layer, ...] = self.embedding()
        if not self.raw:
            weight = self.weight / scale
            first = (Affine(weight, -weight @ mean), "normalise")
        eye = torch.eye(ways, dtype=mu.dtype, device=mu.device)
        return Classifier((*first, FixedPart.of(head, {"mean": mu, "variance": variance}), Affine(eye, bias)))
