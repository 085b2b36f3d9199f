"""LEO: descent in a small latent space of heads."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from domains.episode import Episode
from learners.base import ABSENT, Learner, compute_prototypes, one_hot
from learners.bodies import Body
from learners.classifier import Affine, Classifier, Layer
from learners.heads.noise import noise_table, read_noise
from learners.support import Support


class LEO(Learner):
    """Meta-learns a small latent space in which a linear head is descended, then a few steps on the head itself.

    An encoder and a relation net give the codes of the classes, z_n ~ N(mu_n, diag sigma_n^2), and w = decode(z). Then
    z <- z - alpha grad_z L_support(decode(z)) is taken ``latent_steps`` times, and w <- w - gamma grad_w L_support(w)
    is taken ``steps`` times. The objective is

        min L_query(w) + beta KL(N(mu, sigma^2) | N(0, 1)) + penalty |stop(z_T) - z_0|^2,

    where both penalties are sums over a code and means over classes. Examples are unit vectors x, and L is the
    cross-entropy of the logits w x. ``adapt`` takes z = mu. The noise is a fixed table, read from a place that follows
    from ``progress``: the episodes of one meta-update share it, and a resumed run sees what an unbroken one would.

    This differs from the paper: the relation net compares the mean encodings of the classes (the same at one shot, N^2
    pairs instead of S^2) and adds to them, the decoder gives w itself instead of a distribution, and there is neither
    dropout nor a regulariser of weights. At first the relation net adds 0 and the decoder is the transposed encoder, so
    that meta-training starts from class means in a random subspace. LEO is made for frozen features; a body is trained
    too.

    A. A. Rusu, D. Rao, J. Sygnowski, O. Vinyals, R. Pascanu, S. Osindero, R. Hadsell. Meta-learning with latent
    embedding optimization. ICLR 2019. https://arxiv.org/abs/1807.05960

    Args:
        latent: the length of a code.
        latent_steps, steps: of descent on codes and on the head.
        beta, penalty: the weights of the KL divergence and of the encoder penalty.
        noise: draw codes in meta-training; False: z = mu there too.
    """

    name = "leo"

    def __init__(
        self,
        body: int | Body,
        ways: int | None = None,
        latent: int = 64,
        latent_steps: int = 5,
        steps: int = 5,
        beta: float = 1e-3,
        penalty: float = 1e-3,
        noise: bool = True,
    ) -> None:
        super().__init__(body, ways)
        self.latent, self.latent_steps, self.steps, self.noise = latent, latent_steps, steps, noise
        self.beta, self.penalty = beta, penalty
        self.encoder = nn.Parameter(torch.empty(latent, self.dim))
        gain = (10 * max(1.0, self.dim / latent)) ** 0.5  # logits of about 10 cos, as ProtoNet's
        nn.init.orthogonal_(self.encoder, gain=gain)
        self.decoder = nn.Parameter(self.encoder.detach().T.clone())
        hidden = 2 * latent
        last = nn.Linear(hidden, hidden)
        nn.init.zeros_(last.weight)
        with torch.no_grad():
            last.bias.copy_(torch.tensor([0.0, -2.0]).repeat_interleave(latent))
        self.relation = nn.Sequential(nn.Linear(hidden, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU(), last)
        self.log_alpha = nn.Parameter(torch.tensor(0.5).log())
        self.log_gamma = nn.Parameter(torch.tensor(0.1).log())
        self.register_buffer("table", noise_table(), persistent=False)
        self.table: Tensor
        if not self.raw:
            self.together = 64

    def embed(self, x: Tensor, mean: Tensor, scale: Tensor) -> Tensor:
        return F.normalize(self.body((x - mean) / scale), dim=-1)

    def codes(self, x: Tensor, y: Tensor, ways: int) -> tuple[Tensor, Tensor]:
        """Return mu and log sigma [N, latent] from an embedded support [S, D]."""
        e = F.linear(compute_prototypes(x, y, ways), self.encoder)
        there = one_hot(y, ways, x.dtype).any(0).to(x.dtype)
        pairs = torch.cat([e[:, None].expand(-1, ways, -1), e.expand(ways, -1, -1)], -1)
        found = torch.einsum("nmd,m->nd", self.relation(pairs), there) / there.sum()
        mu, log_sigma = found.chunk(2, -1)
        return e + mu, log_sigma

    def draws(self, ways: int) -> Tensor:
        """Return the noise [N, latent] of this meta-update."""
        return read_noise(self.table, self.progress, ways, self.latent)

    def head(self, z: Tensor, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return w [N, D] and its bias [N] after both descents from codes z [N, latent], and the last codes.

        The bias is 0, or ABSENT for a shared label that the support [S, D], [S] lacks.
        """
        target = one_hot(y, len(z), x.dtype)
        bias = torch.where(target.any(0), 0.0, ABSENT).to(x.dtype)

        def grad(w: Tensor) -> Tensor:
            return (F.softmax(F.linear(x, w, bias), -1) - target).T @ x / len(y)

        for _ in range(self.latent_steps):
            z = z - self.log_alpha.exp() * grad(z @ self.decoder.T) @ self.decoder
        w = z @ self.decoder.T
        for _ in range(self.steps):
            w = w - self.log_gamma.exp() * grad(w)
        return w, bias, z

    def meta_loss(self, episode: Episode) -> Tensor:
        ways = self.ways or episode.ways
        mean, scale = self.scaling(episode.support_x, episode.pool_x)
        both = self.embed(torch.cat([episode.support_x, episode.query_x]), mean, scale)
        support, query = both.split([len(episode.support_x), len(episode.query_x)])
        mu, log_sigma = self.codes(support, episode.support_y, ways)
        z = mu + log_sigma.exp() * self.draws(ways) if self.noise else mu
        w, bias, last = self.head(z, support, episode.support_y)
        kl = 0.5 * (mu.square() + (2 * log_sigma).exp() - 1 - 2 * log_sigma).sum(1).mean()
        moved = (last.detach() - z).square().sum(1).mean()
        loss = F.cross_entropy(F.linear(query, w, bias), episode.query_y)
        return loss + self.beta * kl + self.penalty * moved

    @torch.no_grad()
    def adapt(self, support: Support) -> Classifier:
        ways = self.check(support)
        mean, scale = self.scaling(support.x, support.pool_x)
        embedded = self.embed(support.x, mean, scale)
        w, bias, _ = self.head(self.codes(embedded, support.y, ways)[0], embedded, support.y)
        first: tuple[Layer, ...] = self.embedding()
        if not self.raw:
            first = (Affine((1 / scale).expand(self.dim).diag(), -mean / scale),)
        return Classifier((*first, "normalise", Affine(w, bias)))
