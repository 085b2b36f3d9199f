"""Read a user's file of new examples, for prediction."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from domains.domain import Family
from domains.errors import UserError

IMAGES = {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp"}


@dataclass(frozen=True)
class NewExamples:
    """Raw examples as an encoder reads them, and columns that name them in the output."""

    examples: Sequence[Any]
    names: pd.DataFrame


def read_examples(family: Family, path: Path, column: str | None = None) -> NewExamples:
    """Read texts (CSV, TSV, JSONL, Parquet, or TXT with one a line), images (a file or a folder), or prices.

    Args:
        column: the text column, where it is not called ``text`` and there are several.

    Raises:
        UserError: the file is absent, unreadable, empty, or lacks the column; one line that says where.
    """
    if not path.exists():
        raise UserError(f"{path}: no such file")
    reader = {"text": read_texts, "vision": read_images, "market": read_prices}[family]
    found = reader(path, column)
    if not len(found.examples):
        raise UserError(f"{path}: no examples in it")
    return found


def read_table(path: Path) -> pd.DataFrame:
    """Read a table by its ending, all columns as text where the format has no types."""
    ending = path.suffix.lower()
    try:
        if ending == ".parquet":
            return pd.read_parquet(path)
        if ending in (".jsonl", ".ndjson"):
            return pd.DataFrame([json.loads(line) for line in path.read_text("utf-8").splitlines() if line.strip()])
        if ending == ".txt":
            return pd.DataFrame({"text": [line for line in path.read_text("utf-8-sig").splitlines() if line.strip()]})
        separator = "\t" if ending == ".tsv" else None
        return pd.read_csv(path, sep=separator, engine="python", encoding="utf-8-sig", dtype=str, keep_default_na=False)
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not UTF-8 at byte {error.start}; save it as UTF-8") from error
    except (ValueError, OSError, pd.errors.ParserError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"{path}: cannot be read as a table ({reason}); use CSV, TSV, JSONL, Parquet or TXT") from error


def read_texts(path: Path, column: str | None) -> NewExamples:
    table = read_table(path)
    if column is None:
        column = "text" if "text" in table.columns else table.columns[0] if len(table.columns) == 1 else None
    if column is None or column not in table.columns:
        raise UserError(f"{path}: which column is the text? It has {', '.join(map(str, table.columns))}; say --column")
    texts = table[column].fillna("").astype(str)
    empty = texts.str.strip() == ""
    if empty.any():
        raise UserError(f"{path}: row {int(empty.argmax()) + 1} has an empty text; remove it or fill it in")
    return NewExamples(texts.tolist(), pd.DataFrame({column: texts}))


def read_images(path: Path, column: str | None) -> NewExamples:
    from PIL import Image, UnidentifiedImageError

    files = sorted(p for p in path.rglob("*") if p.suffix.lower() in IMAGES) if path.is_dir() else [path]
    for file in files:
        try:
            with Image.open(file) as image:
                image.verify()
        except (UnidentifiedImageError, OSError, SyntaxError) as error:
            raise UserError(f"{file}: not a readable image; remove it or save it again as PNG") from error
    names = [str(file.relative_to(path)) if path.is_dir() else file.name for file in files]
    return NewExamples([file.read_bytes() for file in files], pd.DataFrame({"file": names}))


def read_prices(path: Path, column: str | None) -> NewExamples:
    from domains.market.features import features

    table = read_table(path)
    dates = pd.to_datetime(table.iloc[:, 0], errors="coerce")
    if dates.isna().any():
        raise UserError(f"{path}: row {int(dates.isna().argmax()) + 1}: the first column must hold dates (YYYY-MM-DD)")
    prices = table.iloc[:, 1:].apply(pd.to_numeric, errors="coerce").set_index(pd.DatetimeIndex(dates))
    x = features(prices)
    names = x.index.to_frame(index=False).set_axis(["date", "asset"], axis=1)
    last = (names["date"] == names["date"].max()).to_numpy()
    names = names.assign(date=names["date"].dt.strftime("%Y-%m-%d"))
    return NewExamples(list(x.to_numpy()[last]), names[last].reset_index(drop=True))
