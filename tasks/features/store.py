"""Features of examples on disk, by the content of each example."""

import hashlib
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from domains.errors import UserError

AT_ONCE = 500  # keys of one question
PATIENCE = 120  # seconds that a writer waits for another


def key_of(example: str | bytes) -> bytes:
    """Return the 16-byte name of an example's content."""
    return hashlib.blake2b(example.encode() if isinstance(example, str) else example, digest_size=16).digest()


class FeatureStore:
    """Features by key in one SQLite file, whose index finds a few among millions; runs at once may read and write.

    What versions before 0.12 kept in files of safetensors is taken over the first time.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.file = folder, folder / "features.db"

    def get(self, keys: set[bytes]) -> dict[bytes, Tensor]:
        """Return the features [D] of those keys that are stored."""
        if not keys or not (self.file.exists() or self._earlier()):
            return {}
        found: dict[bytes, Tensor] = {}
        with self._open() as database:
            wanted = list(keys)
            for some in (wanted[i : i + AT_ONCE] for i in range(0, len(wanted), AT_ONCE)):
                marks = ",".join("?" * len(some))
                for key, x in database.execute(f"SELECT key, x FROM features WHERE key IN ({marks})", some):
                    found[key] = torch.from_numpy(np.frombuffer(x, np.float32).copy())
        return found

    def put(self, made: dict[bytes, Tensor]) -> None:
        """Add features; all are stored or none."""
        rows = [(key, x.contiguous().numpy().astype(np.float32, copy=False).tobytes()) for key, x in made.items()]
        with self._open() as database:
            database.executemany("INSERT OR IGNORE INTO features VALUES (?, ?)", rows)

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        """Yield the database in a transaction.

        Raises:
            UserError: it is damaged, or cannot be written.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with closing(sqlite3.connect(self.file, timeout=PATIENCE)) as database, database:
                database.execute("CREATE TABLE IF NOT EXISTS features (key BLOB PRIMARY KEY, x BLOB)")
                for path in self._earlier():
                    _take_over(database, path)
                yield database
            for path in self._earlier():
                path.unlink(missing_ok=True)
        except (sqlite3.OperationalError, OSError) as error:
            raise UserError(f"cannot write features to {self.folder} ({error}); free some space") from error
        except sqlite3.DatabaseError as error:
            raise UserError(f"{self.file}: damaged ({error}); remove it, its examples will be encoded again") from error

    def _earlier(self) -> list[Path]:
        return sorted(self.folder.glob("*.safetensors"))


def _take_over(database: sqlite3.Connection, path: Path) -> None:
    """Add what an earlier version kept in a file, unless that is damaged: it is encoded again then."""
    try:
        kept = load_file(path)
        keys, x = kept["keys"].numpy(), kept["x"].float().numpy()
    except (SafetensorError, OSError, KeyError):
        return
    rows = ((key.tobytes(), row.tobytes()) for key, row in zip(keys, x, strict=True))
    database.executemany("INSERT OR IGNORE INTO features VALUES (?, ?)", rows)
