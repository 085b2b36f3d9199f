"""What users call a class: one name for what differs by spaces, case or a decimal zero only."""

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

from domains.errors import UserError
from domains.reading.cells import MISSING
from domains.words import quantity, some

INTEGER = re.compile(r"[+-]?\d+(\.0+)?")


def name_classes(raw: Mapping[str, int], keep_case: bool = False) -> tuple[dict[str, str | None], list[str]]:
    """Return the class of every label as it stands in the data (None: not labelled), and warnings.

    Each run of white space counts as one space. ``1.0`` is ``1`` if all labels are whole numbers. Labels that differ
    only by case are one class, which gets the commonest of their names, unless ``keep_case``.

    Args:
        raw: how often every label stands in the data.
    """
    tidy = {label: unicodedata.normalize("NFC", " ".join(label.split())) for label in raw}
    missing = {label for label, name in tidy.items() if name.lower() in MISSING}
    warnings = []
    if written := [label for label in missing if label.strip()]:
        count = sum(raw[label] for label in written)
        warnings.append(
            f"{quantity(count, 'label')} read {some([repr(label) for label in sorted(written)])}: taken as not labelled"
        )
    names = {label: name for label, name in tidy.items() if label not in missing}
    if all(INTEGER.fullmatch(name) for name in names.values()):
        names = {label: re.sub(r"\.0+$", "", name) for label, name in names.items()}
    if spaced := [label for label in names if label != tidy[label]]:
        warnings.append(f"spaces in labels do not count: {some([repr(label) for label in sorted(spaced)])}")
    if not keep_case:
        again: dict[str, Counter[str]] = defaultdict(Counter)
        for label, name in names.items():
            again[name.casefold()][name] += raw[label]
        best = {key: min(found, key=lambda name: (-found[name], name)) for key, found in again.items()}
        for key, found in sorted(again.items()):
            if len(found) > 1:
                counted = ", ".join(f"{name!r} ({found[name]:,})" for name in sorted(found))
                warnings.append(
                    f"labels that differ only by case are one class, {best[key]!r}: {counted}; "
                    "--keep-case keeps them apart"
                )
        names = {label: best[name.casefold()] for label, name in names.items()}
    return {label: names.get(label) for label in raw}, warnings


def sort_labels(labels: set[str]) -> tuple[str, ...]:
    """Return class names in order: by size if all are numbers, else by their letters."""
    if all(INTEGER.fullmatch(label) for label in labels):
        return tuple(sorted(labels, key=lambda label: (float(label), label)))
    return tuple(sorted(labels))


def single_label(labels: Sequence[str], several: str | None) -> str:
    """Return the one label of an example, or the empty text; of several labels the first, or all of them as one.

    Raises:
        UserError: there are several, and ``several`` is neither ``first`` nor ``combine``.
    """
    different = list(dict.fromkeys(label for label in labels if label.strip()))
    if len(different) < 2 or several == "first":
        return different[0] if different else ""
    if several == "combine":
        return "|".join(sorted(different))
    raise UserError(f"several labels ({', '.join(different)}); say --several first, or --several combine")
