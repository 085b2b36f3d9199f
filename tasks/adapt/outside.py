"""What a model needs to tell that an example is of none of its classes."""

import numpy as np
import torch

from learners.classifier import Classifier
from learners.folds import sample_rows
from learners.shift.typicality import FEWEST, ClassDistance, Columns, Typicality
from tasks.adapt.adaptation import Encoded
from tasks.adapt.class_frequencies import at_pool_frequencies
from tasks.adapt.trials import OURS, Trial

MOST = 10_000  # labelled examples that distances are fitted to
WIDEST = 1536  # features that distances read: a covariance takes their square in memory, and their cube in time


def typicality_of(trial: Trial, data: Encoded) -> Typicality | None:
    """Return what new examples are held against that a trial's model predicts; None as ``fit_typicality``."""
    p = at_pool_frequencies(trial.probabilities[OURS].double().numpy(), trial.classifier.shift)
    return fit_typicality(data, p, trial.support, columns_read(data, trial.classifier))


def fit_typicality(data: Encoded, p: np.ndarray, fitted: torch.Tensor, columns: list[Columns]) -> Typicality | None:
    """Return what new examples are held against: the scored ones, each by what was fitted without it.

    None where there are no columns, as of a market, or fewer than FEWEST examples are scored.

    Args:
        p: [m, N] held-out probabilities of the scored examples; fitted: rows of the labelled examples that distances
            are fitted to; columns: that they read.
    """
    if not columns or len(data.scored_y) < FEWEST:
        return None
    x, y = data.labelled.x, data.labelled.y

    def fit(rows: torch.Tensor) -> ClassDistance:
        kept = rows[sample_rows(y[rows], MOST, torch.Generator().manual_seed(0))]
        return ClassDistance.fit(x[kept], y[kept], columns)

    distance = fit(fitted)
    if data.fold is None:
        distances = distance(data.test_x)
    else:
        distances = torch.zeros(len(y))
        for number in range(int(data.fold.max()) + 1):
            out = data.fold == number
            distances[out] = fit((~out).nonzero()[:, 0])(x[out])
        distances = distances[data.scored_rows]
    return Typicality.of(distance, distances, torch.from_numpy(p).max(1).values)


def columns_read(data: Encoded, model: Classifier | None = None) -> list[Columns]:
    """Return where the features lie of each encoder, of its last layer, or of those alone that a model reads.

    Of several that are wider than WIDEST together, the first ones.
    """
    columns: list[Columns] = []
    start, width = 0, 0
    for spec in data.encoders:
        used = spec.last or spec.dim
        read = not spec.opinions and (model is None or model.reads(start, start + spec.dim))
        if read and (not columns or width + used <= WIDEST):
            columns.append((start, start + used))
            width += used
        start += spec.dim
    return columns
