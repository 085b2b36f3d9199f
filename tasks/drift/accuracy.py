"""The accuracy of a champion on examples that nobody has labelled."""

import numpy as np
from torch import Tensor

from domains.domain import Domain
from domains.same_example import content_keys
from learners.classifier import Classifier
from learners.shift.accuracy_estimate import AccuracyEstimate, Evidence, estimate_accuracy
from learners.shift.typicality import Typicality
from tasks.adapt.class_frequencies import at_pool_frequencies
from tasks.adapt.held_out import HeldOut
from tasks.models.registry import Registered


def accuracy_in_service(champion: Registered, before: Domain, x: Tensor, p: Tensor) -> AccuracyEstimate | None:
    """Estimate the accuracy on new examples; None where the champion keeps too little for it.

    Args:
        before: the domain as the champion was adapted on it; x: [n, D] features of the new examples by all of its
            encoders; p: [n, N] what it says of them in use.
    """
    record, typicality = HeldOut.read(champion.folder), Typicality.load(champion.folder)
    if record is None or typicality is None or not len(record.keys):
        return None
    model = Classifier.load(champion.folder)
    y, known = labels_of(record.keys, before, model.labels)
    if not known.any():
        return None
    old = at_pool_frequencies(record.ours, model.shift)
    named = model.name(old)
    right, sure = named == y, old[np.arange(len(old)), named]
    new, typical = p.double().numpy(), typicality(x, p).numpy()
    sure_now = new[np.arange(len(new)), model.name(new)]
    return estimate_accuracy(Evidence.of(right[known], sure[known], sure_now, typical, record.weights[known]))


def labels_of(keys: np.ndarray, domain: Domain, labels: tuple[str, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Return the labels [m] of examples by their content, as the model counts them, and of which there is one [m]."""
    places = {label: i for i, label in enumerate(labels)}
    found: dict[int, int] = {}
    for split in ("train", "test"):
        if domain.has(split):
            y = [places.get(domain.labels[i], -1) for i in domain.targets(split)]
            found |= dict(zip(content_keys(domain.column(split)).tolist(), y, strict=True))
    y = np.array([found.get(key, -1) for key in keys.tolist()])
    return y, y >= 0
