"""Labels that a person filled in, held against the examples of a domain: by their content, never by their row."""

import unicodedata
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import PurePosixPath
from typing import Any

import pyarrow.parquet as pq

from domains.domain import EXAMPLE_COLUMN, Domain, Split
from domains.errors import UserError
from domains.own.labels import name_classes, sort_labels
from domains.same_example import content_key
from domains.words import quantity, some

SPLITS: tuple[Split, ...] = ("train", "pool", "test")
BATCH = 1024  # examples of a shard that are in memory
ALIKE = 0.85  # a new class whose name is so much like a known one may be a slip


@dataclass(frozen=True)
class Given:
    """A row of a file of labels: its name for messages, keys that its example may have, and its label as it stands."""

    where: str
    keys: tuple[int, ...]
    label: str


@dataclass(frozen=True)
class Known:
    """The examples of a domain.

    Attributes:
        places: split and row of every example, by its key (``domains/same_example.py``).
        names: the keys of the images that have a file name, by that name.
        y: the name of every label of train and test, empty where it is no label of the domain.
    """

    places: Mapping[int, Sequence[tuple[Split, int]]]
    names: Mapping[str, Collection[int]]
    y: Mapping[Split, Sequence[str]]


@dataclass(frozen=True)
class Relabelled:
    """So many examples of train or test whose label changes."""

    split: Split
    old: str
    new: str
    count: int


@dataclass(frozen=True)
class Labelling:
    """What a file of labels makes of a domain.

    Attributes:
        labels: label names afterwards: those of the domain that still have an example, and then new ones.
        new_classes, gone: the new ones with their number of examples, and those that have lost their last example.
        moved: the label of each row of the pool that goes to train.
        y: labels that change, by split and row.
        added: how many examples of the pool get each label.
        changed: labels of train and test that change.
        unchanged, empty: rows that say what is known, and rows without a label.
        unknown: rows whose example is not in the domain.
        contradictory: rows that give an example another label than others do; none of them counts.
        notes: a line for each label that is read as another, or looks like a slip.
    """

    labels: tuple[str, ...]
    new_classes: Mapping[str, int]
    gone: tuple[str, ...]
    moved: Mapping[int, str]
    y: Mapping[Split, Mapping[int, str]]
    added: Mapping[str, int]
    changed: tuple[Relabelled, ...]
    unchanged: int
    empty: int
    unknown: tuple[str, ...]
    contradictory: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def changes(self) -> bool:
        """Whether there is anything to write."""
        return bool(self.moved or any(self.y.values()))

    def summary(self) -> dict[str, Any]:
        """Return all of it that is of interest to a program."""
        found = {key: value for key, value in vars(self).items() if key not in ("labels", "moved", "y")}
        return found | {"changed": [vars(each) for each in self.changed]}


def known_examples(domain: Domain) -> Known:
    """Read the examples of a domain, a batch at a time."""
    places: dict[int, list[tuple[Split, int]]] = defaultdict(list)
    names: dict[str, set[int]] = defaultdict(set)
    for split in SPLITS:
        for row, value in enumerate(raw_examples(domain, split)):
            example = value.get("bytes") if isinstance(value, dict) else value
            if example:
                key = content_key(example)
                places[key].append((split, row))
                if isinstance(value, dict) and value.get("path"):
                    names[PurePosixPath(value["path"]).name].add(key)
    labelled = [split for split in SPLITS if split != "pool" and domain.has(split)]
    name = dict(enumerate(domain.labels))
    return Known(places, names, {split: [name.get(y, "") for y in domain.targets(split)] for split in labelled})


def raw_examples(domain: Domain, split: Split) -> Iterator[Any]:
    """Yield the examples of a shard as they are stored; none where there is no such shard."""
    if not domain.has(split):
        return
    column = EXAMPLE_COLUMN[domain.family]
    with pq.ParquetFile(domain.path / f"{split}.parquet") as shard:
        if column not in shard.schema_arrow.names:
            raise UserError(f"domain {domain.name}: {split}.parquet has no column {column}")
        for batch in shard.iter_batches(BATCH, columns=[column]):
            yield from batch.column(0).to_pylist()


def merge_labels(given: Sequence[Given], domain: Domain, known: Known) -> Labelling:
    """Hold the rows of a file of labels against the examples of a domain.

    An example of the pool goes to train, one of train or test stays where it is and gets the label.

    Raises:
        UserError: a label may be two of the domain's, or all examples would have the same.
    """
    names, notes = name_labels(Counter(each.label for each in given), domain.labels)
    rows: dict[int, list[Given]] = defaultdict(list)
    labelled, unknown = [each for each in given if names[each.label] is not None], []
    for each in labelled:
        key = next((key for key in each.keys if key in known.places), None)
        if key is None:
            unknown.append(each.where)
        else:
            rows[key].append(each)
    labels = {key: {name for each in of if (name := names[each.label]) is not None} for key, of in rows.items()}
    agreed = {key: next(iter(said)) for key, said in labels.items() if len(said) == 1}
    moved, y, changed = place_labels(agreed, known)
    new = Counter(label for of in (moved, *y.values()) for label in of.values() if label not in domain.labels)
    before = Counter(label for of in known.y.values() for label in of)
    train, test = (Counter(y[split].get(row, old) for row, old in enumerate(known.y.get(split, ()))) for split in y)
    train.update(moved.values())
    gone = tuple(label for label in domain.labels if before[label] and not train[label] + test[label])
    left = (*(label for label in domain.labels if label not in gone), *sort_labels(set(new)))
    if gone and len(left) < 2:
        raise UserError(f"all examples of domain {domain.name} would be labelled {left[0]!r}: leave two labels or more")
    return Labelling(
        labels=left,
        new_classes={label: new[label] for label in sort_labels(set(new))},
        gone=gone,
        moved=moved,
        y=y,
        added=dict(sorted(Counter(moved.values()).items())),
        changed=changed,
        unchanged=sum(len(rows[key]) for key, label in agreed.items() if says_the_same(known, key, label)),
        empty=len(given) - len(labelled),
        unknown=tuple(unknown),
        contradictory=tuple(each.where for key, of in rows.items() if key not in agreed for each in of),
        notes=(*notes, *slips([*new], domain.labels), *only_in_test(sorted(test.keys() - train.keys() - {""}))),
    )


