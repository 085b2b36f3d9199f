"""Files in zip and tar archives, and images of classes among them; no name in an archive becomes a path."""

import bz2
import gzip
import hashlib
import io
import lzma
import struct
import tarfile
import tempfile
import zlib
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from types import TracebackType
from typing import IO, Any
from zipfile import BadZipFile, ZipFile, ZipInfo

import numpy as np
from PIL import Image

from domains.errors import UserError, first_line

ENDINGS = {".png", ".jpg", ".jpeg"}
MOST_BYTES = 2**33  # of an archive, uncompressed
MOST_IN_MEMBER = 2**24  # bytes of one file, uncompressed
MOST_PIXELS = 2**24  # of one image

#: How the names of tar archives end, and what opens what they are packed by.
TARS: dict[str, Any] = {
    ".tar": None,
    **dict.fromkeys((".tar.gz", ".tgz"), gzip.open),
    **dict.fromkeys((".tar.bz2", ".tbz2"), bz2.open),
    **dict.fromkeys((".tar.xz", ".txz"), lzma.open),
}
BLOCK = 2**20  # bytes

#: What is raised on an archive or a member that is damaged, encrypted or compressed in an unknown way.
UNREADABLE = (
    *(BadZipFile, tarfile.TarError, lzma.LZMAError, zlib.error),
    *(OSError, EOFError, RuntimeError, ValueError),
)
#: What Pillow raises on a file that is not an image, or only the beginning of one.
UNDECODABLE = (
    *(OSError, SyntaxError, ValueError, IndexError, KeyError, TypeError, EOFError),
    *(struct.error, Image.DecompressionBombError),
)


@dataclass(frozen=True)
class ClassImages:
    """Images by class.

    Attributes:
        names: class names, sorted.
        x: uint8 [n, C, H, W], grouped by class in the order of ``names``, within a class by file name.
        y: int64 [n], indices into ``names``.
    """

    names: tuple[str, ...]
    x: np.ndarray
    y: np.ndarray

    def take(self, classes: np.ndarray) -> "ClassImages":
        """Return some classes, given as indices into ``names`` in any order, counted anew from 0."""
        kept = np.unique(classes)
        rows = np.isin(self.y, kept)
        return ClassImages(
            tuple(self.names[c] for c in kept), self.x[rows], np.searchsorted(kept, self.y[rows]).astype(np.int64)
        )


def is_tar(path: Path) -> bool:
    """Whether a file is called as tar archives are."""
    return tar_ending(path) is not None


def tar_ending(path: Path) -> str | None:
    """Return how the name of a tar archive ends, None of another file."""
    return next((ending for ending in TARS if path.name.lower().endswith(ending)), None)


class TarArchive:
    """The files and folders of a tar archive, packed or not, read as ``ZipFile`` reads a zip.

    A packed one is unpacked into a temporary file without a name, as its members are not read in their order.

    Attributes:
        links: names of members that are links or devices, which are never read.

    Raises:
        OSError, EOFError, tarfile.TarError, lzma.LZMAError, zlib.error: it is damaged, or does not fit on the disk.
        ValueError: it unpacks to more than ``MOST_BYTES``.
    """

    def __init__(self, path: Path) -> None:
        self._file = unpacked(path)
        try:
            self._tar = tarfile.open(fileobj=self._file, mode="r:")  # noqa: SIM115  # is open as long as this is
            every = list(self._tar)
        except BaseException:
            self._file.close()
            raise
        self._members = {tar_name(member): member for member in every if member.isfile() or member.isdir()}
        self.links = tuple(member.name for member in every if not (member.isfile() or member.isdir()))

    def infolist(self) -> list[ZipInfo]:
        return [self.getinfo(name) for name in self._members]

    def namelist(self) -> list[str]:
        return list(self._members)

    def getinfo(self, name: str) -> ZipInfo:
        info = ZipInfo(name)
        info.file_size = self._members[name].size
        return info

    def read(self, name: str) -> bytes:
        file = self._tar.extractfile(self._members[name])
        if file is None:
            raise ValueError("is a folder")
        body = file.read()
        if len(body) < self._members[name].size:
            raise EOFError("the archive ends in it")
        return body

    def close(self) -> None:
        self._tar.close()
        self._file.close()


def unpacked(path: Path) -> IO[bytes]:
    """Return a tar archive as it is, or unpacked in a temporary file."""
    unpack = TARS[tar_ending(path) or ".tar"]
    if unpack is None:
        return path.open("rb")
    file = tempfile.TemporaryFile()  # noqa: SIM115  # the archive closes it
    with unpack(path) as packed:
        try:
            while block := packed.read(BLOCK):
                file.write(block)
                if file.tell() > MOST_BYTES:
                    raise ValueError(f"unpacks to more than {MOST_BYTES:,} bytes")
        except BaseException:
            file.close()
            raise
    file.seek(0)
    return file


def tar_name(member: tarfile.TarInfo) -> str:
    """Return the name of a member, that of a folder with ``/`` at its end, as in a zip."""
    return member.name + "/" * member.isdir()


