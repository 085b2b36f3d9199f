"""What a model says of new examples: a label, how sure it is, what else it may be, and when to ask a person."""

import json

import numpy as np
import pandas as pd
import torch

from learners.choice.conformal import COVERAGE, PredictionSets
from learners.classifier import Classifier
from learners.shift.typicality import OUTSIDE

COLUMNS = ("label", "probability", "set", "ask")
TYPICAL = ("outside", "typical")
BETWEEN = "|"  # labels of a set
ASK = "ask a person"
EVEN = 0.5  # a label less probable than this is more likely wrong than right


def prediction_table(model: Classifier, p: np.ndarray, typical: np.ndarray | None = None) -> pd.DataFrame:
    """Return a row an example: ``label``, ``probability``, ``set`` and ``ask``; ``outside`` and ``typical`` if known.

    ``set`` holds the true label of 90 % of new examples, its labels in the order of their probability, with ``|``
    between them, or as a JSON list if any label of the model holds a ``|``; it is empty for a model without a
    threshold. ``ask`` is ASK or empty, see :func:`needs_person`; what is outside is asked about too.

    Args:
        p: calibrated probabilities [n, N] by the model.
        typical: p-values [n] of ``learners.shift.typicality``; None: the model does not know what lies outside.
    """
    labels, best = np.asarray(model.labels, dtype=object), model.name(p)
    frame = pd.DataFrame({"label": labels[best], "probability": np.round(p[np.arange(len(p)), best], 4)})
    inside = prediction_sets(model, p, best)
    if inside is None:
        frame["set"] = ""
    else:
        order = np.argsort(-p, axis=1, kind="stable")
        write = as_json if any(BETWEEN in label for label in model.labels) else BETWEEN.join
        frame["set"] = [write([labels[i] for i in row if within[i]]) for row, within in zip(order, inside, strict=True)]
    outside = np.zeros(len(p), bool) if typical is None else typical < OUTSIDE
    frame["ask"] = np.where(needs_person(p, inside, best) | outside, ASK, "")
    if typical is not None:
        frame["outside"], frame["typical"] = outside, np.round(typical, 4)
    return frame


def as_json(labels: list[str]) -> str:
    return json.dumps(labels, ensure_ascii=False)


def prediction_sets(model: Classifier, p: np.ndarray, named: np.ndarray) -> np.ndarray | None:
    """Return whether each label is in the set of each example [n, N]; None for a model without a threshold.

    The label that the model names [n] always is.
    """
    if model.threshold is None:
        return None
    inside = PredictionSets(model.threshold).sets(torch.from_numpy(p)).numpy()
    inside[np.arange(len(p)), named] = True
    return inside


def needs_person(p: np.ndarray, inside: np.ndarray | None, named: np.ndarray) -> np.ndarray:
    """Return which examples a person should decide [n].

    Those whose set has more than one label, or whose label is more likely wrong than right. Without sets, those whose
    label is less probable than the coverage that sets would have.

    Args:
        p: probabilities [n, N]; inside: the sets [n, N], or None; named: the labels that the model names [n].
    """
    sure = p[np.arange(len(p)), named]
    return sure < COVERAGE if inside is None else (inside.sum(1) > 1) | (sure < EVEN)
