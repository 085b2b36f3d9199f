"""Labelled examples of one domain, before anything divides them."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from domains.domain import EXAMPLE_COLUMN, Family
from domains.errors import UserError
from domains.same_example import drop_copies, single_spaced


@dataclass(frozen=True)
class LabelledExamples:
    """Examples with labels.

    Attributes:
        name, family: of the domain.
        examples: [n] texts or encoded images, no two the same.
        y: [n] int64, indices into ``labels``.
        labels: label names, sorted.
        groups: [n] names of what examples share that must not lie on both sides of a split (a slide, a patient), or
            None.
    """

    name: str
    family: Family
    examples: tuple[Any, ...]
    y: np.ndarray
    labels: tuple[str, ...]
    groups: tuple[str, ...] | None = None

    def take(self, rows: Sequence[int]) -> "LabelledExamples":
        """Return some of the examples in the order given; the label names stay."""
        groups = None if self.groups is None else tuple(self.groups[i] for i in rows)
        kept = tuple(self.examples[i] for i in rows)
        return LabelledExamples(self.name, self.family, kept, self.y[list(rows)], self.labels, groups)

    def sample(self, per_class: int, classes: int | None = None, seed: int = 0) -> "LabelledExamples":
        """Return at most so many examples of each of at most so many classes, drawn by one shuffle."""
        return self.take(sample_rows(self.y, len(self.labels), per_class, classes, seed))

    @property
    def content_hash(self) -> str:
        """A sha256 over every example and the name of its label."""
        whole = hashlib.sha256()
        for example, label in zip(self.examples, self.y, strict=True):
            for part in (example, self.labels[label]):
                raw = part.encode() if isinstance(part, str) else part
                whole.update(len(raw).to_bytes(8, "big") + raw)
        return whole.hexdigest()


def sample_rows(y: np.ndarray, labels: int, per_class: int, classes: int | None = None, seed: int = 0) -> list[int]:
    """Return the rows, in order, of at most so many examples of each of at most so many of the labels of y [n]."""
    rng = np.random.default_rng(seed)
    order, drawn = rng.permutation(len(y)), rng.permutation(labels)[:classes]
    return np.sort(np.concatenate([order[y[order] == label][:per_class] for label in drawn])).tolist()


def to_examples(
    name: str, family: Family, frame: pd.DataFrame, without: Sequence[str] = (), only: Sequence[str] = ()
) -> LabelledExamples:
    """Return the examples of a frame: its column ``text`` or ``image``, ``label`` and, if it is there, ``group``.

    See ``clean`` for what is left out.

    Raises:
        UserError: as ``clean``.
    """
    frame = clean(name, family, frame, without, only)
    labels = sorted(frame["label"].unique())
    y = frame["label"].map({label: i for i, label in enumerate(labels)}).to_numpy(np.int64)
    groups = tuple(frame["group"]) if "group" in frame else None
    return LabelledExamples(name, family, tuple(frame[EXAMPLE_COLUMN[family]]), y, tuple(labels), groups)


def clean(
    name: str, family: Family, frame: pd.DataFrame, without: Sequence[str] = (), only: Sequence[str] = ()
) -> pd.DataFrame:
    """Return the rows of a frame that are examples.

    Each run of white space in a text becomes one space. Empty texts and examples without a label are left out, and so
    are copies and contradictions, as ``domains/same_example.py`` has them.

    Args:
        without: labels that are left out; only: labels that are kept, all if none is named.

    Raises:
        UserError: a label that is named is not there, so that naming it would say nothing; or fewer than two labels are
            left.
    """
    column = EXAMPLE_COLUMN[family]
    frame = frame[frame[column].notna() & frame["label"].notna()]
    frame = frame.assign(label=frame["label"].astype(str))
    if column == "text":
        frame = frame.assign(text=[single_spaced(str(text)) for text in frame["text"]])
    frame = drop_copies(frame[frame[column].map(len) > 0], family)
    for label in (*without, *only):
        if label not in set(frame["label"]):
            what = "left out" if label in without else "kept"
            raise UserError(f"{name}: no label {label!r} that could be {what}; is it another version of the data?")
    frame = frame[~frame["label"].isin(without) & (frame["label"].isin(only) | (not only))]
    if (found := frame["label"].nunique()) < 2:
        raise UserError(f"{name}: has {found} labels; there must be two or more to tell apart")
    return frame.reset_index(drop=True)
