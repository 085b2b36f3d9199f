"""Which examples are the same, and when their labels contradict each other: one rule for all who ask.

**The same.** Two texts are the same example if they differ only in white space, or in how Unicode spells a character
(``é`` as one code point or as two); case and punctuation count. Two images are the same if the bytes that are stored
are: the same picture saved in another way is another example, and ``domains/checks/near.py`` looks for that. Two
vectors are the same if all their numbers are.

**Copies.** One example is kept: the first with a label, else the first.

**Contradictions.** If two copies carry different labels, nobody can say which is right, so none of the copies is kept,
the unlabelled ones included. A missing label contradicts nothing.

Markets are the exception: what comes after a day is not decided by its features. Two days that look the same are two
examples, whatever their labels; only a check points to them.

Built-in domains are written by the same rule, and their bytes are pinned in ``data.dvc``.
"""

import hashlib
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from domains.domain import EXAMPLE_COLUMN, Family

NO_LABEL = -1


@dataclass(frozen=True)
class Copies:
    """What becomes of n examples.

    Attributes:
        keep: [n] bool, whether an example is kept.
        dropped: number of copies of examples that are kept.
        contradictions: the places of all copies of each example whose labels contradict each other.
    """

    keep: np.ndarray
    dropped: int
    contradictions: tuple[tuple[int, ...], ...]


def single_spaced(text: str) -> str:
    """Return a text with each run of white space as one space, and none at its ends."""
    return " ".join(text.split())


def content_key(example: str | bytes | np.ndarray) -> int:
    """Return 64 bits of a hash that are equal for examples that are the same: texts, encoded images, or vectors [D]."""
    if isinstance(example, str):
        raw = unicodedata.normalize("NFC", single_spaced(example)).encode("utf-8", "surrogatepass")
    else:
        raw = example if isinstance(example, bytes) else example.tobytes()
    return int.from_bytes(hashlib.blake2b(raw, digest_size=8).digest(), "big")


def content_keys(examples: Iterable[str | bytes | np.ndarray]) -> np.ndarray:
    """Return the key of each example, uint64 [n]."""
    return np.fromiter((content_key(example) for example in examples), np.uint64)


def may_contradict(family: Family) -> bool:
    """Return whether the same example can have only one right label in a family."""
    return family != "market"


def contradict(label: int, other: int) -> bool:
    """Return whether two labels of the same example contradict each other; ``NO_LABEL`` contradicts none."""
    return NO_LABEL != label != other != NO_LABEL


def find_copies(keys: np.ndarray, y: np.ndarray) -> Copies:
    """Find which examples are kept and which labels contradict each other.

    Args:
        keys: [n] of ``content_keys``; y: [n] labels, ``NO_LABEL`` where there is none.
    """
    keep = np.zeros(len(keys), bool)
    if not len(keys):
        return Copies(keep, 0, ())
    order = np.lexsort((np.arange(len(keys)), y == NO_LABEL, keys))
    starts = np.flatnonzero(np.concatenate([[True], np.diff(keys[order]) != 0]))
    ends = np.append(starts[1:], len(order))
    labels = y[order]
    lowest = np.minimum.reduceat(np.where(labels == NO_LABEL, np.iinfo(np.int64).max, labels), starts)
    highest = np.maximum.reduceat(labels, starts)
    several = (highest != NO_LABEL) & (lowest != highest)
    keep[order[starts[~several]]] = True
    places = tuple(tuple(sorted(order[starts[i] : ends[i]].tolist())) for i in np.flatnonzero(several))
    return Copies(keep, len(keys) - int(keep.sum()) - sum(map(len, places)), places)


def drop_copies(frame: pd.DataFrame, family: Family) -> pd.DataFrame:
    """Return the rows of a frame of examples, with their ``label``, that are kept."""
    if not may_contradict(family):
        return frame
    y = pd.factorize(frame["label"])[0]  # NO_LABEL where it is missing
    return frame[find_copies(content_keys(frame[EXAMPLE_COLUMN[family]]), y).keep].reset_index(drop=True)
