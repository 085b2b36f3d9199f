"""Adapt to a support set that may lack examples of some of the domain's labels."""

from dataclasses import replace

import torch
from torch import Tensor

from learners.base import ABSENT, Learner
from learners.classifier import Affine, Classifier
from learners.support import Support


def adapt_to_all_labels(learner: Learner, support: Support, temperature: float = 1.0) -> Classifier:
    """Adapt one learner; a label without an example gets a row of its own that is never preferred.

    Raises:
        ValueError: see ``check_support``.
    """
    if learner.ways is not None:
        return learner.adapt(support).with_temperature(temperature)
    present, compact = support.compact()
    return extend_to_all_labels(learner.adapt(compact).with_temperature(temperature), present, support.ways)


def extend_to_all_labels(classifier: Classifier, present: Tensor, ways: int) -> Classifier:
    """Return a classifier of all labels [N], made from one of those that are present [C].

    The logit of another label is the mean of the present ones' plus ABSENT at any temperature, and so far below the
    largest wherever x lies.
    """
    if len(present) == ways:
        return classifier
    at = present.device
    own = torch.eye(len(present), device=at)
    rows = torch.full((ways, len(present)), 1 / len(present), device=at).index_copy(0, present, own)
    bias = torch.full((ways,), ABSENT * classifier.temperature, device=at).index_fill(0, present, 0)
    return replace(classifier, layers=(*classifier.layers, Affine(rows, bias)))


def put_absent_away(classifier: Classifier, present: Tensor) -> Classifier:
    """Return a classifier whose logits of the labels that are not ``present`` [C] are lower by ABSENT times T."""
    ways = classifier.ways
    if len(present) == ways:
        return classifier
    bias = torch.full((ways,), ABSENT * classifier.temperature).index_fill(0, present, 0)
    return replace(classifier, layers=(*classifier.layers, Affine(torch.eye(ways), bias)))
