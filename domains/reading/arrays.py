"""Images in a ``.npz``, as NumPy, MedMNIST and Keras write them: arrays of images, an image at a time.

Nothing is unpickled: an array of objects is refused by its header.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import IO
from zipfile import ZipFile

import numpy as np

from domains.errors import UserError, first_line
from domains.reading.archives import UNREADABLE
from domains.reading.packed import MOST_BYTES
from domains.reading.pictures import MOST_PIXELS

NPZ = ".npz"
HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
BLOCK = 2**24  # bytes that are read at once, of one row at least
MOST_LABELS = 2**28  # bytes
CHANNELS = (1, 3, 4)  # grey, RGB, RGB with transparency


@dataclass(frozen=True)
class StoredArray:
    """An array of a file, by its header: of it no more is in memory than is asked for."""

    path: Path
    name: str
    shape: tuple[int, ...]
    dtype: np.dtype

    def blocks(self) -> Iterator[np.ndarray]:
        """Yield the array [n, ...] in blocks of some rows.

        Raises:
            UserError: the file is damaged.
        """
        try:
            with ZipFile(self.path) as archive, archive.open(f"{self.name}.npy") as file:
                read_header(file)
                a_row = self.dtype.itemsize * math.prod(self.shape[1:])
                most = max(1, BLOCK // max(1, a_row))
                for start in range(0, self.shape[0], most):
                    count = min(most, self.shape[0] - start)
                    body = file.read(count * a_row)
                    if len(body) < count * a_row:
                        raise EOFError("the file ends in it")
                    yield np.frombuffer(body, self.dtype).reshape(count, *self.shape[1:])
        except (*UNREADABLE, KeyError) as error:
            raise UserError(f"{self.path}: cannot read {self.name} ({first_line(error)}); replace the file") from error

    def whole(self) -> np.ndarray:
        """Return all of it.

        Raises:
            UserError: it is large for labels, or the file is damaged.
        """
        if (size := self.dtype.itemsize * math.prod(self.shape)) > MOST_LABELS:
            raise UserError(f"{self.path}: {self.name} has {size:,} bytes, too many for labels")
        return np.concatenate([np.empty((0, *self.shape[1:]), self.dtype), *self.blocks()])

    @property
    def is_images(self) -> bool:
        """Whether its shape is that of images: [n, H, W], [n, H, W, channels] or [n, channels, H, W]."""
        if self.dtype.kind not in "buif" or len(self.shape) not in (3, 4) or min(self.shape) < 1:
            return False
        sides = sorted(self.shape[1:])[-2:]
        return sides[0] > max(CHANNELS) and (len(self.shape) == 3 or self.channel_axis is not None)

    @property
    def channel_axis(self) -> int | None:
        """The axis of the channels, the last before the second; None where there is none."""
        if len(self.shape) != 4:
            return None
        return next((axis for axis in (3, 1) if self.shape[axis] in CHANNELS), None)

    @cached_property
    def scale(self) -> float:
        """What turns the values into 0 to 255: 1, or 255 for values between 0 and 1.

        Raises:
            UserError: they lie outside of both, or some are not numbers.
        """
        low, high = np.inf, -np.inf
        for block in self.blocks():
            low, high = np.minimum(low, block.min()), np.maximum(high, block.max())  # NaN stays
        if not (low >= 0 and high <= 255):
            raise UserError(
                f"{self.path}: {self.name} has values from {low:g} to {high:g}; save images as 0 to 255, or as 0 to 1"
            )
        return 255.0 if high <= 1 else 1.0

    def images(self) -> Iterator[np.ndarray]:
        """Yield its images as uint8 [H, W] or [H, W, channels].

        Raises:
            UserError: as ``scale`` says, the images are too large, or the file is damaged.
        """
        axis = self.channel_axis
        if math.prod(self.shape[1:]) > MOST_PIXELS:
            raise UserError(
                f"{self.path}: images of {self.name} have more than {MOST_PIXELS:,} values; scale them down"
            )
        for block in self.blocks():
            moved = block if axis is None else np.moveaxis(block, axis, 3)
            moved = moved[..., 0] if axis is not None and moved.shape[3] == 1 else moved
            same = moved.dtype == np.uint8 and self.scale == 1
            yield from np.ascontiguousarray(moved if same else np.rint(moved * self.scale).astype(np.uint8))


def arrays_of(path: Path) -> list[StoredArray]:
    """Return the arrays of a ``.npz`` in the order of their names.

    Raises:
        UserError: it is no such file, holds objects of Python, or unpacks to too much.
    """
    found = []
    try:
        with ZipFile(path) as archive:
            if sum(member.file_size for member in archive.infolist()) > MOST_BYTES:
                raise UserError(f"{path}: unpacks to more than {MOST_BYTES:,} bytes; divide it")
            for member in sorted(archive.namelist()):
                if not member.endswith(".npy"):
                    continue
                name = member.removesuffix(".npy")
                if not name.isprintable():
                    raise UserError(f"{path}: {name!a:.80} is no name of an array; save it again")
                with archive.open(member) as file:
                    shape, by_columns, dtype = read_header(file)
                if dtype.hasobject:
                    raise UserError(
                        f"{path}: {name} holds objects of Python, which are never read; save images as uint8"
                    )
                if by_columns and len(shape) > 1:
                    raise UserError(f"{path}: {name} is stored by columns; save it again after np.ascontiguousarray")
                found.append(StoredArray(path, name, shape, dtype))
    except UNREADABLE as error:
        raise UserError(f"{path}: not a readable .npz ({first_line(error)}); replace or remove it") from error
    return found


def image_arrays(path: Path) -> tuple[list[StoredArray], list[StoredArray]]:
    """Return the arrays of images in a ``.npz``, and the others.

    Raises:
        UserError: there are none of images, or the file cannot be read.
    """
    arrays = arrays_of(path)
    images = [array for array in arrays if array.is_images]
    if not images:
        listed = ", ".join(f"{array.name} {list(array.shape)}" for array in arrays[:8]) or "nothing"
        raise UserError(
            f"{path}: no array of images, which are [n, height, width] or [n, height, width, 3]; it holds {listed}"
        )
    return images, [array for array in arrays if not array.is_images]


def read_header(file: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype]:
    """Return the shape of an array, whether it is stored by columns, and its type; leave the file where values begin.

    Raises:
        ValueError: it is no array, or of an unknown version.
    """
    found = np.lib.format.read_magic(file)
    if found not in HEADERS:
        raise ValueError(f"an array of version {found[0]}.{found[1]}")
    return HEADERS[found](file)
