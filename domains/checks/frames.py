"""A batch of a shard as the pandas frame that a schema can be held against."""

import pandas as pd
import pyarrow as pa

from domains.checks.finding import short_value
from domains.domain import EXAMPLE_COLUMN, Family


def to_frame(batch: pa.RecordBatch, family: Family, first: int) -> tuple[pd.DataFrame, list[tuple[int, str]]]:
    """Return a batch with whole numbers as ``Int64``, texts as ``str``, images as bytes and vectors as arrays.

    Also the rows, each with its text, in which bytes are not UTF-8; they are None in the frame.

    Args:
        first: the row of the shard that the batch begins with; the frame's index goes on from there.
    """
    columns: dict[str, pd.Series] = {}
    damaged: list[tuple[int, str]] = []
    index = pd.RangeIndex(first, first + len(batch))
    for name, array in zip(batch.schema.names, batch.columns, strict=True):
        if pa.types.is_integer(array.type):
            columns[name] = pd.Series(array.to_pylist(), index, dtype="Int64")
        elif pa.types.is_string(array.type) or pa.types.is_large_string(array.type):
            texts, bad = decode_texts(array)
            damaged += [(first + i, value) for i, value in bad]
            columns[name] = pd.Series(texts, index, dtype="str")
        elif name == EXAMPLE_COLUMN[family] and pa.types.is_struct(array.type):
            values = [value["bytes"] if value else None for value in array.to_pylist()]
            columns[name] = pd.Series(values, index, dtype=object)
        elif name == EXAMPLE_COLUMN[family] and pa.types.is_list(array.type):
            vectors = array.to_numpy(zero_copy_only=False)
            columns[name] = pd.Series(list(vectors), index, dtype=object)
        else:
            columns[name] = pd.Series(array.to_pylist(), index, dtype=object)
    return pd.DataFrame(columns, index=index), damaged


def decode_texts(array: pa.Array) -> tuple[list[str | None], list[tuple[int, str]]]:
    """Return the texts, and those that are not UTF-8 apart, with their place."""
    try:
        array.validate(full=True)
        return array.to_pylist(), []
    except pa.ArrowInvalid:
        texts: list[str | None] = []
        bad: list[tuple[int, str]] = []
        binary = pa.large_binary() if pa.types.is_large_string(array.type) else pa.binary()
        for i, raw in enumerate(array.cast(binary).to_pylist()):
            try:
                texts.append(None if raw is None else raw.decode())
            except UnicodeDecodeError:
                texts.append(None)
                bad.append((i, short_value(raw.decode(errors="replace"))))
        return texts, bad
