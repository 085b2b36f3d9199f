"""Batch normalisation whose statistics are chosen, never hidden (Ioffe & Szegedy 2015)."""

from collections.abc import Iterable
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Statistics = Literal["batch", "source"]


class BatchNorm(nn.Module):
    """y = weight (x - mean) / sqrt(variance + eps) + bias, by channel, over images [n, C, H, W].

    Where mean and variance come from:

    - ``batch``: the examples that pass together, always, as in the papers of MAML and Reptile. What is predicted for
      an example then depends on the examples beside it ("transductive", Nichol et al. 2018).
    - ``source``: the examples that pass together in meta-training; afterwards those of the source domains, measured
      once by ``measure`` instead of averaged along the way (Wu & Johnson 2021, "Rethinking 'Batch' in BatchNorm").

    No buffer changes inside ``forward``, so it is pure and can be vmapped. Under ``vmap`` scale and shift are applied
    apart from ``F.batch_norm``: given to it, PyTorch 2.13 differentiates it wrongly a second time (the gradient of a
    MAML step is off by 0.4 to 5 %, in float64 too); without them loop and vmap agree to the last digits.
    """

    def __init__(self, channels: int, statistics: Statistics = "batch", eps: float = 1e-5) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.ones(channels)), nn.Parameter(torch.zeros(channels))
        self.statistics, self.eps = statistics, eps
        if statistics == "source":
            self.register_buffer("mean", torch.zeros(channels))
            self.register_buffer("variance", torch.ones(channels))
            self.mean: Tensor
            self.variance: Tensor

    def forward(self, x: Tensor) -> Tensor:
        known = self.statistics == "source" and not self.training
        mean, variance = (self.mean, self.variance) if known else (None, None)
        if not inside_vmap():
            return F.batch_norm(x, mean, variance, self.weight, self.bias, not known, eps=self.eps)
        x = F.batch_norm(x, mean, variance, training=not known, eps=self.eps)
        return x * self.weight[:, None, None] + self.bias[:, None, None]


def inside_vmap() -> bool:
    """Whether a transform of ``torch.func`` is running."""
    return torch._C._functorch.peek_interpreter_stack() is not None


@torch.no_grad()
def measure(body: nn.Module, batches: Iterable[Tensor]) -> None:
    """Take the statistics of every ``source`` normalisation of a body from batches [n, *shape] of source examples.

    Each is the mean over the batches of what the batch gives, so equally large batches are expected.
    """
    norms = [m for m in body.modules() if isinstance(m, BatchNorm) and m.statistics == "source"]
    if not norms:
        return
    sums = {norm: [torch.zeros_like(norm.mean), torch.zeros_like(norm.variance)] for norm in norms}

    def add(norm: BatchNorm, inputs: tuple[Tensor]) -> None:
        variance, mean = torch.var_mean(inputs[0].to(norm.mean.dtype), (0, 2, 3))
        sums[norm][0] += mean
        sums[norm][1] += variance

    hooks = [norm.register_forward_pre_hook(add) for norm in norms]
    was, seen = body.training, 0
    body.train()
    for batch in batches:
        body(batch)
        seen += 1
    body.train(was)
    for hook in hooks:
        hook.remove()
    for norm in norms:
        norm.mean.copy_(sums[norm][0] / seen)
        norm.variance.copy_(sums[norm][1] / seen)
