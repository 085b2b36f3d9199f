"""Write a file so that nobody ever finds half of it."""

import os
from contextlib import suppress
from pathlib import Path

from domains.errors import UserError


def write_whole(path: Path, content: str | bytes) -> None:
    """Write a file whole or not at all.

    Raises:
        UserError: its folder is absent or may not be written to, or the disk is full.
    """
    target = path.resolve()  # a link stays a link
    new = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        new.write_bytes(content.encode() if isinstance(content, str) else content)
        os.replace(new, target)
    except OSError as error:
        with suppress(OSError):
            new.unlink(missing_ok=True)
        raise UserError(f"cannot write {path}: {error.strerror or error}; choose another path") from error
