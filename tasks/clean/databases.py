"""Bytes of deleted rows that come back: SQLite keeps them in its file otherwise."""

import sqlite3
from contextlib import closing
from pathlib import Path

from tasks.base.settings import Settings
from tasks.clean.freed import Freed, size_of
from tasks.features.store import FeatureStore

PATIENCE = 10  # seconds for another that writes
STEP = 1000  # pages that are given back at once; others write in between
INCREMENTAL = 2  # SQLite's number of that mode


def prune_features(settings: Settings, days: int, dry_run: bool) -> Freed:
    """Delete features that nobody read for so many days."""
    stores = sorted((settings.home_path / "features").glob("*/features.db"))
    return Freed("features", sum(FeatureStore(file.parent).prune(days, dry_run) for file in stores))


def shrink_databases(settings: Settings) -> Freed:
    """Give back what SQLite files in the home no longer hold, while others use them; those in use at once wait."""
    home = settings.home_path
    files = [*sorted((home / "features").glob("*/features.db")), home / "mlflow.db", home / "ledger.db"]
    shrunk = [freed for file in (*files, home / "prefect" / "prefect.db") if file.exists() and (freed := shrink(file))]
    return Freed("room in databases", len(shrunk), sum(shrunk))


def shrink(file: Path) -> int:
    """Give back the free pages of an SQLite file; return the bytes by which it got smaller.

    The first time all of it is written anew, so that it can be done in small steps from then on.
    """
    before = _size(file)
    try:
        with closing(sqlite3.connect(file, timeout=PATIENCE, isolation_level=None)) as database:
            (free,) = database.execute("PRAGMA freelist_count").fetchone()
            if not free:
                return 0
            if database.execute("PRAGMA auto_vacuum").fetchone()[0] != INCREMENTAL:
                database.execute(f"PRAGMA auto_vacuum = {INCREMENTAL}")
                database.execute("VACUUM")
            else:
                for _ in range(-(-free // STEP)):
                    database.execute(f"PRAGMA incremental_vacuum({STEP})").fetchall()
            database.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    except sqlite3.DatabaseError:  # busy, damaged, or the disk is full: what is deleted is reused all the same
        pass
    return max(before - _size(file), 0)


def _size(file: Path) -> int:
    """Return the bytes of a database with its write-ahead log."""
    return size_of(file) + size_of(file.with_name(f"{file.name}-wal"))
