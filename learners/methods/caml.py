"""CAML: a transformer that reads the support set and the query as one sequence."""

from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from domains.episode import Episode
from learners.base import ABSENT, Learner, compute_prototypes, one_hot
from learners.bodies import Body
from learners.classifier import Affine, Classifier, FixedPart
from learners.parts import Part, register_part
from learners.support import Support

CHUNK = 256  # queries that pass together when predicting
LONGEST = 3_000  # support examples: twice as many take four times as long, and 5,000 twenty seconds
TURNS = 1e4 * (5**0.5 - 1) / 2  # irrational, so that every phi comes first in turn for any number of updates


class CAML(Learner):
    """Meta-learns to read a support set as a language model reads its prompt; adapting fits nothing.

    The sequence is [e(x_q); u], [e(x_1); phi(y_1)], ..., [e(x_S); phi(y_S)]. A transformer without positions or causal
    mask gives outputs o, and p(y_q = c) = softmax_c(s cos(o_q, mean_{y_i = c} o_i)). Meta-training minimises
    -log p(y_q). The phi are fixed vectors at equal angles (ELMES); u and s are learned. The residual branches start at
    0, so that meta-training starts from the nearest class mean of the projected examples e(x) = P f(x) / |P f(x)|.

    This differs from the paper in two ways. The output is compared with the mean output of each class instead of
    passing a linear layer. Classes take their phi in the order of their means along a fixed direction, so that the
    answer does not depend on the order of examples or classes (with ``ways`` label c always has phi_c). In every
    meta-update that order begins at another phi; otherwise the phi beyond the ways trained on would stay unknown. A
    body is trained too.

    C. Fifty, D. Duan, R. Junkins, E. Amid, J. Leskovec, C. Ré, S. Thrun. Context-aware meta-learning. ICLR 2024.
    https://arxiv.org/abs/2310.10971

    Args:
        width: the length of e(x).
        depth, heads: of the transformer.
        max_ways: the largest number of classes, which is the number of phi.
        joint: every query makes a sequence of its own, as published, at Q times the work. Otherwise the support set
            does not look at queries, and all queries read it at once (as in Nguyen & Grover 2022,
            https://arxiv.org/abs/2207.04179).
    """

    name = "caml"

    def __init__(
        self,
        body: int | Body,
        ways: int | None = None,
        width: int = 64,
        depth: int = 2,
        heads: int = 4,
        max_ways: int = 128,
        joint: bool = False,
    ) -> None:
        super().__init__(body, ways)
        self.max_ways = max_ways if ways is None else ways
        self.capabilities = replace(self.capabilities, most_classes=self.max_ways, most_examples=LONGEST)
        self.project = nn.Linear(self.dim, width)
        nn.init.orthogonal_(self.project.weight)
        nn.init.zeros_(self.project.bias)
        labels = self.max_ways + -(width + self.max_ways) % heads  # the heads divide the tokens
        self.context = Context(width, labels, depth, heads, joint)
        self.register_buffer("phi", elmes(self.max_ways, labels), persistent=False)
        direction = torch.randn(width, generator=torch.Generator().manual_seed(0))
        self.register_buffer("direction", direction, persistent=False)
        self.phi: Tensor
        self.direction: Tensor
        if not self.raw:
            self.together = 8

    def embed(self, x: Tensor, mean: Tensor, scale: Tensor) -> Tensor:
        """Return e(x) [n, width]."""
        return F.normalize(self.project(self.body((x - mean) / scale)), dim=-1)

    def tokens(self, e: Tensor, y: Tensor, ways: int, first: int) -> Tensor:
        """Return the tokens [S, width + labels] of embedded examples [S, width]; the first class takes phi_first."""
        rank = torch.arange(ways, device=e.device)
        if self.ways is None:
            rank = (compute_prototypes(e, y, ways) @ self.direction).argsort().argsort()
        phi = self.phi[(first + rank) % self.max_ways]
        return torch.cat([e, one_hot(y, ways, e.dtype) @ phi], -1)

    def check_ways(self, ways: int) -> int:
        if ways > self.max_ways:
            raise ValueError(f"{ways} classes, the learner was made for at most {self.max_ways} (max_ways)")
        return ways

    def meta_loss(self, episode: Episode) -> Tensor:
        ways = self.check_ways(self.ways or episode.ways)
        mean, scale = self.scaling(episode.support_x, episode.pool_x)
        both = self.embed(torch.cat([episode.support_x, episode.query_x]), mean, scale)
        support, query = both.split([len(episode.support_x), len(episode.query_x)])
        turning = self.training and self.ways is None
        first = int(self.progress * TURNS % 1 * self.max_ways) if turning else 0
        tokens = self.tokens(support, episode.support_y, ways, first)
        return F.cross_entropy(self.context.logits(query, tokens, episode.support_y, ways), episode.query_y)

    @torch.no_grad()
    def adapt(self, support: Support) -> Classifier:
        ways = self.check_ways(self.check(support))
        mean, scale = self.scaling(support.x, support.pool_x)
        tokens = self.tokens(self.embed(support.x, mean, scale), support.y, ways, 0)
        context = Context(**{**self.context.config, "support": len(tokens), "ways": ways})
        weights = {**dict(self.context.named_parameters()), "tokens": tokens, "y": support.y}
        weight = self.project.weight / scale  # 1, and the mean 0, for raw examples
        bias = self.project.bias - (weight * mean).sum(1)
        return Classifier((*self.embedding(), Affine(weight, bias), "normalise", FixedPart.of(context, weights)))


