"""Which examples of a target are used, and what is wrong with the others: a line each, with rows.

Rows are counted from 0 in the shard, as ``to_label.csv`` counts them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import get_args

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq
import torch

from domains.domain import EXAMPLE_COLUMN, Domain, Family, Split
from domains.errors import UserError
from domains.same_example import content_keys, find_copies, may_contradict
from domains.words import some
from learners.shift.likeness import FAR, likeness

SPLITS: tuple[Split, ...] = get_args(Split)


@dataclass(frozen=True)
class UsableExamples:
    """Rows of train and pool that can be used, and a warning about each kind of the others."""

    train: list[int]
    pool: list[int]
    warnings: tuple[str, ...]


def find_usable(domain: Domain) -> UsableExamples:
    """Return the rows of a target that can be used.

    Rows of train and pool without a text or an image are left out; those of the test stay. Equal examples with
    different labels are left out of train, as nobody can say which label is right.

    Raises:
        UserError: a shard has no column of the family, or an example of the test is missing altogether, or fewer than
            two classes have labels.
    """
    warnings: list[str] = []
    rows: dict[Split, list[int]] = {}
    for split in SPLITS:
        rows[split], empty = _not_blank(domain, split)
        if empty:
            rows_of = f"row{'s' if len(empty) > 1 else ''} {some(empty)}"
            warnings.append(f"{split} has empty examples in {rows_of}: {_fate(split)}; fill them in")
    for split in ("train", "test") if may_contradict(domain.family) else ():
        y = domain.targets(split)
        groups = contradictions(domain, split, rows[split], y)
        if groups:
            listed = [f"{' and '.join(map(str, group))} ({_labels(domain, y, group)})" for group in groups]
            warnings.append(f"{split} has equal examples with different labels in rows {some(listed)}: {_fate(split)}")
        if split == "train":
            wrong = {row for group in groups for row in group}
            rows[split] = [row for row in rows[split] if row not in wrong]
    y = domain.targets("train")
    check_labels(domain, [y[row] for row in rows["train"]])
    missing = sorted(set(range(len(domain.labels))) - {y[row] for row in rows["train"]})
    if missing:
        names = some([repr(domain.labels[i]) for i in missing])
        remedy = "choose other dates to have some" if domain.family == "market" else "label at least one of each"
        warnings.append(f"no labelled example of {names}: never predicted; {remedy}")
    return UsableExamples(rows["train"], rows["pool"], tuple(warnings))


def check_labels(domain: Domain, y: Sequence[int]) -> None:
    """Raise UserError where the labels are of fewer than two classes."""
    if len(set(y)) < 2:
        others = [repr(label) for i, label in enumerate(domain.labels) if i not in set(y)]
        all_of = f", and all {len(y)} labelled examples are {domain.labels[y[0]]!r}" if y else ""
        remedy = f"label examples of {some(others)} too"
        if domain.family == "market":
            remedy = "choose other dates, by --start and --end of acclimate domains add"
        raise UserError(
            f"domain {domain.name}: labels of at least two classes are needed, found {len(set(y))}{all_of}; {remedy}"
        )


def contradictions(domain: Domain, split: Split, rows: Sequence[int], y: Sequence[int]) -> list[list[int]]:
    """Return groups of rows, of those given, that hold the same example with different labels y [n], in their order."""
    copies = find_copies(content_keys(domain.column(split, rows)), np.array([y[row] for row in rows]))
    return [[rows[place] for place in places] for places in sorted(copies.contradictions)]


def sample_warning(what: str, size: int, used: int, seed: int) -> list[str]:
    """Return a line where only a part of a shard is used."""
    return [f"{what} of {size:,} examples: {used:,} of them are used, drawn with seed {seed}"] if used < size else []


def distance_warning(
    family: Family, pool: torch.Tensor | None, labelled: torch.Tensor, last: int | None = None
) -> list[str]:
    """Return a line where the pool is far from everything labelled (``learners/shift/likeness.py``).

    Args:
        pool, labelled: features [U, D] and [S, D]; of them the first ``last`` are compared, None: all.
    """
    if pool is None or family == "market":  # a market's pool is other days, which may be unlike
        return []
    found = likeness(pool[:, :last], labelled[:, :last])
    if found is None or found >= FAR:
        return []
    other = "language or topic" if family == "text" else "kind of image"
    return [
        f"pool is far from everything labelled (likeness {found:.2f}; 1 is usual, under {FAR} is another {other}): "
        "look at its examples"
    ]


def _not_blank(domain: Domain, split: Split) -> tuple[list[int], list[int]]:
    """Return the rows of a shard with an example, and those without."""
    size = domain.counts.get(split, 0)
    if not domain.has(split):
        return [], []
    name = EXAMPLE_COLUMN[domain.family]
    columns = pq.read_schema(domain.path / f"{split}.parquet").names
    if name not in columns:
        raise UserError(
            f"domain {domain.name}: {split}.parquet has no column {name}, but {', '.join(columns)}; "
            f"all shards of a {domain.family} domain are of its family"
        )
    if domain.family == "market":
        return list(range(size)), []
    values = pq.read_table(domain.path / f"{split}.parquet", columns=[name])[0]
    if domain.family == "text":
        length = pc.utf8_length(pc.utf8_trim_whitespace(values))
    else:
        length = pc.binary_length(pc.struct_field(values, "bytes"))
    if split == "test" and length.null_count:
        row = pc.is_null(length).to_pylist().index(True)
        raise UserError(f"domain {domain.name}: row {row} of test.parquet has no {name}; fill it in or remove it")
    blank = pc.equal(pc.fill_null(length, 0), 0).to_pylist()
    return [row for row in range(size) if not blank[row]], [row for row in range(size) if blank[row]]


def _fate(split: Split) -> str:
    return "they stay in the test" if split == "test" else "left out"


def _labels(domain: Domain, y: Sequence[int], rows: Sequence[int]) -> str:
    return ", ".join(dict.fromkeys(repr(domain.labels[y[row]]) for row in rows))
