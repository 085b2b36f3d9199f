"""The one check of names that DVC's files give before they become paths: hashes of objects, and files in ``data/``.

A ``data.dvc`` and the listing it points to arrive with a ``git pull``, so that both may say anything.
"""

import re
import unicodedata
from collections.abc import Iterable
from pathlib import PureWindowsPath
from typing import Any

from domains.errors import UserError

LONGEST = 255  # bytes of a name, on every usual file system

FILE = re.compile(r"[0-9a-f]{32}")
FOLDER = re.compile(r"[0-9a-f]{32}\.dir")


def is_file_hash(value: Any) -> bool:
    """Whether a value is DVC's hash of a file: exactly 32 lower-case hexadecimal digits."""
    return isinstance(value, str) and FILE.fullmatch(value) is not None


def is_folder_hash(value: Any) -> bool:
    """Whether a value is DVC's hash of a folder: 32 such digits and ``.dir``."""
    return isinstance(value, str) and FOLDER.fullmatch(value) is not None


def check_object(name: str) -> str:
    """Return the name of an object of DVC's cache, or raise UserError."""
    if is_file_hash(name) or is_folder_hash(name):
        return name
    raise UserError(f"{name!r:.80} is not an MD5 of DVC (32 digits 0-9a-f): do not use this revision of data.dvc")


def check_files(paths: Iterable[str], where: str, remedy: str) -> None:
    """Check that files can be written below one folder, and each as a file of its own.

    Args:
        paths: relative to the folder, parts divided by ``/``.
        where: what names them, for the message.
        remedy: what to do, for the message.

    Raises:
        UserError: a path is empty, absolute, has a drive, leads out of the folder, has an empty part or ``.``, a
            backslash, a control character or what is no Unicode, or a name of more than 255 bytes; one comes twice;
            one is also a folder of another.
    """
    files, folders = set[str](), set[str]()
    for path in paths:
        fault = _fault(path) or ("the same path comes twice" if path in files else "")
        if fault:
            raise UserError(f"{where} names a file {_quoted(path)} ({fault}): {remedy}")
        files.add(path)
        folders.update(path[:at] for at, sign in enumerate(path) if sign == "/")
    if both := sorted(files & folders):
        raise UserError(f"{where} names a file {_quoted(both[0])} (which is a folder of others too): {remedy}")


def _fault(path: str) -> str:
    """Return what is wrong with a relative path, or nothing."""
    parts = path.split("/")
    if path.startswith("/") or ".." in parts or PureWindowsPath(path).anchor:
        return "outside data/"
    if "" in parts or "." in parts:
        return "a part of its path is empty or a dot"
    if "\\" in path or any(unicodedata.category(sign) in ("Cc", "Cs") for sign in path):
        return "a backslash, a control character or what is no text"
    if any(len(part.encode()) > LONGEST for part in parts):
        return f"a name of more than {LONGEST} bytes"
    return ""


def _quoted(path: str) -> str:
    return ascii(path) if len(path) <= 80 else f"{path[:80]!a}…"
