"""Features of examples on disk, by the content of each example."""

import hashlib
import os
import uuid
from contextlib import suppress
from functools import cache
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from domains.errors import UserError


def key_of(example: str | bytes) -> bytes:
    """Return the 16-byte name of an example's content."""
    return hashlib.blake2b(example.encode() if isinstance(example, str) else example, digest_size=16).digest()


class FeatureStore:
    """Features by key in append-only safetensors files, so that runs at once cannot spoil each other's."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def get(self, keys: set[bytes]) -> dict[bytes, Tensor]:
        """Return the features [D] of those keys that are stored."""
        found: dict[bytes, Tensor] = {}
        for path in self.folder.glob("*.safetensors"):
            try:
                rows = _rows_of(path)
                if wanted := [key for key in keys if key in rows and key not in found]:
                    with safe_open(path, "pt") as file:
                        x = file.get_tensor("x")
                    found |= {key: x[rows[key]] for key in wanted}
            except (SafetensorError, OSError) as error:
                raise UserError(f"{path}: damaged ({error}); remove it, its examples will be encoded again") from error
        return found

    def put(self, made: dict[bytes, Tensor]) -> None:
        """Add features; written whole or not at all."""
        keys = torch.from_numpy(np.frombuffer(b"".join(made), dtype=np.uint8).reshape(-1, 16).copy())
        new = self.folder / f".{uuid.uuid4().hex}"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            save_file({"keys": keys, "x": torch.stack(list(made.values()))}, new)
            os.replace(new, self.folder / f"{uuid.uuid4().hex}.safetensors")
        except (OSError, SafetensorError) as error:
            with suppress(OSError):
                new.unlink(missing_ok=True)
            raise UserError(f"cannot write features to {self.folder} ({error}); free some space") from error


@cache
def _rows_of(path: Path) -> dict[bytes, int]:
    """Return the row of each key in a file of features, which never changes."""
    with safe_open(path, "pt") as file:
        return {bytes(key): row for row, key in enumerate(file.get_tensor("keys").numpy())}
