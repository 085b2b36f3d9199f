"""Write a folder so that nobody ever finds half of it, and the old one is safe until then."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from domains.errors import UserError


@contextmanager
def whole_folder(target: Path) -> Iterator[Path]:
    """Give a folder to write to, which takes the place of ``target`` whole at the end, or not at all.

    Raises:
        UserError: the disk is full or may not be written to. The folder around ``target`` is then as it was.
    """
    data, new = target.parent, not target.parent.exists()
    try:
        data.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=data, prefix=".building-") as folder:
            made = Path(folder) / target.name
            made.mkdir()
            yield made
            swap(made, target, Path(folder) / "old")
    except OSError as error:
        raise UserError(
            f"cannot write {target}: {error.strerror or error}; free some space or change the rights"
        ) from error
    finally:
        if new:
            with suppress(OSError):  # it holds something
                data.rmdir()


def swap(made: Path, target: Path, aside: Path) -> None:
    """Put a finished folder in the place of the old one, which comes back whatever goes wrong."""
    try:
        if target.exists():
            os.replace(target, aside)
        os.replace(made, target)
    except BaseException:  # an interrupt too: the caller deletes what was put aside
        if aside.exists() and not target.exists():
            os.replace(aside, target)
        raise
