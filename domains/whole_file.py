"""Write a file so that nobody ever finds half of it."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from domains.errors import UserError


def write_whole(path: Path, content: str | bytes) -> None:
    """Write a file whole or not at all.

    Raises:
        UserError: as ``whole_file``.
    """
    with whole_file(path) as stream:
        stream.write(content.encode() if isinstance(content, str) else content)


@contextmanager
def whole_file(path: Path) -> Iterator[IO[bytes]]:
    """Give a stream to write to, which takes the place of the file whole at the end, or not at all.

    Raises:
        UserError: its folder is absent or may not be written to, or the disk is full.
    """
    target = path.resolve()  # a link stays a link
    new = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        with new.open("wb") as stream:
            yield stream
        os.replace(new, target)
    except BaseException as error:
        with suppress(OSError):
            new.unlink(missing_ok=True)
        if not isinstance(error, OSError) or error.filename not in (None, str(new)):
            raise
        raise UserError(f"cannot write {path}: {error.strerror or error}; choose another path") from error
