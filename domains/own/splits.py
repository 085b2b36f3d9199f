"""Tables that divide a domain between them, ``train.csv`` and ``test.csv`` in a folder or a zip, as one input."""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from domains.errors import UserError
from domains.own.annotations import read_annotations
from domains.own.columns import ColumnNames, find_columns
from domains.own.folders import split_of
from domains.own.options import AddOptions
from domains.own.survey import Item, Items
from domains.own.texts import items_of_table, read_items
from domains.reading.folders import TEXT_FILES, files_of_folder
from domains.reading.packed import tables_in_zip
from domains.reading.tables import TEXT_ENDINGS, Table, open_table
from domains.words import quantity, some

MOST_NOTES = 3  # files of text beside tables that are no examples: a README, a licence
ENDINGS = tuple(ending for ending in TEXT_ENDINGS if ending != ".txt")  # a .txt in a folder holds a text


@dataclass(frozen=True)
class Part:
    """A table by its name, and what its rows are: of a split, or the pool where it has no labels."""

    name: str
    table: Table
    split: str
    columns: ColumnNames


def tables_by_split(path: Path) -> dict[str, str]:
    """Return the names of the tables in a folder or zip by the splits that they are called.

    Nothing unless one is called train and another something else, and no two are called the same; and of a folder of
    texts, a file each.

    Raises:
        UserError: a zip is damaged, or a link leads out of the folder.
    """
    splits = [(split_of(PurePosixPath(name).stem), name) for name in table_names(path)]
    found = {split: name for split, name in splits if split}
    one_each = len(found) == sum(bool(split) for split, _ in splits)
    return found if "train" in found and len(found) > 1 and one_each else {}


def table_names(path: Path) -> list[str]:
    """Return the names of the tables in a folder or zip; none in a folder of texts."""
    if not path.is_dir():
        return tables_in_zip(path, ENDINGS)
    names = files_of_folder(path).names
    texts = sum(PurePosixPath(name).suffix.lower() in TEXT_FILES for name in names)
    return [name for name in names if name.lower().endswith(ENDINGS)] if texts <= MOST_NOTES else []


def items_of_splits(path: Path, names: Mapping[str, str], options: AddOptions) -> Items:
    """Return the examples of tables by split. What is which column is told by the one called train.

    Raises:
        UserError: nothing tells which column is which, or another table has other columns.
    """
    tables = {
        split: open_table(path / name, options.table) if path.is_dir() else open_table(path, options.table, name)
        for split, name in names.items()
    }
    tables["train"], options = read_annotations(tables["train"], options)
    columns = find_columns(tables["train"], options)
    whole = items_of_table(tables["train"], options, columns)
    tables |= {split: read_annotations(table, options)[0] for split, table in tables.items() if split != "train"}
    parts = [part_of(names[split], table, split, columns) for split, table in tables.items()]
    starts: dict[str, int] = {}

    def read() -> Iterator[Item]:
        at = 0
        for part in parts:
            starts[part.name] = at
            for item in read_items(part.table, part.columns, whole.family):
                at += 1
                yield item._replace(split=part.split)

    def where(i: int) -> str:
        name = max((name for name in starts if starts[name] <= i), key=starts.__getitem__)
        return f"row {i - starts[name] + 1} of {name}"

    said = [f"tables are read as splits: {', '.join(f'{part.name} is {part.split}' for part in parts)}"]
    if others := sorted(set(table_names(path)) - set(names.values())):
        said.append(f"{quantity(len(others), 'other table')} left out: {some(others)}")
    said += [f"{part.name}: {warning}" for part in parts for warning in part.table.warnings]
    digests = "".join(f"{part.name}\0{part.table.sha256}\n" for part in parts)
    return replace(
        whole,
        kind=f"tables by split, {whole.kind}",
        file=path.resolve().name,
        size=sum(part.table.size for part in parts),
        read=read,
        where=where,
        sha256=hashlib.sha256(digests.encode()).hexdigest,
        warnings=tuple(said),
    )


def part_of(name: str, table: Table, split: str, columns: ColumnNames) -> Part:
    """Return a table with the columns that another has; without those of labels its rows are the pool.

    Raises:
        UserError: it lacks another column.
    """
    if not set(columns.labels) <= set(table.columns):
        split, columns = "pool", replace(columns, labels=())
    if absent := [column for column in columns.names if column not in table.columns]:
        raise UserError(
            f"{table.path}: no column {absent[0]!r}, which the table called train has; it has {some(table.columns)}"
        )
    return Part(name, table, split, columns)
