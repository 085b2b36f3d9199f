"""Labels of files from tables that lie beside them: ``metadata.csv``, ``train.csv``, or of any other name."""

import tempfile
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

from domains.errors import UserError
from domains.own.columns import ROWS, Profile, label_columns
from domains.own.folders import split_of
from domains.own.options import AddOptions
from domains.own.texts import label_of_flags
from domains.reading.cells import as_text
from domains.reading.folders import Files
from domains.reading.tables import ENDINGS, Cells, Table, TableOptions, open_table
from domains.words import quantity, some

TABLES = {ending for ending in ENDINGS if ending != ".txt"}  # where a line is a text
FEW = 3  # names without an ending are no chance from here on
MOST_TABLES = 50  # more are no tables of labels


@dataclass(frozen=True)
class Said:
    """What a row says of a file, empty where it says nothing."""

    label: str = ""
    split: str = ""
    group: str = ""
    time: str = ""


@dataclass(frozen=True)
class TableBeside:
    """A table that names files.

    Attributes:
        said: what it says, by the name of the file.
        columns: the names of its columns.
        used: what columns are taken for.
        lost: cells that name no file that is there.
        doubt: why no label is read from it; empty if one is.
    """

    name: str
    said: dict[str, Said]
    columns: tuple[str, ...]
    used: dict[str, str]
    lost: tuple[str, ...] = ()
    doubt: str = ""


@dataclass(frozen=True)
class Beside:
    """What all tables say together."""

    said: dict[str, Said] = field(default_factory=dict)
    used: dict[str, str] = field(default_factory=dict)
    tables: tuple[str, ...] = ()
    doubt: str = ""
    warnings: tuple[str, ...] = ()


def read_beside(files: Files, found: Sequence[str], options: AddOptions) -> Beside:
    """Read every table beside some files.

    Raises:
        UserError: two tables contradict each other, or no table has a column that an option names.
    """
    opened, unused = [], []
    tables = [name for name in files.names if PurePosixPath(name).suffix.lower() in TABLES]
    if len(tables) > MOST_TABLES:
        return Beside(warnings=(f"{len(tables):,} tables are not looked into, at most {MOST_TABLES}: {some(tables)}",))
    for name in tables:
        try:
            with open_beside(files, name, options) as table:
                read = read_table_beside(table, name, found, options)
        except UserError as error:
            unused.append(f"table {name} is not used: {without_path(error, files, name)}")
            continue
        if read is None:
            unused.append(f"table {name} is not used: no column of it names the files")
        else:
            opened.append(read)
    named: list[tuple[str, str | None]] = [("--label-column", name) for name in options.label_column]
    named += [("--group-column", options.group_column), ("--time-column", options.time_column)]
    for option, wanted in named:
        if wanted is not None and not any(wanted in one.columns for one in opened):
            raise UserError(f"{files.path}: no column {wanted!r} ({option}) in a table that names its files")
    labelled = [one for one in opened if not one.doubt]
    several = [one for one in labelled if len({said.label for said in one.said.values()} - {""}) > 1]
    for one in labelled if several else ():
        if one not in several:  # a sample of a submission, say
            unused.append(f"table {one.name} is not used: it has one label for all")
    labelled = several or labelled
    together: dict[str, Said] = {}
    for one in labelled:
        for name, said in one.said.items():
            if name in together and together[name] != said:
                raise UserError(
                    f"{files.path}: {name} has label {together[name].label!r} in one table and {said.label!r} in "
                    f"{one.name}; keep one of them"
                )
            together[name] = said
        if one.lost:
            unused.append(f"{quantity(len(one.lost), 'row')} of {one.name} without a file: {some(one.lost)}")
    for one in opened:
        if one.doubt:
            unused.append(f"no label is read from {one.name}: {without_path(one.doubt, files, one.name)}")
    doubt = next((one.doubt for one in opened if one.doubt), "")
    used = labelled[0].used if labelled else {}
    return Beside(together, used, tuple(one.name for one in labelled), doubt, tuple(unused))


def without_path(message: object, files: Files, name: str) -> str:
    return str(message).removeprefix(f"{files.path}/{name}: ")


@contextmanager
def open_beside(files: Files, name: str, options: AddOptions) -> Iterator[Table]:
    """Open a table where it lies, or from an archive by a copy that is removed afterwards."""
    if files.path.is_dir():
        yield open_table(files.path / name, TableOptions(options.encoding))
        return
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / f"table{PurePosixPath(name).suffix.lower()}"
        copy.write_bytes(files.read(name))
        try:
            table = open_table(copy, TableOptions(options.encoding))
        except UserError as error:
            raise UserError(str(error).replace(str(copy), f"{files.path}/{name}")) from error
        yield replace(table, path=files.path / name)


