"""The key that the sites of an encrypted federation share: made at one of them, carried to the others, never sent."""

import os
from importlib.util import find_spec
from pathlib import Path

from domains.errors import UserError
from learners.federated.encryption import Key, make_key


def check_tenseal() -> None:
    """Raise UserError where TenSEAL is not installed."""
    if find_spec("tenseal") is None:
        raise UserError("an encrypted federation needs TenSEAL; install it: pip install 'acclimate[federate]'")


def write_key(path: Path) -> None:
    """Write a new key, that the owner of the file alone can read.

    Raises:
        UserError: TenSEAL is absent, the file exists or cannot be written.
    """
    check_tenseal()
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as stream:
            stream.write(make_key())
    except FileExistsError as error:
        raise UserError(f"{path} exists; carry it to the other sites, or choose another name") from error
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror}; choose another path") from error


def read_key(path: Path) -> Key:
    """Return the key in a file.

    Raises:
        UserError: TenSEAL is absent, or the file or the key.
    """
    check_tenseal()
    try:
        return Key(path.read_bytes())
    except OSError as error:
        raise UserError(f"--key {path}: {error.strerror}; one site makes it: acclimate federate key FILE") from error
    except ValueError as error:
        raise UserError(f"--key {path}: {error}; one site makes it: acclimate federate key FILE") from error
