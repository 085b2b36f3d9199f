"""What a model needs to tell that an example is of none of its classes."""

import numpy as np
import torch

from learners.folds import sample_rows
from learners.shift.typicality import FEWEST, ClassDistance, Typicality
from tasks.adapt.adaptation import Encoded
from tasks.adapt.class_frequencies import at_pool_frequencies
from tasks.adapt.trials import OURS, Trial

MOST = 10_000  # labelled examples that distances are fitted to


def fit_typicality(trial: Trial, data: Encoded) -> Typicality | None:
    """Return what new examples are held against, by the scored examples, of which no model saw those it is asked about.

    None of a market, and where the model reads no features, or fewer than FEWEST examples are scored.
    """
    columns = columns_read(trial, data)
    if not columns or len(data.scored_y) < FEWEST:
        return None
    x, y = data.labelled.x, data.labelled.y

    def fit(rows: torch.Tensor) -> ClassDistance:
        kept = rows[sample_rows(y[rows], MOST, torch.Generator().manual_seed(0))]
        return ClassDistance.fit(x[kept], y[kept], columns)

    distance = fit(trial.support)
    if data.fold is None:
        distances = distance(data.test_x)
    else:
        distances = torch.zeros(len(y))
        for number in range(int(data.fold.max()) + 1):
            out = data.fold == number
            distances[out] = fit((~out).nonzero()[:, 0])(x[out])
        distances = distances[data.scored_rows]
    p = at_pool_frequencies(trial.probabilities[OURS].double().numpy(), trial.classifier.shift)
    return Typicality.of(distance, distances, torch.from_numpy(p).max(1).values)


def columns_read(trial: Trial, data: Encoded) -> list[tuple[int, int]]:
    """Return where the features lie of each encoder that the model reads, those of its last layer."""
    ends = np.cumsum([spec.dim for spec in data.encoders]).tolist()
    return [
        (end - spec.dim, end - spec.dim + (spec.last or spec.dim))
        for spec, end in zip(data.encoders, ends, strict=True)
        if not spec.opinions and trial.classifier.reads(end - spec.dim, end)
    ]
