"""Examples that come more than once: one is kept, and no label where copies disagree."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Copies:
    """What became of copies.

    Attributes:
        keep: [n] whether an example is the one of its content that is kept.
        y: [n] classes; -1 where there was no label or copies disagree.
        dropped: number of copies that go.
        conflicts: the places of the copies of every content whose labels disagree.
    """

    keep: np.ndarray
    y: np.ndarray
    dropped: int
    conflicts: tuple[tuple[int, ...], ...]


def find_copies(digest: np.ndarray, y: np.ndarray, usable: np.ndarray) -> Copies:
    """Keep the first labelled example of every content, else the first; of a conflict the first, without a label.

    Args:
        digest: [n, 2] content hashes; y: [n] classes, -1 unlabelled; usable: [n] others are not looked at.
    """
    rows = np.flatnonzero(usable)
    keep = np.zeros(len(y), bool)
    y = y.copy()
    if not len(rows):
        return Copies(keep, y, 0, ())
    unlabelled = y[rows] < 0
    order = rows[np.lexsort((rows, unlabelled, digest[rows, 1], digest[rows, 0]))]
    new = np.ones(len(order), bool)
    new[1:] = (digest[order[1:]] != digest[order[:-1]]).any(axis=1)
    starts = np.flatnonzero(new)
    keep[order[starts]] = True
    ends = np.append(starts[1:], len(order))
    known = np.where(y[order] >= 0, y[order], np.iinfo(np.int64).max)
    low, high = np.minimum.reduceat(known, starts), np.maximum.reduceat(y[order], starts)
    at = np.flatnonzero((high >= 0) & (low != high))
    conflicts = tuple(tuple(sorted(order[starts[i] : ends[i]].tolist())) for i in at)
    for places in conflicts:
        keep[list(places)] = False
        keep[places[0]] = True
        y[places[0]] = -1
    return Copies(keep, y, len(rows) - int(keep.sum()), conflicts)
