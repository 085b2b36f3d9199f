"""A file of text as it is, or packed: ``.gz``, or a ``.zip`` with one table in it. Nothing is unpacked to disk."""

import gzip
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO, Any
from zipfile import BadZipFile, ZipFile

from domains.errors import UserError, first_line

PACKED = (".gz", ".zip")
MOST_BYTES = 2**33  # unpacked

#: What reading a damaged, encrypted or unknown archive raises.
DAMAGED = (gzip.BadGzipFile, BadZipFile, EOFError, RuntimeError, zlib.error)


@dataclass(frozen=True)
class RawFile:
    """A file's ending inside its packing, and how to open its bytes."""

    path: Path
    ending: str
    open: Callable[[], IO[Any]]
    packed: bool = False


def raw_file(path: Path, endings: Sequence[str], member: str = "") -> RawFile:
    """Return a file, or the only table in a ``.gz`` or ``.zip``.

    Args:
        endings: of tables.
        member: the table in a zip, if there are several.

    Raises:
        UserError: an archive is damaged, unpacks to too much, or has no table or several in it.
    """
    ending = path.suffix.lower()
    if ending == ".gz":
        return RawFile(path, Path(path.stem).suffix.lower(), partial(open_gzip, path), True)
    if ending != ".zip":
        return RawFile(path, ending, partial(path.open, "rb"))
    tables = [member] if member else tables_in_zip(path, endings)
    if len(tables) != 1:
        what = f"holds the tables {', '.join(tables)}" if tables else "holds no table"
        raise UserError(f"{path}: {what}; unpack it and give one file")
    named = path / member if member else path
    return RawFile(named, PurePosixPath(tables[0]).suffix.lower(), partial(open_member, path, tables[0]), True)


def open_gzip(path: Path) -> IO[Any]:
    return gzip.GzipFile(path)  # type: ignore[return-value]


def tables_in_zip(path: Path, endings: Sequence[str]) -> list[str]:
    """Return the names of the tables in a zip archive; what macOS keeps there is none.

    Raises:
        UserError: the archive is damaged, or a table in it is too large.
    """
    try:
        with ZipFile(path) as archive:
            members = archive.infolist()
    except (*DAMAGED, OSError) as error:
        raise UserError(f"{path}: not a readable zip archive ({first_line(error)}); replace or remove it") from error
    found = []
    for member in members:
        name = PurePosixPath(member.filename)
        if name.suffix.lower() in endings and "__MACOSX" not in name.parts and not name.name.startswith("."):
            if member.file_size > MOST_BYTES:
                raise UserError(f"{path}: {name} unpacks to more than {MOST_BYTES:,} bytes; unpack and divide it")
            found.append(member.filename)
    return sorted(found)


def open_member(path: Path, name: str) -> IO[bytes]:
    """Open a member of a zip archive, which closes with it."""
    with ZipFile(path) as archive:
        return archive.open(name)
