"""What users call a class: one name for what differs by spaces, case or a decimal zero only; and several in a cell."""

import ast
import json
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from domains.errors import UserError
from domains.reading.cells import MISSING
from domains.reading.layout import is_number
from domains.words import quantity, some

INTEGER = re.compile(r"[+-]?\d+(\.0+)?")
SEVERAL = ("first", "combine")

#: Words for "nobody has labelled this", beside those of an empty cell.
TO_DO = MISSING | {"todo", "to do", "tbd", "unlabeled", "unlabelled", "not labeled", "not labelled", "no label", "#n/a"}
TO_DO |= {"k.a.", "k. a.", "nicht gelabelt", "ohne label", "sin etiqueta", "sin etiquetar", "non étiqueté", "未标注"}
#: Words that may mean so, or a class.
DOUBTFUL = {"none", "unknown", "undefined", "missing", "skip", "skipped"}
MINUS_ONE = "-1"

MOST_LIST = 10_000  # characters of a list of labels
SPLIT = 0.8  # share of values with a separator whose parts stand alone too, from which on they are several labels
MOST_NUMBERS = 20  # different numbers that are classes without doubt


@dataclass(frozen=True)
class LabelRules:
    """What the user says about labels.

    Args:
        keep_case: whether labels that differ only by case stay apart.
        several: what becomes of several labels at one example; None: they are refused.
        unlabelled: values that mean not labelled; () where that is inferred.
        as_they_stand: whether each value is a class, also ``-1``, ``?``, ``a|b`` and many numbers.
    """

    keep_case: bool = False
    several: str | None = None
    unlabelled: tuple[str, ...] = ()
    as_they_stand: bool = False


def single_label(labels: Sequence[str], several: str | None) -> str:
    """Return the one label of an example: of several the first, or all as one class (``a|b``, sorted); "" of none.

    Raises:
        UserError: there are several, and nothing says what becomes of them.
    """
    different = list(dict.fromkeys(label for label in labels if label.strip()))
    if len(different) < 2 or several == "first":
        return different[0] if different else ""
    if several is None:
        raise UserError(
            f"several labels ({', '.join(map(repr, different))}) at one example: say --several first (the first "
            "counts), or --several combine (each combination is a class)"
        )
    return join_labels(sorted(different))


def join_labels(labels: Sequence[str]) -> str:
    """Return labels with ``|`` between them, or as a JSON list where that would be ambiguous."""
    return json.dumps(list(labels), ensure_ascii=False) if any("|" in label for label in labels) else "|".join(labels)


def list_of_labels(text: str) -> tuple[str, ...] | None:
    """Return the labels of a text that is a list of such, as JSON or Python writes it; else None."""
    text = text.strip()
    if not (text.startswith("[") and text.endswith("]")) or len(text) > MOST_LIST:
        return None
    for read in (json.loads, ast.literal_eval):
        try:
            found = read(text)
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            continue
        if isinstance(found, list) and all(isinstance(each, str | int) for each in found):
            return tuple(str(each) for each in found)
    return None


def split_labels(raw: Mapping[str, int]) -> dict[str, tuple[str, ...]]:
    """Return the labels in each value that holds several, or is a list of them.

    A character separates labels if the parts of nearly all values that hold it stand alone too.
    """
    found = {value: parts for value in raw if (parts := list_of_labels(value)) is not None}
    keys = {value: " ".join(value.split()).casefold() for value in raw if value not in found and value.strip()}
    plain = {key for key in keys.values() if not is_number(key.replace(",", "."))}
    for mark in sorted({mark for key in plain for mark in re.findall(r"[^\w]", key.strip())}):
        within = {key: {part.strip() for part in key.split(mark)} - {""} for key in plain if mark in key.strip(mark)}
        alone = {key.strip(mark).strip() for key in keys.values() if key not in within}
        often = Counter(part for parts in within.values() for part in parts)
        known = {part for part in often if part in alone or (often[part] > 1 and mark != " ")}
        stand = sum(parts <= known for parts in within.values())
        if stand >= SPLIT * len(within) > 0 and 2 * len(alone & often.keys()) >= len(often):
            for value in (value for value in keys if mark in value):
                found[value] = tuple(part.strip() for part in value.split(mark) if part.strip())
    return found


