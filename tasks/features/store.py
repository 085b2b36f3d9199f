"""Features of examples on disk, by the content of each example."""

import hashlib
import sqlite3
import time
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from domains.errors import UserError

AT_ONCE = 500  # keys of one question
PATIENCE = 120  # seconds that a writer waits for another
DAY = 86400
TABLE = "CREATE TABLE IF NOT EXISTS features (key BLOB PRIMARY KEY, x BLOB, used INTEGER NOT NULL DEFAULT 0)"
OFTEN = 7  # days after which a use is written down again


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
            wanted, today, again = list(keys), _today(), []
            for some in (wanted[i : i + AT_ONCE] for i in range(0, len(wanted), AT_ONCE)):
                marks = ",".join("?" * len(some))
                for key, x, used in database.execute(f"SELECT key, x, used FROM features WHERE key IN ({marks})", some):
                    found[key] = torch.from_numpy(np.frombuffer(x, np.float32).copy())
                    if used <= today - OFTEN:
                        again.append((today, key))
            if again:
                with suppress(sqlite3.OperationalError):  # a full disk: they are read all the same
                    database.executemany("UPDATE features SET used = ? WHERE key = ?", again)
        return found

    def put(self, made: dict[bytes, Tensor]) -> None:
        """Add features; all are stored or none."""
        rows = [(key, x.contiguous().numpy().astype(np.float32, copy=False).tobytes()) for key, x in made.items()]
        with self._open() as database:
            _insert(database, rows)

    def prune(self, days: int, dry_run: bool = False) -> int:
        """Delete features that nobody read for so many days; return how many. The file keeps its size."""
        before = _today() - max(days, OFTEN + 1)
        with self._open() as database:
            database.execute("UPDATE features SET used = ? WHERE used = 0", (_today(),))  # of an earlier version
            count = database.execute("SELECT count(*) FROM features WHERE used < ?", (before,)).fetchone()[0]
            if count and not dry_run:
                database.execute("DELETE FROM features WHERE used < ?", (before,))
        return int(count)

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        """Yield the database in a transaction.

        Raises:
            UserError: it is damaged, or cannot be written.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with closing(sqlite3.connect(self.file, timeout=PATIENCE)) as database, database:
                database.execute(TABLE)
                if len(database.execute("PRAGMA table_info(features)").fetchall()) < 3:  # made before 0.12
                    with suppress(sqlite3.OperationalError):  # another process was faster
                        database.execute("ALTER TABLE features ADD COLUMN used INTEGER NOT NULL DEFAULT 0")
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
    _insert(database, ((key.tobytes(), row.tobytes()) for key, row in zip(keys, x, strict=True)))


def _insert(database: sqlite3.Connection, rows: Iterable[tuple[bytes, bytes]]) -> None:
    today = _today()
    values = ((key, x, today) for key, x in rows)
    database.executemany("INSERT OR IGNORE INTO features (key, x, used) VALUES (?, ?, ?)", values)


def _today() -> int:
    return int(time.time() // DAY)
