"""Adapt to a support set that may lack examples of some of the domain's labels."""

from dataclasses import replace

import torch

from learners.base import ABSENT, Learner
from learners.classifier import Affine, Classifier
from learners.support import Support


def adapt_to_all_labels(learner: Learner, support: Support, temperature: float = 1.0) -> Classifier:
    """Adapt one learner; a label without an example gets a row of its own that is never preferred.

    Its logit is the mean of the others' plus ABSENT at any temperature, and so far below the largest wherever x lies.

    Raises:
        ValueError: see ``check_support``.
    """
    if learner.ways is not None:
        return learner.adapt(support).with_temperature(temperature)
    present, compact = support.compact()
    classifier = learner.adapt(compact).with_temperature(temperature)
    if len(present) == support.ways:
        return classifier
    x = support.x
    own = torch.eye(len(present), dtype=x.dtype, device=x.device)
    rows = x.new_full((support.ways, len(present)), 1 / len(present)).index_copy(0, present, own)
    bias = x.new_full((support.ways,), ABSENT * temperature).index_fill(0, present, 0)
    return replace(classifier, layers=(*classifier.layers, Affine(rows, bias)))
