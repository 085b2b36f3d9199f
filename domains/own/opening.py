"""What a path is: a table of texts, prices, a folder or archive of images, or a dataset."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from domains.errors import UserError
from domains.own.hub import NAME, is_dataset, open_dataset
from domains.own.images import from_folder, from_zip
from domains.own.options import Asked, Found
from domains.own.prices import understand_prices
from domains.own.survey import Items
from domains.own.texts import from_table
from domains.own.understand import understand
from domains.reading.pictures import IMAGE_ENDINGS
from domains.reading.price_tables import looks_like_prices
from domains.reading.tables import ENDINGS, Table, open_table


@dataclass(frozen=True)
class Opened:
    """Something that has been opened: about how many examples it has, and how to understand them."""

    size: int
    understand: Callable[[Callable[[int], None]], Found]


def open_input(name: str, asked: Asked) -> Opened:
    """Open a file, a folder or a dataset by name; nothing is written.

    Raises:
        UserError: it is not there, or nothing that a domain could be made of.
    """
    path = Path(name)
    if path.is_dir():
        return opened(from_table(open_dataset(name), asked), asked) if is_dataset(path) else images(path, asked)
    if path.is_file():
        return images(path, asked) if path.suffix.lower() == ".zip" else table(path, asked)
    if not path.exists() and path.suffix.lower() not in {*ENDINGS, *IMAGE_ENDINGS, ".zip"} and NAME.fullmatch(name):
        return opened(from_table(open_dataset(name), asked), asked)
    raise UserError(f"{name}: no such file or folder")


def images(path: Path, asked: Asked) -> Opened:
    return opened(from_folder(path, asked) if path.is_dir() else from_zip(path, asked), asked)


def table(path: Path, asked: Asked) -> Opened:
    if path.suffix.lower() in IMAGE_ENDINGS:
        raise UserError(f"{path}: is one image; give a folder with a folder of images a class")
    found = open_table(path, asked.encoding)
    if asked.family == "market" or (asked.family is None and not said(asked) and looks_like_prices(found)):
        return Opened(found.size, lambda advance: prices(path, asked, found, advance))
    asked.refuse("texts", "start", "end")
    return opened(from_table(found, asked), asked)


def prices(path: Path, asked: Asked, found: Table, advance: Callable[[int], None]) -> Found:
    understood = understand_prices(path, asked)
    advance(found.size)
    return understood


def said(asked: Asked) -> bool:
    """Whether columns were named that no price file has."""
    return asked.text_column is not None or asked.label_column is not None


def opened(items: Items, asked: Asked) -> Opened:
    return Opened(items.size, partial(understand, items, asked))
