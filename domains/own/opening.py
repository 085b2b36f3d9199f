"""What a path is: a table of texts, a table of prices, a folder or archive of images, or a dataset."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from domains.errors import UserError
from domains.own.hub import NAME, is_dataset, open_dataset
from domains.own.images import items_of_folder, items_of_zip
from domains.own.new_domain import NewDomain
from domains.own.options import AddOptions
from domains.own.prices import understand_prices
from domains.own.survey import Items
from domains.own.texts import items_of_table
from domains.own.understand import understand
from domains.reading.pictures import IMAGE_ENDINGS
from domains.reading.price_tables import looks_like_prices
from domains.reading.tables import ENDINGS, Table, open_table


@dataclass(frozen=True)
class Input:
    """An input that is open: about how many examples it has, how to understand them, and they; None: of prices."""

    size: int
    understand: Callable[[Callable[[int], None]], NewDomain]
    items: Items | None = None


def open_input(name: str, options: AddOptions) -> Input:
    """Open a file, a folder or a dataset by name; nothing is written.

    Raises:
        UserError: it is not there, or no domain can be made of it.
    """
    path = Path(name)
    if path.is_dir():
        return open_hub(name, options) if is_dataset(path) else open_images(path, options)
    if path.is_file():
        return open_images(path, options) if path.suffix.lower() == ".zip" else open_file(path, options)
    if not path.exists() and path.suffix.lower() not in {*ENDINGS, *IMAGE_ENDINGS, ".zip"} and NAME.fullmatch(name):
        return open_hub(name, options)
    raise UserError(f"{name}: no such file or folder")


def open_hub(name: str, options: AddOptions) -> Input:
    return input_of(items_of_table(open_dataset(name), options), options)


def open_images(path: Path, options: AddOptions) -> Input:
    return input_of((items_of_folder if path.is_dir() else items_of_zip)(path, options), options)


def open_file(path: Path, options: AddOptions) -> Input:
    """Open a table as one of prices if it looks like one and the options do not say otherwise, else as one of texts."""
    if path.suffix.lower() in IMAGE_ENDINGS:
        raise UserError(f"{path}: is one image; give a folder with a folder of images a class")
    table = open_table(path, options.encoding)
    names_columns = options.text_column is not None or options.label_column is not None  # no price file has them
    if options.family == "market" or (options.family is None and not names_columns and looks_like_prices(table)):
        return Input(table.size, lambda advance: understand_price_file(path, options, table, advance))
    options.refuse("texts", "start", "end")
    return input_of(items_of_table(table, options), options)


def understand_price_file(path: Path, options: AddOptions, table: Table, advance: Callable[[int], None]) -> NewDomain:
    domain = understand_prices(path, options)
    advance(table.size)
    return domain


def input_of(items: Items, options: AddOptions) -> Input:
    return Input(items.size, partial(understand, items, options), items)
