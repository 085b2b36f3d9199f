"""The representation of a task: attention over its examples, joined by classical meta-features."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from learners.base import prototypes

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
    centres = prototypes(x, y, ways)
    total = x.var(0, correction=min(1, len(y) - 1)).sum().clamp_min(1e-12)
    within = (x - centres[y]).square().sum() / max(len(y) - ways, 1) if shots > 1 else total
    between = centres.var(0, correction=min(1, ways - 1)).sum()  # 0 where shared labels are seen of one class only
    cosines = F.normalize(centres - centres.mean(0), dim=-1)
    every = x if pool is None else torch.cat([x, pool[:256]])
    energy = torch.linalg.svdvals(F.normalize(every - every.mean(0), dim=-1)).square()
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


class TaskEncoder(nn.Module):
    """z = MLP([attention over class prototypes and pool examples ; meta-features]).

    A learned query attends over the set (pooling by multi-head attention, Lee et al. 2019, "Set Transformer"), so
    z does not depend on the order of classes or examples.
    """

    def __init__(self, dim: int, size: int = 32) -> None:
        super().__init__()
        self.token = nn.Linear(dim + 1, size)  # one more: labelled or not
        self.query = nn.Parameter(torch.zeros(1, size))
        self.attention = nn.MultiheadAttention(size, 4, batch_first=True)
        self.out = nn.Sequential(nn.Linear(size + len(META_FEATURES), size), nn.GELU())

    def forward(self, x: Tensor, y: Tensor, pool: Tensor | None) -> Tensor:
        """Return z [size] of standardised support [S, D], labels [S] and pool [U, D] (its first 64 are read)."""
        centres = prototypes(x, y, int(y.max()) + 1)
        tokens = F.pad(centres, (0, 1), value=1.0)
        if pool is not None:
            tokens = torch.cat([tokens, F.pad(pool[:64], (0, 1), value=0.0)])
        tokens = self.token(tokens)
        z, _ = self.attention(self.query, tokens, tokens, need_weights=False)
        with torch.no_grad():
            features = meta_features(x, y, pool)
        return self.out(torch.cat([z[0], features]))