def place_labels(
    said: Mapping[int, str], known: Known
) -> tuple[dict[int, str], dict[Split, dict[int, str]], tuple[Relabelled, ...]]:
    """Return which rows of the pool get which label, which labels of train and test change, and the latter counted.

    Args:
        said: labels by the keys of their examples.
    """
    moved: dict[int, str] = {}
    y: dict[Split, dict[int, str]] = {"train": {}, "test": {}}
    changed = Counter[tuple[Split, str, str]]()
    for key, label in said.items():
        places = [place for place in known.places[key] if place[0] != "pool"]
        if not places:  # of a copy in the pool of what has a label, nothing is made
            moved[known.places[key][0][1]] = label
        differ = {(split, row): old for split, row in places if (old := known.y[split][row]) != label}
        for split, row in differ:
            y[split][row] = label
        changed.update({(split, old, label) for (split, _), old in differ.items()})
    return moved, y, tuple(Relabelled(*what, count) for what, count in sorted(changed.items()))


def says_the_same(known: Known, key: int, label: str) -> bool:
    """Whether an example has a label already, and this one."""
    of = [known.y[split][row] for split, row in known.places[key] if split != "pool"]
    return bool(of) and set(of) == {label}


def name_labels(raw: Mapping[str, int], known: Sequence[str]) -> tuple[dict[str, str | None], list[str]]:
    """Return what every label of a file is called in the domain (None: not labelled), and a line for each that differs.

    Spaces and case do not count where the domain has one label of that name; labels that it does not have are new.

    Args:
        raw: how often every label stands in the file.

    Raises:
        UserError: a label may be two of the domain's, which differ by case only.
    """
    exact, alike = {tidy(label): label for label in known}, defaultdict(list)
    for label in known:
        alike[tidy(label).casefold()].append(label)
    names: dict[str, str | None] = {label: exact[tidy(label)] for label in raw if tidy(label) in exact}
    others, _ = name_classes({label: count for label, count in raw.items() if label not in names})
    for label, name in others.items():
        same = alike.get(name.casefold(), []) if name is not None else []
        if len(same) > 1:
            raise UserError(f"label {label!r}: is it {' or '.join(map(repr, same))}? Write it as it stands there")
        names[label] = same[0] if same else name
    read: dict[str | None, list[str]] = defaultdict(list)
    for label, name in sorted(names.items()):
        if label.strip() and label != name:
            read[name].append(f"{label!r} ({raw[label]:,})")
    lines = [f"{some(found)} read as {name!r}" for name, found in read.items() if name is not None]
    return names, lines + [f"{some(found)} taken as not labelled" for name, found in read.items() if name is None]


def tidy(label: str) -> str:
    """Return a label with single spaces, in one spelling of Unicode."""
    return unicodedata.normalize("NFC", " ".join(label.split()))


def slips(new: Sequence[str], known: Sequence[str]) -> list[str]:
    """Return a line for each new class whose name is almost that of another."""
    near = {label: get_close_matches(label, known, 1, ALIKE) for label in new}
    return [
        f"new class {label!r} is almost {found[0]!r}: if that is meant, write it so"
        for label, found in near.items()
        if found
    ]


def only_in_test(labels: Sequence[str]) -> list[str]:
    """Return a line for labels that no example of train has, so that nobody can learn them."""
    named = some([repr(label) for label in labels])
    return [f"only test examples are labelled {named}: label one of the pool or train so too"] if labels else []


def summary_rows(found: Labelling) -> list[dict[str, str]]:
    """Return what changes as rows of a table: what, which label, how many examples."""
    rows = []
    for label, count in found.added.items():
        what = "newly labelled, a new class" if label in found.new_classes else "newly labelled"
        rows.append((what, label, count))
    for each in found.changed:
        what = "changed in the test, where it stays" if each.split == "test" else "changed"
        what += ", a new class" if each.new in found.new_classes else ""
        rows.append((what, f"{each.old} -> {each.new}", each.count))
    rows += [("left without an example, so it goes", label, 0) for label in found.gone]
    rows += [("unchanged", "", found.unchanged)] if found.unchanged else []
    rows += [("left empty", "", found.empty)] if found.empty else []
    return [{"what": what, "examples": f"{count:,}", "label": label} for what, label, count in rows]


def doubts(found: Labelling, name: str) -> list[str]:
    """Return a line for each kind of row that is not used, and for labels that are read as others."""
    lines = list(found.notes)
    if found.unknown:
        count = quantity(len(found.unknown), "row")
        lines.append(f"{count} not used, as their examples are not in domain {name}: {some(found.unknown)}")
    if found.contradictory:
        lines.append(f"an example has two labels, so none of them is used: {some(found.contradictory)}")
    return lines