class ImageArchive:
    """The images of a zip or tar archive, by member name.

    Attributes:
        names: sorted names of the members that may be read: those with one of ``endings``.
        entries: the names of all members, folders too.
        links: names of members of a tar that are links.

    Raises:
        UserError: it is no such archive, a member's name leads out of it, or what may be read of it unpacks to more
            than ``MOST_BYTES``.
    """

    def __init__(self, path: Path, endings: Set[str] = ENDINGS) -> None:
        self.path, self.endings = path, endings
        kind = "tar" if is_tar(path) else "zip"
        try:
            self._archive = TarArchive(path) if kind == "tar" else ZipFile(path)
        except UNREADABLE as error:
            raise UserError(
                f"{path}: not a readable {kind} archive ({first_line(error)}); replace or remove it"
            ) from error
        try:
            self._check()
        except UserError:
            self._archive.close()
            raise
        self.links = getattr(self._archive, "links", ())
        self.entries = tuple(self._archive.namelist())
        paths = {name: PurePosixPath(name) for name in self.entries}
        self.names = sorted(
            name
            for name, member in paths.items()
            if member.suffix.lower() in endings and "__MACOSX" not in member.parts  # there macOS keeps attributes
        )

    def _check(self) -> None:
        total = 0
        for member in self._archive.infolist():
            where = PureWindowsPath(member.filename)  # knows both / and \, and drives
            if where.anchor or ".." in where.parts:
                raise UserError(f"{self.path}: member {member.filename!r} leads out of the archive; do not use it")
            if where.suffix.lower() not in self.endings:
                continue  # is never unpacked
            total += member.file_size
            if member.file_size > MOST_IN_MEMBER or total > MOST_BYTES:
                raise UserError(
                    f"{self.path}: unpacks to more than an image archive may have ({MOST_IN_MEMBER:,} bytes a member, "
                    f"{MOST_BYTES:,} in all; reached at {member.filename!r}); do not use it"
                )

    def __enter__(self) -> "ImageArchive":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._archive.close()

    def read(self, name: str) -> bytes:
        """Return the bytes of a member: as many at most as its header says.

        Raises:
            UserError: it is damaged or encrypted, or has more than ``MOST_IN_MEMBER``.
        """
        if (size := self._archive.getinfo(name).file_size) > MOST_IN_MEMBER:
            raise UserError(f"{self.path}: {name} unpacks to {size:,} bytes, at most {MOST_IN_MEMBER:,}; unpack it")
        try:
            return self._archive.read(name)
        except UNREADABLE as error:
            raise UserError(f"{self.path}: cannot read {name} ({first_line(error)}); replace the archive") from error

    def pixels(self, name: str, mode: str, side: int) -> np.ndarray:
        """Return an image as uint8 [C, side, side], resized if it has another size (Lanczos, antialiased).

        Args:
            mode: ``L`` (grey, C = 1) or ``RGB`` (C = 3).

        Raises:
            UserError: the member cannot be read, is not a whole image, or has more than ``MOST_PIXELS``.
        """
        body = self.read(name)
        try:
            with Image.open(io.BytesIO(body)) as image:
                if image.width * image.height > MOST_PIXELS:
                    raise ValueError(f"more than {MOST_PIXELS:,} pixels")
                whole = image.convert(mode)  # before it is resized: images of 1 bit are never antialiased
        except UNDECODABLE as error:
            raise UserError(f"{self.path}: {name} is not a readable image; replace the archive") from error
        if whole.size != (side, side):
            whole = whole.resize((side, side), Image.Resampling.LANCZOS)
        return np.asarray(whole).reshape(side, side, -1).transpose(2, 0, 1)


def read_classes(
    members: Mapping[str, Sequence[tuple[ImageArchive, str]]], mode: str = "RGB", side: int = 84
) -> ClassImages:
    """Return the images of every class, given as (archive, member name).

    Args:
        mode: ``L`` or ``RGB``: a letter is a channel. See `ImageArchive.pixels`, errors included.
    """
    names = tuple(sorted(members))
    y = np.repeat(np.arange(len(names)), [len(members[name]) for name in names])
    x = np.empty((len(y), len(mode), side, side), np.uint8)
    rows = iter(x)
    for name in names:
        for archive, member in sorted(members[name], key=lambda pair: pair[1]):
            next(rows)[:] = archive.pixels(member, mode, side)
    return ClassImages(names, x, y.astype(np.int64))


def content_sha256(path: Path) -> str:
    """Return a sha256, in hexadecimal, of the PNG images in a zip archive, however it was packed.

    It is taken over every image's name, a zero byte and the sha256 of its bytes, in the order of names.

    Raises:
        UserError: the archive or a member cannot be read.
    """
    whole = hashlib.sha256()
    with ImageArchive(path) as archive:
        for name in archive.names:
            if name.lower().endswith(".png"):
                whole.update(name.encode() + b"\0" + hashlib.sha256(archive.read(name)).digest())
    return whole.hexdigest()
