"""Write a domain of the user's own, with the same bytes every time: shards by row groups, and ``domain.yaml``."""

import io
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from domains.build import shard_schema
from domains.domain import EXAMPLE_COLUMN
from domains.own.new_domain import NewDomain
from domains.whole_folder import whole_folder

ROWS = 4096  # of a row group at most
BYTES = 2**24  # of examples in a row group, about


def write_domain(domain: NewDomain, name: str, data: Path, advance: Callable[[int], None]) -> Path:
    """Write ``data/<name>/`` whole or not at all, and return its path.

    Raises:
        UserError: the disk is full or may not be written to, or the input has changed. ``data`` is then as it was.
    """
    with whole_folder(data / name) as made:
        write_shards(domain, made, advance)
        (made / "domain.yaml").write_text(domain_yaml(domain, name), "utf-8")
    return data / name


def write_shards(domain: NewDomain, folder: Path, advance: Callable[[int], None]) -> None:
    """Write the shards; at most one row group of each is in memory."""
    with ExitStack() as stack:
        shards: dict[str, ShardWriter] = {}
        for split, cells in domain.rows():
            if split not in shards:
                shards[split] = stack.enter_context(
                    ShardWriter(folder / f"{split}.parquet", domain, labelled=split != "pool")
                )
            shards[split].add(cells)
            advance(1)


class ShardWriter:
    """Writes a parquet file while its rows come."""

    def __init__(self, path: Path, domain: NewDomain, labelled: bool) -> None:
        extra = ("date", "asset") if domain.family == "market" else ()
        self.column = EXAMPLE_COLUMN[domain.family]
        self.schema = shard_schema(self.column, domain.labels, labelled, extra)
        self.writer = pq.ParquetWriter(path, self.schema, compression="zstd")
        self.rows: list[dict[str, Any]] = []
        self.bytes = 0

    def __enter__(self) -> "ShardWriter":
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


def domain_yaml(domain: NewDomain, name: str) -> str:
    """Return the text of ``domain.yaml``, which holds no path and no date of the user's machine."""
    about = {
        "name": name,
        "family": domain.family,
        "role": domain.role,
        "title": f"{domain.file}, added by its user",
        "labels": list(domain.labels),
        "counts": dict(domain.counts),
        "split_rule": domain.rule,
        "split": dict(domain.division),
        **dict(domain.notes),
        "where": domain.file,
        "read_as": domain.kind,
        "columns": dict(domain.columns),
        "sha256": domain.sha256,
        "warnings": list(domain.warnings),
        "licence": "not stated",
        "citation": "not stated",
    }
    out = io.StringIO()
    yaml.safe_dump(about, out, sort_keys=False, allow_unicode=True, width=110)
    return out.getvalue()
