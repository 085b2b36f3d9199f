"""Labelled examples that are equal or nearly so, and carry different labels: one of them is wrong."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from domains.checks.checking import READERS
from domains.checks.duplicates import first_contradiction, group_copies
from domains.checks.folder import SPLITS
from domains.checks.near import near_images, near_texts
from domains.checks.scan import Advance, Scan, scan
from domains.domain import Domain, Split
from domains.same_example import may_contradict


@dataclass(frozen=True)
class Place:
    """A labelled example: its shard, its row there and the index of its label."""

    split: Split
    row: int
    label: int


def find_disagreements(domain: Domain, advance: Advance = lambda rows: None) -> list[tuple[Place, Place]]:
    """Return pairs of labelled examples, the earlier first, that are equal or nearly so and labelled differently.

    Equal is as ``domains/same_example.py`` has it, nearly equal as ``domains/checks/near.py`` has it, in train and test
    together. Of a market, whose days may look the same, there are none.
    """
    if not may_contradict(domain.family):
        return []
    reader = READERS[domain.family]()
    read = [scan(domain, split, reader, advance)[0] for split in SPLITS if split != "pool" and domain.has(split)]
    scans = [each for each in read if each is not None]
    if not scans:
        return []
    places = [
        Place(each.split, int(row), int(label))
        for each in scans
        for row, label in zip(each.rows, each.labels, strict=True)
    ]
    pairs = {(min(i, j), max(i, j)) for i, j in _alike(scans) if places[i].label != places[j].label}
    return [(places[i], places[j]) for i, j in sorted(pairs)]


def _alike(scans: list[Scan]) -> Iterator[tuple[int, int]]:
    """Yield pairs of places, counted through all scans, of examples that are equal or nearly so."""
    first = dict(zip([id(each) for each in scans], np.cumsum([0, *map(len, scans)]).tolist(), strict=False))
    for group in group_copies(scans):
        for number, (each, i) in enumerate(group):
            other = first_contradiction(each, i, group[:number])
            if other is not None:
                yield first[id(other[0])] + other[1], first[id(each)] + i
    parts = {name: np.concatenate([each.parts[name] for each in scans]) for name in scans[0].parts}
    rows, labels = (np.concatenate([getattr(each, name) for each in scans]) for name in ("rows", "labels"))
    whole = Scan(scans[0].split, "", rows, labels, parts)
    find = near_texts if "sketch" in parts else near_images
    yield from ((i, j) for i, j, _ in find(whole, whole))
