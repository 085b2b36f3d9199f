"""Understand the examples of an input: their labels, copies and split, and every warning about them."""

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from domains.domain import EXAMPLE_COLUMN
from domains.errors import UserError
from domains.own.division import (
    POOL,
    SPLITS,
    TEST,
    TRAIN,
    Division,
    divide_as_given,
    divide_by_class,
    divide_by_group,
    divide_by_time,
)
from domains.own.labels import name_classes, refuse_numbers, sort_labels
from domains.own.new_domain import NewDomain, Row
from domains.own.options import SEED, AddOptions
from domains.own.survey import EMPTY, GIVEN, Items, Survey, prepare_all, survey_items
from domains.same_example import content_key, find_copies
from domains.words import SHOWN, and_more, quantity, some

EXAMPLES = 4  # that are shown before anything is written
FEW = 10  # labelled examples of a class; fewer give a warning
SMALL_TEST = 30  # test examples in all; fewer give a warning
CONFLICTS = 3  # that are named
SPLIT_OF_SOURCE = "all labelled examples are train, as a source has no test, the unlabelled ones pool"


def understand(items: Items, options: AddOptions, advance: Callable[[int], None]) -> NewDomain:
    """Read all examples once, and return the domain that they make.

    Raises:
        UserError: there are no examples, fewer than two classes have labels, an image cannot be read, or no test can be
            made.
    """
    grouped, timed = "group" in items.columns, "time" in items.columns
    survey = survey_items(items, items.file, grouped, timed, advance)
    warnings = [*items.warnings, *warnings_of_reading(items, survey, options)]
    names, more = classes_of(items, survey, options)
    warnings += more
    labels = sort_labels({name for name in names.values() if name is not None})
    index = {label: i for i, label in enumerate(labels)}
    number = np.array([-1 if names[raw] is None else index[names[raw]] for raw in survey.labels] or [-1])  # type: ignore[index]
    y = np.where(survey.code >= 0, number[np.maximum(survey.code, 0)], -1)
    divided = options.role == "source" or is_divided(survey, y)
    keep, more = mark_kept(items, survey, y)
    warnings += more
    y, division, labels, more = divide_kept(items, options, survey, keep, y, labels)
    warnings += [*more, *division.warnings]
    counts = {split: int((division.split == i).sum()) for i, split in enumerate(SPLITS)}
    classes = {
        label: {
            split: int(((y == c) & (division.split == at)).sum()) for split, at in (("train", TRAIN), ("test", TEST))
        }
        for c, label in enumerate(labels)
    }
    warnings += warnings_of_size(classes, counts)
    rows = second_reading(items, survey, y, division.split)
    how: dict[str, Any] = {"by": "input"}
    if not divided:
        how = {"by": "time" if timed else "group" if grouped else "class", "share": options.share_of_test}
        how |= {"most_a_class": options.most_test} | ({} if timed else {"seed": SEED})
        how |= {"column": items.columns["time" if timed else "group"]} if timed or grouped else {}
    return NewDomain(
        items.family,
        items.kind,
        items.file,
        items.sha256(),
        items.columns,
        labels,
        {split: count for split, count in sorted(counts.items()) if count},
        classes,
        tuple(some_examples(rows, labels)),
        tuple(warnings),
        division.rule,
        how,
        rows,
        items.notes,
        options.role,
    )


def classes_of(items: Items, survey: Survey, options: AddOptions) -> tuple[dict[str, str | None], list[str]]:
    """Return the class of every label as it stands in the input (None: not labelled), and warnings.

    Raises:
        UserError: the labels are numbers that measure something, or something about them has to be said.
    """
    raw, column = labels_by_count(survey), items.columns.get("label")
    try:
        if column and not options.keep_labels:
            refuse_numbers(raw)
        names, warnings = name_classes(raw, options.label_rules)
    except UserError as error:
        at = f"column {', '.join([column] if isinstance(column, str) else column)}: " if column else ""
        raise UserError(f"{items.file}: {at}{error}") from error
    if isinstance(column, list) and (count := raw.get("", 0)):
        warnings.append(
            f"{quantity(count, 'example')} with 0 in all of {', '.join(column)}: taken as not labelled; if that is a "
            "class, add a column for it"
        )
    return names, warnings


