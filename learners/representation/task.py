"""The representation of a task: attention over its examples, joined by classical meta-features."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from learners.base import compute_prototypes

#: What ``meta_features`` returns, in order.
META_FEATURES = (
    "log2 of the number of classes / 4",
    "log2 of the mean shots / 4",
    "log10 of 1 + the pool size / 3",
    "spread: within-class share of the support's variance (1 with one shot)",
    "separability: between-class variance / total variance, corrected for the shots",
    "mean cosine between centred prototypes",
    "effective rank of the examples / their number",
    "distance of the pool's mean from the support's / root of the total variance",
    "size of the smallest class / size of the largest",
    "entropy of the pool's nearest prototypes / log of the number of classes (1 without a pool)",
)


def meta_features(x: Tensor, y: Tensor, pool: Tensor | None) -> Tensor:
    """Return META_FEATURES [10] of a support [S, D], [S] and pool [U, D]; all of order one."""
    ways = int(y.max()) + 1
    counts = torch.bincount(y, minlength=ways).to(x.dtype)
    shots, unlabelled = float(counts.mean()), 0 if pool is None else len(pool)
    centres = compute_prototypes(x, y, ways)
    total = x.var(0, correction=min(1, len(y) - 1)).sum().clamp_min(1e-12)
    within = (x - centres[y]).square().sum() / max(len(y) - ways, 1) if shots > 1 else total
    between = centres.var(0, correction=min(1, ways - 1)).sum()  # 0 where shared labels are seen of one class only
    cosines = F.normalize(centres - centres.mean(0), dim=-1)
    every = x if pool is None else torch.cat([x, pool[:256]])
    unit = F.normalize(every - every.mean(0), dim=-1)
    energy = torch.linalg.eigvalsh(unit @ unit.T if len(unit) < unit.shape[1] else unit.T @ unit).clamp_min(0)
    share = energy / energy.sum().clamp_min(1e-12)
    rank = torch.exp(-(share * share.clamp_min(1e-12).log()).sum()) / min(every.shape)
    shift, balance = x.new_zeros(()), x.new_ones(())
    if pool is not None and unlabelled:
        shift = (pool.mean(0) - x.mean(0)).norm() / total.sqrt()
        nearest = (F.normalize(pool - pool.mean(0), dim=-1) @ cosines.T).argmax(1)
        shares = torch.bincount(nearest, minlength=ways) / len(pool)
        balance = -(shares * shares.clamp_min(1e-12).log()).sum() / math.log(max(ways, 2))
    values = [
        x.new_tensor(math.log2(ways) / 4),
        x.new_tensor(math.log2(shots) / 4),
        x.new_tensor(math.log10(1 + unlabelled) / 3),
        (within / total).clamp(0, 2),
        ((between - within / shots) / total).clamp(-1, 2),
        (cosines @ cosines.T).sum() / ways**2,
        rank,
        shift.clamp(0, 3),
        counts.min() / counts.max(),
        balance,
    ]
    return torch.stack(values)


class AttentionPooling(nn.Module):
    """z = MLP([attention over the tokens of a task ; meta-features]).

    A learned query attends over the set, so that z does not depend on the order of classes or examples.

    J. Lee, Y. Lee, J. Kim, A. R. Kosiorek, S. Choi, Y. W. Teh. Set transformer. ICML 2019.
    https://arxiv.org/abs/1810.00825

    Attributes:
        size: the length of z.
    """

    def __init__(self, token: nn.Module, size: int, heads: int) -> None:
        super().__init__()
        self.size, self.token = size, token
        self.query = nn.Parameter(torch.zeros(1, size))
        self.attention = nn.MultiheadAttention(size, heads, batch_first=True)
        self.out = nn.Sequential(nn.Linear(size + len(META_FEATURES), size), nn.GELU())

    def represent(self, tokens: Tensor, x: Tensor, y: Tensor, pool: Tensor | None) -> Tensor:
        """Return z [size] of tokens [n, ...] and of the task that they are of."""
        tokens = self.token(tokens)
        z, _ = self.attention(self.query, tokens, tokens, need_weights=False)
        with torch.no_grad():
            features = meta_features(x, y, pool)
        return self.out(torch.cat([z[0], features]))


class TaskEncoder(AttentionPooling):
    """z from class prototypes and pool examples, for features that mean the same in every domain."""

    def __init__(self, dim: int, size: int = 32) -> None:
        super().__init__(nn.Linear(dim + 1, size), size, heads=4)  # one more: labelled or not

    def forward(self, x: Tensor, y: Tensor, pool: Tensor | None) -> Tensor:
        """Return z [size] of standardised support [S, D], labels [S] and pool [U, D] (its first 64 are read)."""
        tokens = F.pad(compute_prototypes(x, y, int(y.max()) + 1), (0, 1), value=1.0)
        if pool is not None:
            tokens = torch.cat([tokens, F.pad(pool[:64], (0, 1), value=0.0)])
        return self.represent(tokens, x, y, pool)


#: What is known of each class, in any encoder's features.
TOKENS = (
    "cosine of its prototype with the nearest other one",
    "mean cosine of its prototype with the others",
    "mean cosine of its examples with its prototype",
    "log2 of its examples / 4",
    "log of its share of the pool relative to an even one / 2",
    "mean cosine of the pool examples in it with its prototype",
    "mean certainty of the pool examples in it",
)


class TaskTokens(AttentionPooling):
    """z from what each class looks like.

    Its tokens are angles and shares that do not depend on what the features mean, so that z of a domain unlike all
    sources is still of a familiar kind.
    """

    def __init__(self, size: int = 16) -> None:
        super().__init__(nn.Sequential(nn.Linear(len(TOKENS), size), nn.GELU()), size, heads=2)

    def forward(self, x: Tensor, y: Tensor, pool: Tensor | None) -> Tensor:
        """Return z [size] of support [S, D], labels [S] and pool [U, D]."""
        return self.represent(class_tokens(x, y, pool).to(self.query.dtype), x, y, pool)


@torch.no_grad()
def class_tokens(x: Tensor, y: Tensor, pool: Tensor | None) -> Tensor:
    """Return TOKENS [N, 7] of a support [S, D], [S] and pool [U, D] (0 where there is no pool); of order one."""
    ways, counts = int(y.max()) + 1, torch.bincount(y).to(x.dtype)
    mean = x.mean(0) if pool is None else torch.cat([x, pool]).mean(0)
    centres = F.normalize(compute_prototypes(x, y, ways) - mean, dim=-1)
    cosine = centres @ centres.T
    others = cosine - 2 * torch.eye(ways, dtype=x.dtype, device=x.device)
    within = compute_prototypes((F.normalize(x - mean, dim=-1) * centres[y]).sum(1, keepdim=True), y, ways)[:, 0]
    mass = nearness = certainty = x.new_zeros(ways)
    if pool is not None:
        near = F.normalize(pool - mean, dim=-1) @ centres.T
        share = F.softmax(20 * near, dim=-1)
        total = share.sum(0).clamp_min(1e-6)
        mass = (total / len(pool) * ways + 0.05).log() / 2
        nearness, certainty = (share * near).sum(0) / total, share.square().sum(0) / total
    mean_other = (cosine.sum(1) - 1) / max(ways - 1, 1)
    return torch.stack([others.max(1).values, mean_other, within, counts.log2() / 4, mass, nearness, certainty], dim=1)
