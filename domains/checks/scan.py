"""Read a shard once: what is wrong with single rows, and the few numbers that later checks compare."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from domains.checks.finding import Finding, Kind
from domains.checks.frames import to_frame
from domains.checks.schema import validate
from domains.domain import Domain, Split

UNREADABLE = Kind(
    "unreadable-shard",
    "error",
    "a shard that is not a whole parquet file",
    "write it again from its source, or restore it: `acclimate data build --force`, `dvc checkout`",
)
NOT_UTF8 = Kind(
    "not-utf8",
    "error",
    "a text whose bytes are not UTF-8",
    "save the source as UTF-8 and add the domain again",
)
KINDS = (UNREADABLE, NOT_UTF8)

#: Rows that are in memory at once.
BATCH = 1000

Advance = Callable[[int], None]
Parts = dict[str, np.ndarray]


class FamilyReader(Protocol):
    """What is remembered of the examples of a family."""

    def look(self, frame: pd.DataFrame, file: str) -> tuple[Parts, list[Finding]]:
        """Return arrays with a row an example, and what is wrong with single examples.

        Args:
            frame: examples that the schema has nothing against; its index is their row in the shard.
        """


@dataclass(frozen=True)
class Scan:
    """What is remembered of a shard with n rows that can be used; a damaged row is left out.

    Attributes:
        file: relative to ``data/``.
        rows: [n] places in the shard.
        labels: [n] label indices, -1 where there is none.
        parts: arrays [n, ...] by the names that the family's reader gives: always ``key`` (uint64, equal for equal
            examples) and ``excerpt`` (the example in a few words).
    """

    split: Split
    file: str
    rows: np.ndarray
    labels: np.ndarray
    parts: Parts

    def __len__(self) -> int:
        return len(self.rows)

    def excerpt(self, i: int) -> str:
        """Return the example in a few words."""
        return str(self.parts["excerpt"][i])

    def where(self, i: int) -> str:
        """Return the place of an example in words."""
        return f"{self.file} row {self.rows[i]}"


def scan(domain: Domain, split: Split, reader: FamilyReader, advance: Advance) -> tuple[Scan | None, list[Finding]]:
    """Read a shard in batches; None if there is nothing fit in it."""
    file = f"{domain.name}/{split}.parquet"
    found: list[Finding] = []
    rows: list[np.ndarray] = []
    labels: list[np.ndarray] = []
    parts: list[Parts] = []
    try:
        for first, batch in shard_batches(domain, split):
            frame, damaged = to_frame(batch, domain.family, first)
            found += [Finding(NOT_UTF8, file, value, row) for row, value in damaged]
            fit, wrong = validate(frame, domain, split, file)
            found += wrong
            if len(fit):
                parts_of_batch, wrong = reader.look(fit, file)
                found += wrong
                good = parts_of_batch.pop("good", np.ones(len(fit), bool))
                label = fit["label"].to_numpy(np.int64) if "label" in fit else np.full(len(fit), -1)
                rows.append(fit.index.to_numpy()[good])
                labels.append(label[good])
                parts.append({name: values[good] for name, values in parts_of_batch.items()})
            advance(len(batch))
    except (pa.ArrowException, OSError) as error:
        return None, [*found, Finding(UNREADABLE, file, " ".join(str(error).split())[:100])]
    if not any(map(len, rows)):
        return None, found
    joined = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    return Scan(split, file, np.concatenate(rows), np.concatenate(labels), joined), found


def shard_batches(domain: Domain, split: Split) -> Iterator[tuple[int, pa.RecordBatch]]:
    """Yield the batches of a shard, each with the number of its first row."""
    first = 0
    with pq.ParquetFile(domain.path / f"{split}.parquet", memory_map=True, pre_buffer=False) as shard:
        for batch in shard.iter_batches(BATCH):
            yield first, batch
            first += len(batch)