def read_table_beside(table: Table, name: str, found: Sequence[str], options: AddOptions) -> TableBeside | None:
    """Read what a table says of files; None if none of its columns names them.

    Raises:
        UserError: it cannot be read.
    """
    rows = [tuple((as_text(cell) or "").strip() for cell in row) for row in table.read(table.columns)]
    index, columns = FileIndex(found, name), table.columns
    if any(index.find(column) for column in columns if PurePosixPath(column).suffix):  # it has no header
        rows.insert(0, columns)
        columns = tuple(f"column {i}" for i in range(1, len(columns) + 1))
    cells = {column: [row[i] for row in rows] for i, column in enumerate(columns)}
    matched = {column: index.matched(of) for column, of in cells.items()}
    file = max(columns, key=lambda column: matched[column], default=None)
    if file is None or 2 * matched[file] < min(len(found), len({*cells[file]} - {""})) or not matched[file]:
        return None
    used = {"file": file} | {key: str(getattr(options, f"{key}_column")) for key in ("group", "time")}
    used = {key: column for key, column in used.items() if column in columns}
    taken = {*used.values(), *options.label_column}
    if split := next((column for column in columns if column not in taken and tells_split(cells[column])), None):
        used["split"] = split
    labels, doubt = label_cells(table, cells, used, options)
    said: dict[str, Said] = {}
    lost: list[str] = []
    for i, cell in enumerate(cells[file]):
        names = index.find(cell) if cell else []
        if not names:
            lost += [cell] if cell else []
            continue
        if len(names) > 1:
            doubt = doubt or f"{table.path}: row {i + 1}: {cell} may be {names[0]} or {names[1]}; add its folder"
            continue
        more = {key: cells[column][i] for key, column in used.items() if key in ("group", "time")}
        row = Said(labels[i] if labels else "", split_of(cells[split][i]) if split else "", **more)
        if said.setdefault(names[0], row) != row:
            doubt = doubt or f"{table.path}: row {i + 1}: {cell} has another label than above; keep one row a file"
    return TableBeside(name, said, columns, used, tuple(lost), doubt)


def label_cells(
    table: Table, cells: Mapping[str, Sequence[str]], used: dict[str, str], options: AddOptions
) -> tuple[list[str], str]:
    """Return the label of each row, and why there is none; the column is added to ``used``."""

    def read(wanted: Sequence[str]) -> Iterator[Cells]:
        return zip(*(cells[column] for column in wanted), strict=True)

    profiles = {column: Profile.of(of[:ROWS]) for column, of in cells.items()}
    here = tuple(column for column in options.label_column if column in cells)
    try:
        within = replace(table, columns=tuple(cells), read=read)
        names = label_columns(within, profiles, {*used.values()}, here, (used["file"],))
        used["label"] = ", ".join(names)
        if len(names) == 1:
            return list(cells[names[0]]), ""
        rows = enumerate(read(names), 1)
        return [label_of_flags(row, names, f"{table.path}: row {i}: column") for i, row in rows], ""
    except UserError as error:
        return [], str(error)


def tells_split(cells: Sequence[str]) -> bool:
    """Whether every filled cell is the name of a split, of two or more."""
    values = {cell for cell in cells if cell}
    return len(values) > 1 and all(split_of(value) for value in values) and len({*map(split_of, values)}) > 1


class FileIndex:
    """Finds files by what tables call them: with folders or without, with an ending or without."""

    def __init__(self, found: Sequence[str], table: str) -> None:
        self.table = PurePosixPath(table)
        self.by_key: dict[str, list[str]] = defaultdict(list)
        for name in found:
            path = PurePosixPath(name)
            for key in {path.name.lower(), path.stem.lower()}:
                self.by_key[key].append(name)

    def matched(self, cells: Sequence[str]) -> int:
        """Return how many files some cells name; 0 where a few numbers could be names by chance."""
        bases = {base for cell in cells if (base := self.base(cell)) in self.by_key}
        whole = any(PurePosixPath(base).suffix and not base.replace(".", "").isdigit() for base in bases)
        return len(bases) if whole or len(bases) >= FEW else 0

    def base(self, cell: str) -> str:
        """Return the key of a path: its last part, without the ending where the file has another."""
        base = cell.replace("\\", "/").rsplit("/", 1)[-1].lower()
        return base if base in self.by_key else PurePosixPath(base).stem

    def find(self, cell: str) -> list[str]:
        """Return the files that a cell may name.

        Of files of one name it is the one whose folders agree with the cell, else the one in a folder that is called
        like the table, or is of the same split, else the one beside the table.
        """
        names = self.by_key.get(self.base(cell), [])
        if len(names) < 2:
            return names
        wanted = PurePosixPath(cell.replace("\\", "/")).parts[:-1]

        def agree(name: str) -> int:
            folders = PurePosixPath(name).parts[:-1]
            ends = zip(map(str.lower, reversed(folders)), map(str.lower, reversed(wanted)), strict=False)
            return next((i for i, (a, b) in enumerate(ends) if a != b), min(len(folders), len(wanted)))

        most = max(map(agree, names))
        names = [name for name in names if agree(name) == most]
        for close in (self.in_folder_of_its_name, self.beside_the_table, lambda name: PurePosixPath(name).name == cell):
            names = [name for name in names if close(name)] or names
        return names

    def in_folder_of_its_name(self, name: str) -> bool:
        stem = self.table.stem
        split, folders = split_of(stem), PurePosixPath(name).parts[:-1]
        return any(part.lower() == stem.lower() or (split and split_of(part) == split) for part in folders)

    def beside_the_table(self, name: str) -> bool:
        return PurePosixPath(name).parent == self.table.parent
