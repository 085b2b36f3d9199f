"""How the new texts or images of a domain differ from those that its champion was adapted on."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from domains.domain import Domain, Split
from domains.errors import UserError
from domains.new_examples import Reading, read_examples
from domains.reading.text_encodings import OR_SAY
from domains.words import and_more
from learners.classifier import Classifier
from learners.shift.drift import FEWEST, MOST, distances_to_nearest, draw_rows, drift_test
from learners.shift.label_shift import LabelShift, label_shift
from tasks.base.artifacts import shorten
from tasks.base.progress import say
from tasks.base.settings import Settings
from tasks.drift.accuracy import accuracy_in_service
from tasks.drift.cases import ALL, DriftCase, DriftResult, domain_adapted_on, drift_result, has_same_data
from tasks.features.encoding import encode, view_for
from tasks.features.store import key_of
from tasks.models.lookup import input_of
from tasks.predict.records import last_scored
from tasks.versions.snapshots import snapshot

POOL_ALONE = 100  # so many old examples of the pool are enough alone: labelled ones are chosen, evenly by class
FARTHEST = 5  # new examples that are shown


@dataclass(frozen=True)
class Examples:
    """New examples [n] and old ones [m], no two equal, and how many of the new were ``known`` before.

    ``before`` is the domain as the champion was adapted on it; ``inputs`` are what was predicted last, where the new
    ones are of these.
    """

    before: Domain
    new: list[Any]
    old: list[Any]
    known: int = 0
    inputs: tuple[str, ...] = ()


def read_new_and_old(settings: Settings, case: DriftCase) -> Examples:
    """Return the texts or images that the champion has not seen, and those that it was adapted on.

    New are those of a file; else those of the revision; where it has none, those that were predicted last.

    Raises:
        UserError: as :func:`domain_adapted_on`; the file cannot be read.
    """
    before = domain_adapted_on(settings, case)
    known = {key_of(example) for split in ALL for example in full_examples(before, split)}
    inputs: list[str] = []
    if case.file is not None:
        columns = () if case.column is None else (case.column,)
        try:
            given = read_examples(before.family, case.file, Reading.of_domain(before, columns))
            now: Sequence[Any] = given.examples
        except UserError as error:
            raise UserError(str(error).removesuffix(OR_SAY)) from error
        for doubt in given.warnings:
            say(f"warning: {case.file}: {doubt.removesuffix(OR_SAY)}")
    else:
        now = [] if has_same_data(case) else examples_at(settings, case)
        if all(key_of(example) in known for example in now):
            now, inputs = last_scored(settings, case.domain, MOST)
    distinct = {key_of(example): example for example in now}
    new = [example for key, example in distinct.items() if key not in known]
    old = full_examples(before, "pool")
    if len(old) < POOL_ALONE:
        old += full_examples(before, "train")
    old = list({key_of(example): example for example in old}.values())
    return Examples(before, new, old, len(now) - len(new), tuple(inputs))


def examples_at(settings: Settings, case: DriftCase) -> list[Any]:
    """Return the texts or images of pool and train at the revision of a case."""
    here = snapshot(settings.root_path, settings.home_path, case.domain, case.revision)
    return [*full_examples(here, "pool"), *full_examples(here, "train")]


def full_examples(domain: Domain, split: Split) -> list[Any]:
    """Return the examples of a shard that are not empty."""
    found = domain.column(split) if domain.has(split) else []
    return [example for example in found if example and (isinstance(example, bytes) or example.strip())]


@dataclass(frozen=True)
class ExampleComparison:
    """The outcome, and the farthest examples themselves, which a report shows."""

    result: DriftResult
    farthest: tuple[Any, ...] = ()


def compare_examples(settings: Settings, case: DriftCase) -> ExampleComparison:
    """Test the new texts or images of a domain against those its champion was adapted on.

    Raises:
        UserError: as :func:`read_new_and_old`; the champion reads another encoder's features; a file has too few new
            ones.
    """
    reads = input_of(case.champion)
    found = read_new_and_old(settings, case)
    sizes: dict[str, Any] = {"new": len(found.new), "old": len(found.old), "inputs": list(found.inputs)}
    if not found.new and case.file is None:
        what = "nothing" if has_same_data(case) else "no example is"
        return ExampleComparison(
            drift_result(case, "nothing new", f"{what} new since the champion was adapted", **sizes)
        )
    if len(found.new) < FEWEST:
        few = f"{len(found.new)} new example{'' if len(found.new) == 1 else 's'}, {FEWEST} are needed to tell"
        if case.file is not None:
            beside = f" ({found.known} more are equal to others or known to the champion)" if found.known else ""
            raise UserError(f"{case.file}: {few}{beside}; add more")
        return ExampleComparison(drift_result(case, "too few", few, **sizes))
    if len(found.old) < FEWEST:
        few = f"the champion was adapted on {len(found.old)} examples, {FEWEST} are needed to tell"
        return ExampleComparison(drift_result(case, "too few", few, **sizes))
    generator = torch.Generator().manual_seed(settings.seed)
    new, old = ([some[i] for i in draw_rows(len(some), generator).tolist()] for some in (found.new, found.old))
    model = Classifier.load(case.champion.folder).in_use()
    x = encode(settings, reads.family, [*new, *old], encoders=reads.encoders, reader=model)
    new_p, old_p = model.predict_proba(view_for(model, x, [*new, *old])).split([len(new), len(old)])
    new_x, old_x = x[:, : reads.encoders[0].last or reads.encoders[0].dim].split([len(new), len(old)])
    test = drift_test(new_x, old_x, new_p, old_p, case.alpha, generator)
    shift = label_shift(new_p, old_p, generator)
    far = distances_to_nearest(new_x, old_x)
    rows = far.argsort(descending=True)[:FARTHEST].tolist()
    changed = label_changes(model.labels, shift) if test.labels.p <= case.alpha / 2 else []
    accuracy = accuracy_in_service(case.champion, found.before, x[: len(new)], new_p)
    result = drift_result(
        case,
        "drift" if test.found else "no drift",
        outcome_in_words(test.found, test.p, len(found.new), changed, found.inputs),
        **sizes,
        accuracy=None if accuracy is None else round(accuracy.accuracy, 4),
        accuracy_interval=None if accuracy is None else (round(accuracy.low, 4), round(accuracy.high, 4)),
        accuracy_before=None if accuracy is None else round(accuracy.before, 4),
        p=test.p,
        features_p=test.features.p,
        labels_p=test.labels.p,
        statistic=test.features.statistic,
        threshold=test.features.threshold,
        before=shares_by_label(model.labels, shift.before),
        after=shares_by_label(model.labels, shift.after),
        interval={
            label: (round(float(low), 4), round(float(high), 4))
            for label, low, high in zip(model.labels, shift.low, shift.high, strict=True)
        },
        farthest=[(example_text(new[row]), round(float(far[row]), 4)) for row in rows],
    )
    return ExampleComparison(result, tuple(new[row] for row in rows))


def outcome_in_words(found: bool, p: float, new: int, changed: Sequence[str], inputs: Sequence[str] = ()) -> str:
    """Return an outcome in words: how sure, of how many examples (of inputs that were predicted), what changed."""
    sure = "p < 0.001" if p < 0.001 else f"p = {p:.2g}"
    of = f"{new:,} new examples" + (f" of {inputs[0]}{and_more(len(inputs), 1)}, predicted last" if inputs else "")
    if not found:
        return f"no drift ({sure}, {of})"
    how = f"other labels: {', '.join(changed)}" if changed else "the examples are of another kind"
    return f"drift ({sure}, {of}): {how}"


def label_changes(labels: Sequence[str], shift: LabelShift, most: int = 3) -> list[str]:
    """Return the labels whose share changed most, of those whose interval leaves out 0, with both shares in percent."""
    apart = (shift.after - shift.before).abs()
    sure = [i for i in apart.argsort(descending=True).tolist() if shift.low[i] > 0 or shift.high[i] < 0]
    return [f"{labels[i]} {100 * shift.before[i]:.0f} to {100 * shift.after[i]:.0f} %" for i in sure[:most]]


def shares_by_label(labels: Sequence[str], shares: Tensor) -> dict[str, float]:
    """Return shares [N] by label, rounded for a report."""
    return {label: round(float(share), 4) for label, share in zip(labels, shares, strict=True)}


def example_text(example: Any) -> str:
    """Return an example as a report names it: the text, or the size of an image."""
    return shorten(example, 160) if isinstance(example, str) else f"image of {len(example):,} bytes"
