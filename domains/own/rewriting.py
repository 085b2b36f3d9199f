"""Write a domain again with the labels that a person filled in: whole or not at all."""

import io
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from domains.build import shard_schema
from domains.domain import EXAMPLE_COLUMN, SAFE, Domain, Split
from domains.own.labelling import Labelling
from domains.whole_folder import whole_folder

LABELLED: tuple[Split, ...] = ("train", "test")


def write_labelling(domain: Domain, found: Labelling) -> None:
    """Write a domain's folder again; at most a row group of each shard is in memory.

    Raises:
        UserError: the disk is full or may not be written to. The domain is then as it was.
    """
    written = {"domain.yaml"} | ({"train.parquet", "pool.parquet"} if found.moved else set())
    renamed = found.labels != domain.labels  # a label is an index into them
    written |= {f"{split}.parquet" for split, rows in found.y.items() if rows or renamed}
    with whole_folder(domain.path) as made:
        shutil.copytree(
            domain.path, made, dirs_exist_ok=True, ignore=lambda at, _: written if Path(at) == domain.path else ()
        )
        for split in LABELLED:
            if f"{split}.parquet" in written and (domain.has(split) or split == "train"):
                schema = labelled_schema(domain, split, found)
                with pq.ParquetWriter(made / f"{split}.parquet", schema, compression="zstd") as shard:
                    write_labelled(domain, split, found, shard)
                    if split == "train" and found.moved:
                        divide_pool(domain, found, shard, made / "pool.parquet")
        (made / "domain.yaml").write_text(relabelled_yaml(domain, found, made), "utf-8")


def labelled_schema(domain: Domain, split: Split, found: Labelling) -> pa.Schema:
    """Return the schema of a shard with today's label names where ``datasets`` reads them."""
    if not domain.has(split):
        return shard_schema(EXAMPLE_COLUMN[domain.family], found.labels, True)
    schema = pq.read_schema(domain.path / f"{split}.parquet")
    if found.labels == domain.labels or b"huggingface" not in (schema.metadata or {}):
        return schema
    from datasets import ClassLabel, Features

    features = Features.from_arrow_schema(schema)
    features["label"] = ClassLabel(names=list(found.labels))
    return schema.with_metadata(features.arrow_schema.metadata)


def row_groups(domain: Domain, split: Split) -> Iterator[tuple[int, pa.Table]]:
    """Yield the row groups of a shard, each with the number of its first row."""
    if not domain.has(split):
        return
    with pq.ParquetFile(domain.path / f"{split}.parquet") as shard:
        start = 0
        for group in range(shard.num_row_groups):
            part = shard.read_row_group(group)
            yield start, part
            start += len(part)


def label_index(found: Labelling) -> dict[str, int]:
    """Return the number of each label."""
    return {label: i for i, label in enumerate(found.labels)}


def write_labelled(domain: Domain, split: Split, found: Labelling, writer: pq.ParquetWriter) -> None:
    """Write the rows of train or test with their labels of today."""
    at, y, index = writer.schema.get_field_index("label"), found.y[split], label_index(found)
    now = {i: index.get(label) for i, label in enumerate(domain.labels)}
    for start, part in row_groups(domain, split):
        before = enumerate(part["label"].to_pylist(), start)
        labels = [index[y[row]] if row in y else now.get(old, old) for row, old in before]
        part = part.set_column(at, writer.schema.field(at), pa.array(labels, writer.schema.field(at).type))
        writer.write_table(part.replace_schema_metadata(writer.schema.metadata))


def divide_pool(domain: Domain, found: Labelling, train: pq.ParquetWriter, path: Path) -> None:
    """Write the rows of the pool that have a label now to train, and the others, if there are any, to ``path``."""
    left, index = 0, label_index(found)
    with pq.ParquetWriter(path, pq.read_schema(domain.path / "pool.parquet"), compression="zstd") as pool:
        for start, part in row_groups(domain, "pool"):
            moves = np.isin(np.arange(start, start + len(part)), list(found.moved))
            rows = start + np.flatnonzero(moves)
            kept = part.filter(pa.array(~moves))
            left += len(kept)
            if len(kept):
                pool.write_table(kept)
            if len(rows):
                moved = part.filter(pa.array(moves)).to_pylist()
                cells = [
                    cell | {"label": index[found.moved[row]]} for cell, row in zip(moved, rows.tolist(), strict=True)
                ]
                train.write_table(pa.Table.from_pylist(cells, train.schema))
    if not left:
        path.unlink()


def relabelled_yaml(domain: Domain, found: Labelling, folder: Path) -> str:
    """Return ``domain.yaml`` with the label names and counts of today; all else stays."""
    about = yaml.load((domain.path / "domain.yaml").read_text("utf-8"), Loader=SAFE)
    if found.labels != domain.labels:
        about["labels"] = list(found.labels)
    if isinstance(about.get("counts"), dict):
        about["counts"] = {path.stem: pq.read_metadata(path).num_rows for path in sorted(folder.glob("*.parquet"))}
    out = io.StringIO()
    yaml.safe_dump(about, out, sort_keys=False, allow_unicode=True, width=110)
    return out.getvalue()
