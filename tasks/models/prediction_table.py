"""What a model says of new examples: a label, how sure it is, what else it may be, and when to ask a person."""

import numpy as np
import pandas as pd
import torch

from learners.choice.conformal import COVERAGE, PredictionSets
from learners.classifier import Classifier

BETWEEN = "|"  # labels of a set
ASK = "ask a person"
EVEN = 0.5  # a label less probable than this is more likely wrong than right


def prediction_table(model: Classifier, p: np.ndarray) -> pd.DataFrame:
    """Return a row an example: ``label``, ``probability``, ``set`` and ``ask``.

    ``set`` holds the true label of 90 % of new examples, its labels in the order of their probability; it is empty for
    a model without a threshold. ``ask`` is ASK or empty, see :func:`needs_person`.

    Args:
        p: calibrated probabilities [n, N] by the model.
    """
    labels, best = np.asarray(model.labels, dtype=object), p.argmax(1)
    frame = pd.DataFrame({"label": labels[best], "probability": np.round(p[np.arange(len(p)), best], 4)})
    inside = prediction_sets(model, p)
    if inside is None:
        frame["set"] = ""
    else:
        order = np.argsort(-p, axis=1, kind="stable")
        frame["set"] = [
            BETWEEN.join(labels[i] for i in row if within[i]) for row, within in zip(order, inside, strict=True)
        ]
    frame["ask"] = np.where(needs_person(p, inside), ASK, "")
    return frame


def prediction_sets(model: Classifier, p: np.ndarray) -> np.ndarray | None:
    """Return whether each label is in the set of each example [n, N]; None for a model without a threshold."""
    if model.threshold is None:
        return None
    return PredictionSets(model.threshold).sets(torch.from_numpy(p)).numpy()


def needs_person(p: np.ndarray, inside: np.ndarray | None) -> np.ndarray:
    """Return which examples a person should decide [n].

    Those whose set has more than one label, or whose label is more likely wrong than right. Without sets, those whose
    label is less probable than the coverage that sets would have.

    Args:
        p: probabilities [n, N]; inside: the sets [n, N], or None.
    """
    if inside is None:
        return p.max(1) < COVERAGE
    return (inside.sum(1) > 1) | (p.max(1) < EVEN)