def labels_by_count(survey: Survey) -> dict[str, int]:
    """Return how often every label stands at an example that can be used."""
    counts = np.bincount(survey.code[survey.code >= 0], minlength=len(survey.labels))
    return dict(zip(survey.labels, counts.tolist(), strict=True))


def warnings_of_reading(items: Items, survey: Survey, options: AddOptions) -> list[str]:
    """Return warnings of examples that are empty, cannot be read, or are changed.

    Raises:
        UserError: there are no examples, or one cannot be read and none may be left out.
    """
    if not len(survey.code):
        raise UserError(f"{items.file}: no examples in it")
    warnings = []
    if survey.faults:
        first = ", ".join(f"{items.where(i)} ({why})" for i, why in list(survey.faults.items())[:CONFLICTS])
        count = len(survey.faults)
        what = quantity(count, "unreadable image" if items.family == "vision" else "unreadable text")
        if not options.skip_unreadable:
            raise UserError(f"{items.file}: {what}: {first}; replace or remove it, or say --skip-unreadable")
        warnings.append(f"{what} left out: {first}")
    empty = np.flatnonzero(survey.code == EMPTY)
    if len(empty):
        warnings.append(f"{quantity(len(empty), 'empty text')} left out: {name_places(items, empty.tolist())}")
    for word, (count, first_at) in sorted(survey.changes.items()):
        noun = "image" if items.family == "vision" else "text"
        warnings.append(f"{quantity(count, noun)} {word}, the first is {items.where(first_at)}")
    if not (survey.code >= 0).any():
        raise UserError(f"{items.file}: no examples in it that can be used ({'; '.join(warnings)})")
    return warnings


def mark_kept(items: Items, survey: Survey, y: np.ndarray) -> tuple[np.ndarray, list[str]]:
    """Return which examples are kept [n], as ``domains/same_example.py`` has it, and warnings of the others."""
    rows, keep = np.flatnonzero(survey.code >= 0), np.zeros(len(y), bool)
    copies, warnings = find_copies(survey.key[rows], y[rows]), []
    keep[rows[copies.keep]] = True
    if copies.dropped:
        warnings.append(f"{quantity(copies.dropped, 'copy', 'copies')} of other examples left out")
    if groups := sorted(rows[list(group)].tolist() for group in copies.contradictions):
        named = "; ".join(name_places(items, group) for group in groups[:CONFLICTS])
        warnings.append(
            f"{quantity(len(groups), 'example')} with copies of another label, so all of them are left out: {named}"
            f"{and_more(len(groups), CONFLICTS)}"
        )
    return keep, warnings


def divide_kept(
    items: Items, options: AddOptions, survey: Survey, keep: np.ndarray, y: np.ndarray, labels: tuple[str, ...]
) -> tuple[np.ndarray, Division, tuple[str, ...], list[str]]:
    """Divide the examples that are kept. A class without an example in train is left out, with its test examples.

    Returns:
        y [n] (classes of kept labelled examples, else -1), the division of all n, the labels, and warnings.
    """
    rows, n = np.flatnonzero(keep), len(labels)
    present = np.unique(y[rows][y[rows] >= 0])
    if len(present) < 2:
        some = f" ({labels[present[0]]!r})" if len(present) else ""
        column = f" in column {items.columns['label']}" if "label" in items.columns else ""
        raise UserError(
            f"{items.file}: {quantity(len(present), 'label')}{column}{some} at examples that can be used; there must "
            "be two or more to tell apart"
        )
    at, share, most = y[rows], options.share_of_test, options.most_test
    if options.role == "source":
        options.refuse("a source, which has no test", "test_share", "test_most", "time_column", "group_column")
        part = Division(np.where(at < 0, POOL, TRAIN).astype(np.int8), SPLIT_OF_SOURCE)
    elif is_divided(survey, y):
        options.refuse("an input that has a test already", "test_share", "test_most", "time_column")
        part = divide_as_given(at, survey.split[rows], survey.group[rows] if len(survey.group) else None)
    elif "time" in items.columns:
        part = divide_by_time(at, survey.time[rows], n, share, most, str(items.columns["time"]))
    elif "group" in items.columns:
        part = divide_by_group(at, survey.group[rows], n, share, most, SEED, str(items.columns["group"]))
    else:
        part = divide_by_class(at, n, share, most, SEED)
    split = np.full(len(y), len(SPLITS), np.int8)
    split[rows] = part.split
    y = np.where(keep, y, -1)
    learned = np.unique(y[split == TRAIN])
    lost, warnings = [c for c in range(n) if c not in set(learned.tolist())], []
    for c in lost:
        gone = y == c
        split[gone & (split == TEST)] = len(SPLITS)
        warnings.append(
            f"class {labels[c]!r} has no example in train, so it is left out ({quantity(int(gone.sum()), 'example')})"
        )
    if len(learned) < 2:
        raise UserError(f"{items.file}: train has {len(learned)} classes after the split; choose another split")
    if options.role == "target" and not (split == TEST).any():
        raise UserError(f"{items.file}: no class has the two labelled examples that a test needs; label more")
    new = np.full(n + 1, -1)
    new[learned] = np.arange(len(learned))
    return new[y], Division(split, part.rule, part.warnings), tuple(labels[c] for c in learned), warnings