@register_part
class Context(Part):
    """The transformer; with a support's tokens [S, width + labels] and labels [S] a function from e(x) to logits."""

    name = "caml"

    def __init__(
        self, width: int, labels: int, depth: int, heads: int, joint: bool, support: int = 0, ways: int = 0
    ) -> None:
        super().__init__()
        self.config = {"width": width, "labels": labels, "depth": depth, "heads": heads, "joint": joint}
        self.config |= {"support": support, "ways": ways}
        self.joint, self.ways = joint, ways
        self.unknown = nn.Parameter(torch.zeros(labels))
        self.log_sharpness = nn.Parameter(torch.tensor(3.0))
        self.blocks = nn.ModuleList(AttentionBlock(width + labels, heads) for _ in range(depth))
        self.register_buffer("tokens", torch.zeros(support, width + labels), persistent=False)
        self.register_buffer("y", torch.zeros(support, dtype=torch.long), persistent=False)
        self.tokens: Tensor
        self.y: Tensor

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.logits(some, self.tokens, self.y, self.ways) for some in x.split(CHUNK)])

    def logits(self, query: Tensor, tokens: Tensor, y: Tensor, ways: int) -> Tensor:
        """Return logits [Q, N] of queries [Q, width], given support tokens [S, width + labels] and labels [S]."""
        asked = torch.cat([query, self.unknown.expand(len(query), -1)], -1)
        if self.joint:
            x, allowed = torch.cat([tokens.expand(len(query), -1, -1), asked[:, None]], 1), None
        else:
            x = torch.cat([tokens, asked])[None]
            of_support = torch.arange(x.shape[1], device=x.device) < len(tokens)
            allowed = of_support | torch.eye(x.shape[1], dtype=torch.bool, device=x.device)
        for block in self.blocks:
            x = block(x, allowed)
        support, query = x[:, : len(tokens)], x[:, len(tokens) :].flatten(0, 1)
        members = one_hot(y, ways, x.dtype)
        means = (members / members.sum(0).clamp_min(1)).T @ support  # [Q, N, d], or [1, N, d] where queries share them
        cosine = (F.normalize(means, dim=-1) @ F.normalize(query, dim=-1)[..., None]).squeeze(-1)
        sharpness = self.log_sharpness.exp()
        return torch.where(members.any(0), sharpness * cosine, ABSENT - sharpness)


class AttentionBlock(nn.Module):
    """x + attention(x), then x + two layers, each after a layer normalisation."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.before, self.between = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.read, self.out = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)
        self.up, self.down = nn.Linear(dim, 2 * dim), nn.Linear(2 * dim, dim)
        for last in (self.out, self.down):
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)

    def forward(self, x: Tensor, allowed: Tensor | None) -> Tensor:
        """Return tokens [B, L, d]; ``allowed`` [L, L]: whether a token (row) may look at another (column)."""
        q, k, v = self.read(self.before(x)).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4).unbind()
        scores = q @ k.mT / q.shape[-1] ** 0.5
        if allowed is not None:
            scores = scores.masked_fill(~allowed, -torch.inf)
        x = x + self.out((F.softmax(scores, dim=-1) @ v).transpose(1, 2).flatten(2))
        return x + self.down(F.gelu(self.up(self.between(x))))


def elmes(ways: int, dim: int) -> Tensor:
    """Return N unit vectors [N, dim] of which every two have the inner product -1 / (N - 1), the least possible."""
    phi = torch.eye(ways, dtype=torch.float64) - 1 / ways
    return F.pad(F.normalize(phi, dim=1), (0, dim - ways)).float()
