"""Source domains made harder, to learn from them how far strategies can be believed on a domain that is."""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn import functional as F

from domains.episode import Episode, Pile, Shape, draw
from learners.base import compute_prototypes

CLOSER, MERGED = 0.4, 0.35  # shares of piles with classes drawn together, and with classes made of several
LEAST_APART = 0.2  # of the distance of class means from their middle that is left
LEAST_CLASSES = 8  # to merge some
FEW = (1, 1, 2, 5)  # labels a class
UNIT = 1e-2  # a length is 1 within this


def draw_harder(piles: Sequence[Pile], shape: Shape, episodes: int, generator: torch.Generator) -> list[Episode]:
    """Return episodes of few labels and any number of classes, of harder piles, else of a shape."""
    few = replace(shape, ways=(2, shape.ways[1]), shots=FEW)
    return [draw([make_harder(piles[i % len(piles)], generator)], few, generator) for i in range(episodes)]


def make_harder(pile: Pile, generator: torch.Generator) -> Pile:
    """Return a pile with class means drawn together, or with classes of two or three of its own each, or as it is.

    Encoders know the domains that sources come from, so that their classes lie far apart and are of one piece. In a
    domain that the encoder does not know they are neither.
    """
    kind = float(torch.rand((), generator=generator))
    classes, y = pile.y.unique(return_inverse=True)
    if kind < CLOSER:
        left = LEAST_APART + (1 - LEAST_APART) * float(torch.rand((), generator=generator))
        centres = compute_prototypes(pile.x, y, len(classes))
        x = pile.x - (1 - left) * (centres[y] - centres.mean(0))
        unit = abs(float(pile.x[0].norm()) - 1) < UNIT
        return replace(pile, x=F.normalize(x, dim=-1) if unit else x)
    if kind < CLOSER + MERGED and len(classes) >= LEAST_CLASSES:
        of = _merge(len(classes), generator)
        names = None if pile.names is None else compute_prototypes(pile.names[classes], of, int(of.max()) + 1)
        return replace(pile, y=of[y], names=names)
    return pile


def _merge(classes: int, generator: torch.Generator) -> Tensor:
    """Return which of fewer classes each is part of, two or three at a time."""
    size = 2 + int(torch.randint(2, (1,), generator=generator))
    of = torch.empty(classes, dtype=torch.long)
    of[torch.randperm(classes, generator=generator)] = torch.arange(classes) // size
    return of