def is_divided(survey: Survey, y: np.ndarray) -> bool:
    """Whether the input has labelled examples [n] of its own test or validation, and of train."""
    given = {GIVEN[i] for i in np.unique(survey.split[y >= 0])}
    return "train" in given and bool(given & {"test", "validation"})


def warnings_of_size(classes: dict[str, dict[str, int]], counts: dict[str, int]) -> list[str]:
    """Return warnings of small classes and small tests."""
    few = {label: sum(of.values()) for label, of in classes.items() if sum(of.values()) < FEW}
    warnings = []
    if few:
        named = some([f"{label!r} ({n})" for label, n in few.items()])
        warnings.append(f"{quantity(len(few), 'class', 'classes')} with fewer than {FEW} labelled examples: {named}")
    if not counts["test"]:  # of a source
        return warnings
    if untested := [label for label, of in classes.items() if not of["test"]]:
        named = ", ".join(map(repr, untested[:SHOWN]))
        warnings.append(
            f"{quantity(len(untested), 'class', 'classes')} without a test example, never measured: {named}"
        )
    if counts["test"] < SMALL_TEST:
        warnings.append(f"{quantity(counts['test'], 'test example')} in all: measured accuracy will be rough")
    return warnings


def second_reading(items: Items, survey: Survey, y: np.ndarray, split: np.ndarray) -> Callable[[], Iterator[Row]]:
    """Return what reads the examples once more, and checks each against the survey."""
    column = EXAMPLE_COLUMN[items.family]
    wrap = (lambda image: {"bytes": image, "path": None}) if items.family == "vision" else (lambda text: text)

    def rows() -> Iterator[Row]:
        i = -1
        for i, (_, (example, _)) in enumerate(prepare_all(items, survey.altered & (split < len(SPLITS)))):
            if i >= len(split) or split[i] >= len(SPLITS):
                continue
            if isinstance(example, ValueError) or content_key(example) != survey.key[i]:
                raise error_of_change(items)
            label = {} if split[i] == POOL else {"label": int(y[i])}
            yield SPLITS[split[i]], {column: wrap(example)} | label
        if i + 1 != len(split):
            raise error_of_change(items)

    return rows


def error_of_change(items: Items) -> UserError:
    return UserError(f"{items.file}: changed while it was read; try again when nobody writes it")


def some_examples(rows: Callable[[], Iterator[Row]], labels: tuple[str, ...]) -> Iterator[dict[str, str]]:
    """Yield an example of each of the first classes, and one of the pool."""
    wanted = Counter({*labels[: EXAMPLES - 1], ""})
    for _, (_, cells) in zip(range(5000), rows(), strict=False):
        label = labels[cells["label"]] if "label" in cells else ""
        if wanted[label]:
            wanted[label] -= 1
            example = next(value for key, value in cells.items() if key != "label")
            text = " ".join(example.split())[:160] if isinstance(example, str) else f"{len(example['bytes']):,} bytes"
            yield {"label": label, "example": text}
        if not +wanted:
            return


def name_places(items: Items, at: list[int]) -> str:
    """Return the names of some examples."""
    names = [items.where(i) for i in at[:SHOWN]]
    if all(name.startswith("row ") for name in names):
        names = [names[0].replace("row", "rows" if len(names) > 1 else "row"), *(name[4:] for name in names[1:])]
    return ", ".join(names) + and_more(len(at))
