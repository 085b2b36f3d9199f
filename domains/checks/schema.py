"""The schema of a shard, by family: which columns there are, and what may stand in a cell."""

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pandera.errors
import pandera.pandas as pa

from domains.checks.finding import Finding, Kind, short_value
from domains.domain import EXAMPLE_COLUMN, Domain, Family, Split

COLUMN = Kind(
    "wrong-column",
    "error",
    "a column that is missing, or of another type than its family's",
    "write the shard with the column named, of the type named",
)
EMPTY_TEXT = Kind("empty-text", "error", "a text without a character in it", "remove the row or fill it in")
EMPTY_IMAGE = Kind("empty-image", "error", "an image of no bytes", "remove the row or save the image again")
LABEL = Kind("bad-label", "error", "a label that is missing or no index into `labels`", "label the row or remove it")
NUMBER = Kind(
    "bad-number",
    "error",
    "a feature that is NaN or infinite, or a vector of another length",
    "compute the vector again from whole data, or remove the row",
)
DATE = Kind("bad-date", "error", "a date or an asset that is missing or cannot be read", "write the date as YYYY-MM-DD")
KINDS = (COLUMN, EMPTY_TEXT, EMPTY_IMAGE, LABEL, NUMBER, DATE)

#: What an empty cell of a column is.
MISSING = {"text": EMPTY_TEXT, "image": EMPTY_IMAGE, "x": NUMBER, "label": LABEL, "date": DATE, "asset": DATE}
#: What a column holds, in words.
TYPES = {
    "text": "text",
    "image": "images (a struct with `bytes`)",
    "x": "lists of numbers",
    "label": "whole numbers",
    "date": "text",
    "asset": "text",
}
BY_NAME = {kind.name: kind for kind in KINDS}


def validate(frame: pd.DataFrame, domain: Domain, split: Split, file: str) -> tuple[pd.DataFrame, list[Finding]]:
    """Return the rows of a frame that fit the schema, and what is wrong with the others.

    A frame without a column, or with one of another type, has no row that fits.
    """
    try:
        return shard_frame_schema(domain.family, len(domain.labels), split != "pool").validate(frame, lazy=True), []
    except pandera.errors.SchemaErrors as errors:
        found: dict[tuple[int | None, str, str], Finding] = {}
        for case in errors.failure_cases.to_dict("records"):
            if case["check"] in BY_NAME and pd.isna(case["index"]):
                continue  # the check itself failed, on a column of another type, which is a case of its own
            finding = to_finding(case, file)
            found.setdefault((finding.row, finding.kind.name, finding.value), finding)
    findings = [found[key] for key in sorted(found, key=lambda key: (key[0] is not None, key[0] or 0, *key[1:]))]
    bad = [finding.row for finding in findings if finding.row is not None]
    if len(bad) < len(findings):  # a whole column is wrong
        return frame.iloc[:0], [finding for finding in findings if finding.row is None]
    return frame.drop(index=bad), findings


def to_finding(case: dict[str, Any], file: str) -> Finding:
    """Return one of Pandera's failure cases as a finding."""
    if case["check"] == "column_in_dataframe":
        return Finding(COLUMN, file, f"no column '{case['failure_case']}'")
    column = str(case["column"])
    if case["check"].startswith("dtype("):
        return Finding(COLUMN, file, f"column '{column}'", about=f"not {TYPES[column]}")
    kind = MISSING[column] if case["check"] == "not_nullable" else BY_NAME[case["check"]]
    value = "nothing" if case["check"] == "not_nullable" else short_value(case["failure_case"])
    return Finding(kind, file, value, int(case["index"]))


@cache
def shard_frame_schema(family: Family, labels: int, labelled: bool) -> pa.DataFrameSchema:
    """Return the schema of the shards of a family.

    Args:
        labels: how many there are.
        labelled: whether the shard has them.
    """
    kinds: dict[str, pa.Column] = {
        "text": pa.Column("str", pa.Check(lambda texts: texts.str.strip() != "", name=EMPTY_TEXT.name)),
        "image": pa.Column("object", [cell_check(is_image, EMPTY_IMAGE)]),
        "x": pa.Column("object", cell_check(is_vector, NUMBER)),
    }
    column = EXAMPLE_COLUMN[family]
    columns = {column: kinds[column]}
    if labelled:
        columns["label"] = pa.Column("Int64", pa.Check(lambda y: (y >= 0) & (y < labels), name=LABEL.name))
    if family == "market":
        columns["date"] = pa.Column("str", pa.Check(lambda dates: parse_days(dates).notna(), name=DATE.name))
        columns["asset"] = pa.Column("str", pa.Check(lambda assets: assets.str.strip() != "", name=DATE.name))
    return pa.DataFrameSchema(columns)


def cell_check(fits: Callable[[object], bool], kind: Kind) -> pa.Check:
    """Return a check of every cell by itself, with the name of the finding that it makes."""
    return pa.Check(fits, element_wise=True, name=kind.name)


def is_image(value: object) -> bool:
    """Whether a cell holds bytes."""
    return isinstance(value, bytes) and len(value) > 0


def is_vector(value: object) -> bool:
    """Whether a cell is a vector of finite numbers."""
    return isinstance(value, np.ndarray) and len(value) > 0 and bool(np.isfinite(value.astype(float)).all())


def parse_days(dates: pd.Series) -> pd.Series:
    """Return ISO dates as timestamps; NaT where one cannot be read."""
    return pd.to_datetime(dates, format="ISO8601", errors="coerce", utc=True).dt.tz_localize(None)
