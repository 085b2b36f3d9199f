"""Read a user's file of new examples for prediction, and write what came of them."""

import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from domains.domain import Family
from domains.errors import UserError, line

IMAGES = {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp"}


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
    reader = {"text": read_texts, "vision": read_images, "market": read_prices}[family]
    found = reader(path, column)
    if not len(found.examples):
        raise UserError(f"{path}: no examples in it")
    return found


def read_table(path: Path) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Read a table by its ending, and say what is doubtful in it; cells are text where the format has no types.

    Raises:
        UserError: the ending is unknown, or the content is not what it says.
    """
    from domains.reading.tables import ENDINGS, open_table
    from domains.reading.text_encodings import OR_SAY

    ending, warnings = path.suffix.lower(), tuple[str, ...]()
    try:
        if ending not in ENDINGS or path.is_dir():
            raise ValueError("its name has none of these endings")
        if ending == ".parquet":
            table = pd.read_parquet(path)
        else:
            found = open_table(path)
            table = pd.DataFrame(found.read(found.columns), columns=list(found.columns))
            warnings = found.warnings
    except UserError as error:
        raise UserError(str(error).removesuffix(OR_SAY)) from error
    except (ValueError, OSError) as error:
        raise UserError(f"{path}: cannot be read as a table ({line(error)}); use {', '.join(ENDINGS)}") from error
    if table.empty:
        raise UserError(f"{path}: no examples in it")
    if not table.columns.is_unique:
        twice = table.columns[table.columns.duplicated()][0]
        raise UserError(f"{path}: two columns are called {twice}; rename one of them")
    return table, tuple(warning.removesuffix(OR_SAY) for warning in warnings)


def read_texts(path: Path, column: str | None) -> NewExamples:
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
    """Read an image, or those of a folder in the order of their names, without what begins with a dot."""
    files = [path]
    if path.is_dir():
        found = (p for p in path.rglob("*") if p.suffix.lower() in IMAGES and p.is_file())
        files = sorted(p for p in found if not any(part.startswith(".") for part in p.relative_to(path).parts))
    names = [str(file.relative_to(path)) if path.is_dir() else file.name for file in files]
    return NewExamples([read_image(read_bytes(file), str(file)) for file in files], pd.DataFrame({"file": names}))


def read_bytes(path: Path) -> bytes:
    """Return what is in a file, or raise UserError that says why it cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror or error}); change its rights") from error


def read_image(content: bytes, name: str) -> bytes:
    """Return an encoded image as encoders read it (``domains/reading/pictures.py``).

    Raises:
        UserError: it is none that can be read; ``name`` says which.
    """
    from domains.reading.pictures import picture

    try:
        return picture(content).content
    except (OSError, ValueError) as error:
        raise UserError(f"{name}: not a readable image ({error}); remove it or save it again as PNG") from error


def price_features(path: Path) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Return the features [dates * assets, F] of a price table, indexed by date and asset, and what is doubtful in it.

    Raises:
        UserError: the file is no price table, or its prices are not usable or too few.
    """
    from domains.market.features import features
    from domains.own.prices import asset_table, usable

    if not path.exists():
        raise UserError(f"{path}: no such file")
    try:
        table, doubts = read_table(path)
        prices, warnings = usable(asset_table(table, path)[0], path)
        return features(prices), (*doubts, *warnings)
    except UserError as error:
        raise UserError(str(error) if str(error).startswith(f"{path}: ") else f"{path}: {error}") from error


def read_prices(path: Path, column: str | None) -> NewExamples:
    x, warnings = price_features(path)
    names = x.index.to_frame(index=False).set_axis(["date", "asset"], axis=1)
    last = (names["date"] == names["date"].max()).to_numpy()
    names = names.assign(date=names["date"].dt.strftime("%Y-%m-%d"))
    return NewExamples(list(x.to_numpy()[last]), names[last].reset_index(drop=True), warnings)


def write_whole(path: Path, content: str | bytes) -> None:
    """Write a file whole or not at all.

    Raises:
        UserError: its folder is absent or may not be written to, or the disk is full.
    """
    target = path.resolve()  # a link stays a link
    new = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        new.write_bytes(content.encode() if isinstance(content, str) else content)
        os.replace(new, target)
    except OSError as error:
        with suppress(OSError):
            new.unlink(missing_ok=True)
        raise UserError(f"cannot write {path}: {error.strerror or error}; choose another path") from error
