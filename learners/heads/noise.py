"""Noise of meta-updates that a resumed run sees as an unbroken one would."""

import torch
from torch import Tensor

LENGTH = 2**18 - 5


def noise_table() -> Tensor:
    """Return a fixed table of standard normal noise [LENGTH]."""
    return torch.randn(LENGTH, generator=torch.Generator().manual_seed(0))


def read_noise(table: Tensor, progress: float, *shape: int) -> Tensor:
    """Return the noise of a meta-update, from a place in the table that follows from ``progress``, 0 to 1."""
    size = 1
    for length in shape:
        size *= length
    first = int(progress * 2**40) % LENGTH
    places = (first + torch.arange(size, device=table.device)) % LENGTH
    return table[places].view(*shape)
