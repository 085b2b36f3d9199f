"""Write a source to ``data/<name>/``: ``domain.yaml`` and parquet shards, the same bytes every time."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from domains.domain import EXAMPLE_COLUMN
from domains.errors import UserError
from domains.fetch import Fetch
from domains.groups import hold_out_groups
from domains.same_example import drop_copies
from domains.source import Source, SplitRule
from domains.whole_folder import whole_folder


def build(source: Source, fetch: Fetch, data: Path) -> Path:
    """Build one domain folder whole or not at all, and return its path.

    Raises:
        UserError: a download failed, the disk is full, or the source has fewer than two labels.
    """
    frame = drop_copies(source.read(fetch), source.family)
    if "split" not in frame:
        frame = add_splits(frame, source)
    labels = source.labels or tuple(sorted(frame["label"].dropna().unique()))
    if len(labels) < 2:
        raise UserError(f"{source.name}: has {len(labels)} labels; there must be two or more to tell apart")
    with whole_folder(data / source.name) as made:
        for split, part in frame.groupby("split", sort=True):
            table = to_table(part.drop(columns="split"), source, labels, labelled=split != "pool")
            pq.write_table(table, made / f"{split}.parquet", compression="zstd")
        (made / "domain.yaml").write_text(domain_yaml(source, labels, frame), "utf-8")
    return data / source.name


def add_splits(frame: pd.DataFrame, source: Source) -> pd.DataFrame:
    """Add the column ``split``: a source is all train; a target follows its rule, class by class.

    Where there is a column ``group``, no group has examples in the test and outside of it.
    """
    if source.role == "source":
        return frame.assign(split="train")
    rule: SplitRule = source.split
    rng = np.random.default_rng(rule.seed)
    frame = frame.iloc[rng.permutation(len(frame))].reset_index(drop=True)
    size = frame.groupby("label")["label"].transform("size")
    test = (size // 3).clip(upper=rule.test)  # a small class gives a third to the test, a third to the pool
    if "group" in frame:
        held = hold_out(frame, test, rng)
        test = held.groupby(frame["label"]).transform("sum")
        first = held.sort_values(ascending=False, kind="stable").index
        frame, size, test = frame.loc[first], size.loc[first], test.loc[first]
    rank = frame.groupby("label").cumcount()
    train = np.minimum(rule.train, np.maximum((size - test + 1) // 2, np.minimum(rule.shots, size - test)))
    split = np.where(rank < test, "test", np.where(rank < test + train, "train", "pool"))
    frame = frame.assign(split=split)
    pool = frame.index[frame["split"] == "pool"]
    return frame.drop(pool[rule.pool :])


def hold_out(frame: pd.DataFrame, most: pd.Series, rng: np.random.Generator) -> pd.Series:
    """Return which rows lie in groups that become test whole, given the most test examples of each row's class."""
    y, _ = frame["label"].factorize()
    wanted = most.groupby(y).first().to_numpy()
    return pd.Series(hold_out_groups(y, frame["group"].tolist(), wanted, rng), frame.index)


def to_table(part: pd.DataFrame, source: Source, labels: tuple[str, ...], labelled: bool) -> pa.Table:
    """Return a shard with the schema metadata that ``datasets`` reads features from."""
    column = EXAMPLE_COLUMN[source.family]
    extra = tuple(name for name in ("date", "asset") if name in part)
    columns: dict[str, Any] = {name: part[name].tolist() for name in (*extra, column)}
    if column == "image":
        columns[column] = [{"bytes": image, "path": None} for image in columns[column]]
    if labelled:
        columns["label"] = part["label"].map({label: i for i, label in enumerate(labels)}).tolist()
    return pa.table(columns, schema=shard_schema(column, labels, labelled, extra))


def shard_schema(column: str, labels: tuple[str, ...], labelled: bool, extra: tuple[str, ...] = ()) -> pa.Schema:
    """Return the schema of a shard: columns of text, the example column, and ``label`` where examples have one."""
    from datasets import ClassLabel, Features, Image, List, Value

    kinds: dict[str, Any] = {"text": Value("string"), "image": Image(), "x": List(Value("float32"))}
    features = {name: Value("string") for name in extra} | {column: kinds[column]}
    if labelled:
        features["label"] = ClassLabel(names=list(labels))
    return Features(features).arrow_schema


def domain_yaml(source: Source, labels: tuple[str, ...], frame: pd.DataFrame) -> str:
    """Return the text of ``domain.yaml``."""
    rule = "all labelled" if source.role == "source" else str(source.split)
    wheels = [{"project": w.project, "version": w.version, "sha256": w.sha256} for w in source.wheels]
    about = {
        "name": source.name,
        "family": source.family,
        "role": source.role,
        "title": source.title,
        "medical": source.medical,
        "labels": list(labels),
        "counts": {str(k): int(v) for k, v in frame["split"].value_counts().sort_index().items()},
        "split_rule": source.own_split or rule,
        "where": source.where,
        "wheels": wheels,
        **({"files": [{"path": f.path, "sha256": f.sha256} for f in source.files]} if source.files else {}),
        "licence": source.licence,
        "citation": source.citation,
    }
    out = io.StringIO()
    yaml.safe_dump(about, out, sort_keys=False, allow_unicode=True, width=110)
    return out.getvalue()
