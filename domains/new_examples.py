"""Read a file of new examples, which are to be predicted or held against those that a model learned from."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from domains.domain import Family
from domains.errors import UserError
from domains.market.features import features
from domains.market.period import period_warnings
from domains.reading.pictures import IMAGE_ENDINGS, read_image
from domains.reading.price_tables import OR_SAY, read_prices
from domains.reading.whole_tables import read_table


@dataclass(frozen=True)
class NewExamples:
    """Raw examples as an encoder reads them, columns that name them in the output, and a line for each doubt."""

    examples: Sequence[Any]
    names: pd.DataFrame
    warnings: tuple[str, ...] = ()


def read_examples(family: Family, path: Path, column: str | None = None) -> NewExamples:
    """Read texts (CSV, TSV, JSONL, Parquet, or TXT with one a line), images (a file or a folder), or prices.

    Args:
        column: the text column, where it is not called ``text`` and there are several.

    Raises:
        UserError: the file is absent, unreadable, empty, or lacks the column; one line that says where.
    """
    if not path.exists():
        raise UserError(f"{path}: no such file")
    reader = {"text": read_texts, "vision": read_images, "market": read_last_day}[family]
    found = reader(path, column)
    if not len(found.examples):
        raise UserError(f"{path}: no examples in it")
    return found


def read_texts(path: Path, column: str | None) -> NewExamples:
    """Read the text column of a table."""
    table, warnings = read_table(path)
    if column is None:
        column = "text" if "text" in table.columns else table.columns[0] if len(table.columns) == 1 else None
    if column is None or column not in table.columns:
        raise UserError(f"{path}: which column is the text? It has {', '.join(map(str, table.columns))}; say --column")
    texts = table[column].fillna("").astype(str)
    empty = texts.str.strip() == ""
    if empty.any():
        raise UserError(f"{path}: row {int(empty.argmax()) + 1} has an empty text; remove it or fill it in")
    return NewExamples(texts.tolist(), pd.DataFrame({column: texts}), warnings)


def read_images(path: Path, column: str | None) -> NewExamples:
    """Read one image, or those of a folder in the order of their names, except those whose names begin with a dot."""
    files = [path]
    if path.is_dir():
        found = (p for p in path.rglob("*") if p.suffix.lower() in IMAGE_ENDINGS and p.is_file())
        files = sorted(p for p in found if not any(part.startswith(".") for part in p.relative_to(path).parts))
    names = [str(file.relative_to(path)) if path.is_dir() else file.name for file in files]
    return NewExamples([read_image(read_bytes(file), str(file)) for file in files], pd.DataFrame({"file": names}))


def read_bytes(path: Path) -> bytes:
    """Return what is in a file, or raise UserError that says why it cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror or error}); change its rights") from error


def read_last_day(path: Path, column: str | None) -> NewExamples:
    """Read the features of every asset on the last day of a price table."""
    x, warnings = price_features(path)
    names = x.index.to_frame(index=False).set_axis(["date", "asset"], axis=1)
    last = (names["date"] == names["date"].max()).to_numpy()
    names = names.assign(date=names["date"].dt.strftime("%Y-%m-%d"))
    return NewExamples(list(x.to_numpy()[last]), names[last].reset_index(drop=True), warnings)


def price_features(path: Path) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Return the features [dates * assets, F] of a price table, indexed by date and asset, and a line for each doubt.

    Raises:
        UserError: the file is no price table, or its prices are not usable or too few.
    """
    if not path.exists():
        raise UserError(f"{path}: no such file")
    try:
        found = read_prices(path)
        return features(found.prices), (*found.warnings, *period_warnings(found.prices.index))
    except UserError as error:
        said = str(error).partition(OR_SAY)[0].partition("; say --")[0]
        raise UserError(said if said.startswith(f"{path}: ") else f"{path}: {said}") from error
