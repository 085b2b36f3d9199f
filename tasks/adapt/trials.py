"""Trials: the portfolio and every method adapted to the same labels, and what they say of examples held out."""

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from domains.errors import UserError
from learners import baselines
from learners.base import Learner, unable
from learners.choice.all_labels import adapt_to_all_labels
from learners.choice.fallback import PROBE
from learners.choice.portfolio import Choice, choose
from learners.classifier import Classifier
from learners.examples import Examples
from learners.meta_model import MetaModel
from learners.plain.tuned_logistic import TunedLogistic
from learners.representation.sharing import share_results
from learners.support import Support
from tasks.adapt.adaptation import AUTO, Adaptation, Encoded, support_of
from tasks.adapt.class_frequencies import frequency_weights

OURS = "acclimate"
FLOOR = TunedLogistic.name  # what the gate asks a model not to be below
COMPARED = 1_000_000  # labelled examples times classes, up to which all methods are compared: 20 seconds or so


@dataclass(frozen=True)
class Trial:
    """What was adapted to one support set: the challenger, if it is the first, and the methods beside it.

    Attributes:
        probabilities: by method, of the scored examples [m, N], by models that were fitted without them.
        classifier: the portfolio's, fitted to the whole support set.
        support: [S] rows of the support set among the domain's labelled examples.
        weights: [m] of the scored examples, under which their classes are as frequent as in the pool; None where the
            pool shows no other frequencies than the labels.
        left_out: the methods that cannot adapt to the support set, each with the reason.
    """

    probabilities: Mapping[str, Tensor]
    strategy: str
    classifier: Classifier
    expected_gain: Mapping[str, float]
    seconds: float
    support: Tensor
    weights: np.ndarray | None = None
    left_out: Mapping[str, str] = field(default_factory=dict)


def run_trial(model: MetaModel, data: Encoded, how: Adaptation, number: int) -> Trial:
    """Return what is adapted to one support set and scored on examples that it lacks.

    These are the test examples or, where ``data.fold`` says so, all labelled examples, each scored by what was adapted
    to the other folds; the challenger is adapted to all of them. Where all labels are more than ``COMPARED`` allows,
    the portfolio is compared with logistic regression alone: the gate asks for it.

    Raises:
        UserError: the support set cannot be adapted to, or not by the method that is asked for.
    """
    if data.fold is not None:
        return _cross_fit(model, data, how)
    rows, generator = support_of(data, how, number)
    support = data.support(rows)
    choice, seconds = _choose(model, data, support, how, generator, f"support draw {number}")
    probabilities, left_out = _held_out(model, support, choice, data.scored, how)
    return _trial(data, choice, seconds, support, rows, probabilities, left_out)


def _cross_fit(model: MetaModel, data: Encoded, how: Adaptation) -> Trial:
    """Return the trial of all labelled examples, train and test, with the choice made anew without each fold."""
    assert data.fold is not None
    labelled = data.labelled
    found: dict[str, Tensor] = {}
    left_out: dict[str, str] = {}
    for out, rest, choice in choose_by_fold(model, data, labelled, how):
        probabilities, reasons = _held_out(model, rest, choice, data.examples[out], how)
        left_out |= reasons
        for name, p in probabilities.items():
            found.setdefault(name, torch.zeros(len(out), labelled.ways, dtype=p.dtype))[out] = p
    rows, generator = torch.arange(len(labelled.y)), torch.Generator().manual_seed(how.seed * 1000)
    choice, seconds = _choose(model, data, labelled, how, generator, "all labelled examples")
    probabilities = {name: p[data.fold >= 0] for name, p in found.items() if name not in left_out}
    return _trial(data, choice, seconds, labelled, rows, probabilities, left_out)


def choose_by_fold(
    model: MetaModel, data: Encoded, labelled: Support, how: Adaptation, fitted: Tensor | None = None
) -> Iterator[tuple[Tensor, Support, Choice]]:
    """Yield, of each fold, which examples it has [n], the others, and what the portfolio makes of these others.

    Args:
        labelled: the n labelled examples of the data, train and then test, with the labels to adapt to.
        fitted: [n], whether an example may be adapted to; None: all may.

    Raises:
        UserError: as ``run_trial``.
    """
    assert data.fold is not None
    for number in range(int(data.fold.max()) + 1):
        out, generator = data.fold == number, torch.Generator().manual_seed(how.seed * 1000 + number)
        rest = labelled.select(~out if fitted is None else ~out & fitted)
        choice, _ = _choose(model, data, rest, how, generator, f"fold {number}")
        yield out, rest, choice


def _trial(
    data: Encoded,
    choice: Choice,
    seconds: float,
    support: Support,
    rows: Tensor,
    probabilities: Mapping[str, Tensor],
    left_out: Mapping[str, str],
) -> Trial:
    weights = frequency_weights(choice.classifier.shift, support.y, data.scored_y)
    classifier = choice.classifier.with_labels(data.labels)
    return Trial(probabilities, choice.strategy, classifier, choice.expected_gain, seconds, rows, weights, left_out)


def _choose(
    model: MetaModel, data: Encoded, support: Support, how: Adaptation, generator: torch.Generator, where: str
) -> tuple[Choice, float]:
    """Return the portfolio's choice and the seconds it took."""
    only = None if how.method == AUTO else how.method
    if only is not None and (reason := unable(_methods(model)[only], support.of_encoder(0))):
        raise UserError(f"method {only} cannot adapt to this domain: {reason}; take another, or {AUTO}")
    started = time.perf_counter()
    try:
        given = support, model.prior, generator, only, model.in_time, how.objective, data.others
        choice = choose(model.strategies, *given)
    except ValueError as error:  # of the support: it names the value and the limit
        raise UserError(f"{where}: {error}; look at the labelled examples of the domain") from error
    return choice, time.perf_counter() - started


def _methods(model: MetaModel) -> dict[str, Learner]:
    return baselines(model.dim, model.last) | model.strategies


def _held_out(
    model: MetaModel, support: Support, choice: Choice, examples: Tensor | Examples, how: Adaptation
) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Return the probabilities of examples by method, the portfolio's first, and the methods left out with reasons.

    The other methods read the features of the first encoder.
    """
    methods, first = _methods(model), support.of_encoder(0)
    left_out = {name: reason for name, learner in methods.items() if (reason := unable(learner, first))}
    probabilities = {OURS: choice.classifier.predict_proba(examples)}
    if how.k is None and len(support.y) * support.ways > COMPARED:
        left_out["the comparison with other methods"] = (
            f"{len(support.y):,} labelled examples times {support.ways:,} classes are more than the {COMPARED:,} "
            "up to which it is made"
        )
        methods = {name: methods[name] for name in (PROBE, FLOOR) if name in methods}
    x = examples.x if isinstance(examples, Examples) else examples
    with share_results():
        for name, learner in methods.items():
            if name not in left_out:
                probabilities[name] = first.reading(adapt_to_all_labels(learner, first)).predict_proba(x)
    return probabilities, left_out