def name_classes(raw: Mapping[str, int], rules: LabelRules | None = None) -> tuple[dict[str, str | None], list[str]]:
    """Return the class of every label as it stands in the data (None: not labelled), and warnings.

    Each run of white space counts as one space. ``1.0`` is ``1`` if all labels are whole numbers. Labels that differ
    only by case are one class, which gets the commonest of their names.

    Args:
        raw: how often every label stands in the data.

    Raises:
        UserError: values hold several labels, or may mean not labelled or a class, and the rules do not say which.
    """
    rules = rules or LabelRules()
    tidy, warnings = single_labels(raw, rules)
    tidy = {label: unicodedata.normalize("NFC", " ".join(name.split())) for label, name in tidy.items()}
    missing = find_missing(tidy, rules)
    if written := [label for label in missing if label.strip()]:
        count = sum(raw[label] for label in written)
        warnings.append(
            f"{quantity(count, 'label')} read {some([repr(label) for label in sorted(written)])}: taken as not labelled"
        )
    names = {label: name for label, name in tidy.items() if label not in missing}
    doubtful = sorted({name for name in names.values() if name.casefold() in DOUBTFUL})
    if doubtful and not rules.as_they_stand and not rules.unlabelled:
        warnings.append(f"{some([repr(n) for n in doubtful])} is a class; if it means not labelled: --unlabelled")
    if all(INTEGER.fullmatch(name) for name in names.values()):
        names = {label: re.sub(r"\.0+$", "", name) for label, name in names.items()}
    if spaced := [label for label in names if label != tidy[label] and label.split() == tidy[label].split()]:
        warnings.append(f"spaces in labels do not count: {some([repr(label) for label in sorted(spaced)])}")
    if not rules.keep_case:
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


def single_labels(raw: Mapping[str, int], rules: LabelRules) -> tuple[dict[str, str], list[str]]:
    """Return each value with one label: itself, or what the rules make of several; and warnings.

    Raises:
        UserError: values hold several labels, and the rules do not say what becomes of them.
    """
    split = {} if rules.as_they_stand else split_labels(raw)
    several = [value for value, parts in split.items() if len(set(parts)) > 1]
    if not several:
        return {value: next(iter(split[value]), "") if value in split else value for value in raw}, []
    count = sum(raw[value] for value in several)
    commonest = join_labels(split[max(several, key=raw.__getitem__)])
    what = f"{quantity(count, 'example')} with several labels, such as {commonest!r}"
    if rules.several is None:
        raise UserError(
            f"{what}; say --several first (the first counts), --several combine (each combination is a class), or "
            "--keep-labels if that is one label"
        )
    done = "the first counts" if rules.several == "first" else "each combination is a class"
    return {value: single_label(split[value], rules.several) if value in split else value for value in raw}, [
        f"{what}: {done}"
    ]


def find_missing(tidy: Mapping[str, str], rules: LabelRules) -> set[str]:
    """Return the values that mean that nobody has labelled the example.

    Raises:
        UserError: -1 beside 0 and 1 may mean not labelled, or a third class.
    """
    if rules.as_they_stand or rules.unlabelled:
        empty = {" ".join(value.split()).casefold() for value in ("", *rules.unlabelled)}
        return {label for label, name in tidy.items() if name.casefold() in empty}
    missing = {label for label, name in tidy.items() if name.casefold() in TO_DO}
    rest = {label: name for label, name in tidy.items() if label not in missing}
    marks = {label for label, name in rest.items() if all(is_mark(character) for character in name)}
    if len(set(rest) - marks) > 1:
        missing |= marks
        rest = {label: name for label, name in rest.items() if label not in marks}
    minus = {label for label, name in rest.items() if name in (MINUS_ONE, MINUS_ONE + ".0")}
    others = {name.removesuffix(".0") for label, name in rest.items() if label not in minus}
    if minus and others == {"0", "1"}:
        raise UserError(
            "label -1 beside 0 and 1: not labelled, or a class? Say --unlabelled=-1, or --keep-labels for a class"
        )
    if len(others) > 1 and not any(INTEGER.fullmatch(name) and name.startswith("-") for name in others):
        missing |= minus
    return missing


def is_mark(character: str) -> bool:
    """Whether a character is a mark of punctuation, or such a sign of ASCII as ``+``."""
    kind = unicodedata.category(character)
    return kind.startswith("P") or (kind.startswith("S") and character.isascii()) or character.isspace()


def refuse_numbers(raw: Mapping[str, int]) -> None:
    """Raise UserError where labels are numbers that measure something: many, or hardly any twice.

    Args:
        raw: how often every label stands in the data.
    """
    counts = {value.strip(): count for value, count in raw.items() if value.strip().lower() not in MISSING}
    numbers = [value for value in counts if is_number(value)]
    rare = 2 * len(numbers) > sum(counts.values()) and not all(INTEGER.fullmatch(value) for value in numbers)
    if len(numbers) > (MOST_NUMBERS // 4 if rare else MOST_NUMBERS) and len(numbers) >= 0.95 * len(counts):
        raise UserError(
            f"{len(numbers):,} different numbers, as in regression, which is not learned here; give a column of "
            "classes (of intervals, say), or say --keep-labels if each number names a class"
        )


def sort_labels(labels: set[str]) -> tuple[str, ...]:
    """Return class names in order: by size if all are numbers, else by their letters."""
    if all(INTEGER.fullmatch(label) for label in labels):
        return tuple(sorted(labels, key=lambda label: (float(label), label)))
    return tuple(sorted(labels))
