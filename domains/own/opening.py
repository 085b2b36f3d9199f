"""What a path is: a table of texts, an export of annotations, prices, a folder or archive of files, or a dataset."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from domains.errors import UserError
from domains.own.annotations import read_annotations
from domains.own.arrays import items_of_arrays
from domains.own.files import items_of_files
from domains.own.hub import NAME, is_dataset, open_dataset
from domains.own.new_domain import NewDomain
from domains.own.options import AddOptions
from domains.own.prices import understand_prices
from domains.own.splits import items_of_splits, tables_by_split
from domains.own.survey import Items
from domains.own.texts import items_of_table
from domains.own.understand import understand
from domains.reading.archives import is_tar
from domains.reading.arrays import NPZ
from domains.reading.folders import holds_files
from domains.reading.packed import PACKED
from domains.reading.pictures import IMAGE_ENDINGS
from domains.reading.price_tables import looks_like_prices
from domains.reading.tables import ENDINGS, open_table

#: Options that mean nothing for other inputs than prices.
PRICES_ONLY = ("start", "end", "date_order", "decimal", "time_zone", "price_column", "asset_column")


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
    if path.is_dir() and is_dataset(path) and not has_images(path):
        return open_hub(name, options)
    if (path.is_dir() or path.suffix.lower() == ".zip") and (tables := split_tables(path, options)):
        return input_of(items_of_splits(path, tables, options), options)
    if path.is_dir():
        return open_files(path, options)
    if path.suffix.lower() == NPZ and path.is_file():
        options.refuse("arrays of images", *PRICES_ONLY)
        return input_of(items_of_arrays(path, options), options)
    if path.is_file():
        return open_files(path, options) if holds_files(path) else open_file(path, options)
    endings = {*ENDINGS, *IMAGE_ENDINGS, *PACKED, NPZ}
    if not (path.exists() or path.suffix.lower() in endings or is_tar(path)) and NAME.fullmatch(name):
        return open_hub(name, options)
    address = "; an address is not read, so download it and give the file" if "://" in name else ""
    raise UserError(f"{name}: no such file or folder{address}")


def split_tables(path: Path, options: AddOptions) -> dict[str, str]:
    """Return the tables of a folder or zip by split; nothing where it holds files of examples, or is said to."""
    if options.folders or options.family in ("vision", "market") or not path.exists():
        return {}
    return {} if (has_images(path) if path.is_dir() else holds_files(path)) else tables_by_split(path)


def has_images(path: Path) -> bool:
    """Whether a folder holds images, so that a Parquet file in it is a table beside them."""
    return any(file.suffix.lower() in IMAGE_ENDINGS for file in path.rglob("*"))


def open_hub(name: str, options: AddOptions) -> Input:
    table, options = read_annotations(open_dataset(name), options)
    return input_of(items_of_table(table, options), options)


def open_files(path: Path, options: AddOptions) -> Input:
    return input_of(items_of_files(path, options), options)


def open_file(path: Path, options: AddOptions) -> Input:
    """Open a table as one of prices if it looks like one and the options do not say otherwise, else as one of texts."""
    if path.suffix.lower() in IMAGE_ENDINGS:
        raise UserError(f"{path}: is one image; give a folder with a folder of images a class")
    names_columns = options.text_column or options.label_column  # no price file has them
    if options.family == "market" or (
        options.family is None and not names_columns and looks_like_prices(path, options.prices)
    ):
        options.refuse("prices", "several", "unlabelled", "keep_labels", "folders", "header")
        return Input(1, lambda advance: understand_price_file(path, options, advance))
    options.refuse("texts", *PRICES_ONLY, "folders")
    table, options = read_annotations(open_table(path, options.table), options)
    return input_of(items_of_table(table, options), options)


def understand_price_file(path: Path, options: AddOptions, advance: Callable[[int], None]) -> NewDomain:
    domain = understand_prices(path, options)
    advance(1)
    return domain


def input_of(items: Items, options: AddOptions) -> Input:
    return Input(items.size, partial(understand, items, options), items)
