"""Images of classes, read out of zip archives; nothing is extracted to disk."""

import hashlib
import io
import struct
import zlib
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from types import TracebackType
from zipfile import BadZipFile, ZipFile

import numpy as np
from PIL import Image

from domains.errors import UserError, first_line

ENDINGS = {".png", ".jpg", ".jpeg"}
MOST_BYTES = 2**33  # of an archive, uncompressed
MOST_IN_MEMBER = 2**24  # bytes of one file, uncompressed
MOST_PIXELS = 2**24  # of one image

#: What zipfile raises on a member that is damaged, encrypted or compressed in a way it does not know.
UNREADABLE = (BadZipFile, OSError, EOFError, RuntimeError, ValueError, zlib.error)
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


class ImageArchive:
    """The images of a zip archive, by member name.

    Attributes:
        names: sorted names of the members that may be read: those with one of ``endings``.
        entries: the names of all members, folders too.

    Raises:
        UserError: it is not a zip archive, a member's name leads out of it, or what may be read of it unpacks to more
            than ``MOST_BYTES``.
    """

    def __init__(self, path: Path, endings: Set[str] = ENDINGS) -> None:
        self.path, self.endings = path, endings
        try:
            self._zip = ZipFile(path)
        except UNREADABLE as error:
            raise UserError(
                f"{path}: not a readable zip archive ({first_line(error)}); replace or remove it"
            ) from error
        try:
            self._check()
        except UserError:
            self._zip.close()
            raise
        self.entries = tuple(self._zip.namelist())
        paths = {name: PurePosixPath(name) for name in self.entries}
        self.names = sorted(
            name
            for name, member in paths.items()
            if member.suffix.lower() in endings and "__MACOSX" not in member.parts  # there macOS keeps attributes
        )

    def _check(self) -> None:
        total = 0
        for member in self._zip.infolist():
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
        self._zip.close()

    def read(self, name: str) -> bytes:
        """Return the bytes of a member: as many at most as its header says.

        Raises:
            UserError: it is damaged or encrypted, or has more than ``MOST_IN_MEMBER``.
        """
        if (size := self._zip.getinfo(name).file_size) > MOST_IN_MEMBER:
            raise UserError(f"{self.path}: {name} unpacks to {size:,} bytes, at most {MOST_IN_MEMBER:,}; unpack it")
        try:
            return self._zip.read(name)
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
