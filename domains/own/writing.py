"""Write a domain of the user's own: shards row group by row group, ``domain.yaml``, the same bytes every time."""

import io
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from domains.build import building, shard_schema
from domains.domain import EXAMPLE_COLUMN
from domains.own.options import Found

ROWS = 4096  # of a row group at most
BYTES = 2**24  # of examples in a row group, about


def write(found: Found, name: str, data: Path, advance: Callable[[int], None]) -> Path:
    """Write ``data/<name>/`` whole or not at all, and return its path.

    Raises:
        UserError: the disk is full or may not be written to; the input changed. ``data`` then is as it was.
    """
    with building(data / name) as made:
        write_shards(found, made, advance)
        (made / "domain.yaml").write_text(describe(found, name), "utf-8")
    return data / name


def write_shards(found: Found, folder: Path, advance: Callable[[int], None]) -> None:
    """Write the shards; of each at most one row group is in memory."""
    with ExitStack() as stack:
        shards: dict[str, Shard] = {}
        for split, cells in found.rows():
            if split not in shards:
                shards[split] = stack.enter_context(Shard(folder / f"{split}.parquet", found, labelled=split != "pool"))
            shards[split].add(cells)
            advance(1)


class Shard:
    """A parquet file that is written while its rows come."""

    def __init__(self, path: Path, found: Found, labelled: bool) -> None:
        extra = ("date", "asset") if found.family == "market" else ()
        self.column = EXAMPLE_COLUMN[found.family]
        self.schema = shard_schema(self.column, found.labels, labelled, extra)
        self.writer = pq.ParquetWriter(path, self.schema, compression="zstd")
        self.rows: list[dict[str, Any]] = []
        self.bytes = 0

    def __enter__(self) -> "Shard":
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        if kind is None:
            self.flush()
        self.writer.close()

    def add(self, cells: dict[str, Any]) -> None:
        self.rows.append(cells)
        example = cells[self.column]
        self.bytes += len(example["bytes"]) if isinstance(example, dict) else len(example)
        if len(self.rows) >= ROWS or self.bytes >= BYTES:
            self.flush()

    def flush(self) -> None:
        if self.rows:
            self.writer.write_table(pa.Table.from_pylist(self.rows, self.schema))
        self.rows, self.bytes = [], 0


def describe(found: Found, name: str) -> str:
    """Return the text of ``domain.yaml``; no path and no date of the user's machine is in it."""
    about = {
        "name": name,
        "family": found.family,
        "role": "target",
        "title": f"{found.file}, added by its user",
        "labels": list(found.labels),
        "counts": dict(found.counts),
        "split_rule": found.rule,
        "split": dict(found.division),
        **dict(found.notes),
        "where": found.file,
        "read_as": found.kind,
        "columns": dict(found.columns),
        "sha256": found.sha256,
        "warnings": list(found.warnings),
        "licence": "not stated",
        "citation": "not stated",
    }
    out = io.StringIO()
    yaml.safe_dump(about, out, sort_keys=False, allow_unicode=True, width=110)
    return out.getvalue()
