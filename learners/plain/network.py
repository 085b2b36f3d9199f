"""A small network on the vectors of an encoder: with hundreds of labels it finds what no linear map can say."""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from learners.classifier import Affine, Classifier
from learners.optimisers import AdamW
from learners.support import Support

FEWEST, MOST_WAYS = 400, 200  # examples from which, and labels up to which, it is worth its time
HIDDEN, BATCH, PASSES, MOST_STEPS = 256, 128, 15, 1000
RATE, DECAY, DROPOUT, SMOOTHING = 3e-3, 1e-2, 0.3, 0.05


def is_worth_training(support: Support) -> bool:
    """Whether the labels are many enough for a network, and few enough to be quick."""
    return len(support.y) >= FEWEST and support.ways <= MOST_WAYS


def train(x: Tensor, y: Tensor, ways: int) -> Classifier:
    """Return a network D-256-N with ReLU of features [S, D] and labels [S].

    AdamW on batches of 128, the rate falling to 0 over 15 passes or 1,000 steps, with dropout of 0.3 before both maps
    (N. Srivastava et al. JMLR 15, 2014. https://jmlr.org/papers/v15/srivastava14a.html), and labels smoothed by 0.05.
    """
    draw = torch.Generator().manual_seed(0)
    scale = x.std(0).mean().clamp_min(1e-6)
    steps = min(PASSES * -(-len(x) // BATCH), MOST_STEPS)
    with torch.random.fork_rng(), torch.enable_grad():
        torch.manual_seed(0)  # of the start and of dropout, which draw from the global generator only
        first, last = nn.Linear(x.shape[1], HIDDEN), nn.Linear(HIDDEN, ways)
        optimiser = AdamW([*first.parameters(), *last.parameters()], lr=RATE, weight_decay=DECAY)
        batches: Iterator[Tensor] = iter(())
        for step in range(steps):
            if (rows := next(batches, None)) is None:
                batches = iter(torch.randperm(len(x), generator=draw).split(BATCH))
                rows = next(batches)
            optimiser.param_groups[0]["lr"] = RATE * (1 - step / steps)
            optimiser.zero_grad()
            inner = F.relu(first(F.dropout(x[rows] / scale, DROPOUT)))
            loss = F.cross_entropy(last(F.dropout(inner, DROPOUT)), y[rows], label_smoothing=SMOOTHING)
            loss.backward()
            optimiser.step()
    inside, outside = (Affine(m.weight.detach(), m.bias.detach()) for m in (first, last))
    return Classifier((Affine(inside.weight / scale, inside.bias), "relu", outside))


def cross_fit_network(support: Support, fold: Tensor) -> tuple[Tensor, Callable[[], Classifier]]:
    """Return held-out logits [H, N] of the H examples that have a fold, and what trains a network on the support set.

    Args:
        support: labels 0..N-1 that all have an example; fold: [S], -1 being none.
    """
    x, y, ways = support.x, support.y, support.ways
    held_out = x.new_zeros(len(y), ways)
    with torch.no_grad():
        for number in range(int(fold.max()) + 1):
            out = fold == number
            held_out[out] = train(x[~out], y[~out], ways).logits(x[out])
    return held_out[fold >= 0], lambda: train(x, y, ways)
