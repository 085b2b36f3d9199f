"""How frequent each label is among unlabelled examples, from a classifier's probabilities.

M. Saerens, P. Latinne, C. Decaestecker. Adjusting the outputs of a classifier to new a priori probabilities: a simple
procedure. Neural Computation 14, 2002.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

STEPS = 200  # of the fixed-point iteration, at most
CLOSE = 1e-5  # a smaller change of every proportion ends it
RESAMPLED = 200  # bootstrap samples behind the interval


@dataclass(frozen=True)
class LabelShift:
    """Label proportions [N] of old and new examples, and the 95 % interval [N] of new minus old."""

    before: Tensor
    after: Tensor
    low: Tensor
    high: Tensor


@torch.no_grad()
def proportions(p: Tensor, counts: Tensor | None = None) -> Tensor:
    """Return how frequent labels are, by expectation maximisation; a label that never comes has about 0.

        q_c  <-  mean over examples of  p_c q_c / sum_d p_d q_d

    from even q on: the supports that classifiers are adapted from are even.

    Args:
        p: probabilities [n, N].
        counts: how often each example counts, [B, n] for B answers at once; None: once.

    Returns:
        [N], or [B, N].
    """
    p = p.double().clamp_min(1e-12)
    weights = torch.ones(1, len(p), dtype=p.dtype) if counts is None else counts.double()
    weights = weights / weights.sum(1, keepdim=True)
    q = torch.full((len(weights), p.shape[1]), 1 / p.shape[1], dtype=p.dtype)
    for _ in range(STEPS):
        before = q
        q = q * ((weights / (q @ p.T)) @ p)
        q = q / q.sum(1, keepdim=True)
        if (q - before).abs().max() < CLOSE:
            break
    return q[0].float() if counts is None else q.float()


@torch.no_grad()
def label_shift(new: Tensor, old: Tensor, generator: torch.Generator) -> LabelShift:
    """Compare the label proportions of two sets by one classifier's probabilities [n, N] and [m, N].

    Errors of the classifier that are the same on both sides are in both estimates and leave the difference alone as a
    rule; the interval is of the difference, by resampling both sides.
    """
    samples = []
    for p in (new, old):
        rows = torch.randint(len(p), (RESAMPLED, len(p)), generator=generator)
        counts = torch.zeros(RESAMPLED, len(p)).scatter_add_(1, rows, torch.ones(RESAMPLED, len(p)))
        samples.append(proportions(p, counts))
    low, high = torch.quantile(samples[0] - samples[1], torch.tensor([0.025, 0.975]), dim=0)
    return LabelShift(proportions(old), proportions(new), low, high)
