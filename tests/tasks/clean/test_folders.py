"""What may be deleted of the home's folders: what is old and not needed; half-written files of processes that died."""

import os
import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest
import torch
from filelock import FileLock, Timeout

from domains.errors import UserError
from tasks.base.settings import Settings
from tasks.clean.databases import prune_features, shrink, shrink_databases
from tasks.clean.folders import Needed, prune_folders
from tasks.clean.freed import GOING, Freed, remove, size_of
from tasks.clean.steps import read_keep, what_is_needed
from tasks.features import store as feature_store
from tasks.features.store import FeatureStore, key_of
from tasks.service.logs import rotate
from tasks.versions.snapshots import domains_at, snapshot
from tasks.watch import run_locks
from tasks.watch.ledger import LedgerRow

DAY = 86400
MONTH = 30 * DAY


@pytest.fixture
def home(settings):
    settings.home_path.mkdir(parents=True)
    return settings.home_path


def put(path, days=0.0, content="x" * 10):
    """Write a file that nobody touched for so many days, and whose folder nobody did either."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    then = time.time() - days * DAY
    for each in (path, path.parent):
        os.utime(each, (then, then))
    return path


NOTHING = Needed(frozenset(), frozenset())


def prune(settings, needed=NOTHING, dry_run=False):
    freed = prune_folders(settings, needed, time.time() - MONTH, dry_run)
    return {each.kind: (each.items, each.bytes) for each in freed if each.items}


def test_snapshots_that_are_old_and_not_needed_go(settings, home):
    hashes = {name: letter * 64 for name, letter in (("champion", "a"), ("old", "b"), ("young", "c"))}
    for name, digest in hashes.items():
        put(home / "domains" / f"{name}-{digest[:16]}" / "domain.yaml", days=0 if name == "young" else 40)
    needed = Needed(frozenset({("champion", hashes["champion"])}), frozenset())
    assert prune(settings, needed, dry_run=True) == {"snapshots": (1, 10)}
    assert len(list((home / "domains").iterdir())) == 3
    assert prune(settings, needed) == {"snapshots": (1, 10)}
    left = sorted(path.name.split("-")[0] for path in (home / "domains").iterdir())
    assert left == ["champion", "young"]


def test_a_snapshot_that_is_asked_for_is_young_again(checkout):
    found = snapshot(checkout.root, checkout.home, "news")
    os.utime(found.path, (0, 0))
    assert snapshot(checkout.root, checkout.home, "news").path == found.path
    assert time.time() - found.path.stat().st_mtime < 60
    assert size_of(found.path) == 0  # its bytes are in DVC's cache all the same


def test_needed_are_the_data_in_use_versions_that_are_kept_and_open_rows(checkout, monkeypatch):
    settings = Settings(root=checkout.root)
    row = LedgerRow("row", "trec", "f" * 64, "key", {}, "")
    now = {(name, digest) for name, digest in domains_at(checkout.root).items()}
    assert what_is_needed(settings, [], [row]).domains == now | {("trec", "f" * 64)}
    unknown = Settings(root=checkout.root, watch="gone")
    assert what_is_needed(unknown, [], []) is None  # nothing is deleted where it is not known what is in use


def test_tuned_encoders_and_their_features_go_unless_a_version_that_is_kept_reads_them(settings, home):
    kept, gone = f"tuned-{'a' * 16}", f"tuned-{'b' * 16}"
    for identity in (kept, gone, "minilm-1"):
        put(home / "encoders" / identity / "tuned.safetensors", days=40)
        put(home / "features" / identity / "features.db", days=40)
    assert prune(settings, Needed(frozenset(), frozenset({kept, "minilm-1"}))) == {"tuned encoders": (2, 20)}
    assert sorted(path.name for path in (home / "encoders").iterdir()) == ["minilm-1", kept]


def test_class_means_checkpoints_and_copies_go_when_nobody_used_them(settings, home):
    put(home / "class-means" / "minilm" / f"{'a' * 64}.safetensors", days=40)
    put(home / "class-means" / "minilm" / f"{'b' * 64}.safetensors", days=40)
    put(home / "checkpoints" / "finished" / "ridge" / "best.safetensors", days=40)
    os.utime(home / "checkpoints" / "finished", (0, 0))
    put(home / "checkpoints" / "goes-on" / "ridge" / "best.safetensors")
    os.utime(home / "checkpoints" / "goes-on", (0, 0))
    put(home / "models" / ("c" * 32) / "MLmodel", days=40)
    needed = Needed(frozenset({("news", "a" * 64)}), frozenset())
    assert prune(settings, needed) == {"class means": (1, 10), "checkpoints": (1, 10), "copies of models": (1, 10)}
    assert (home / "checkpoints" / "goes-on").exists()


def test_of_dead_processes_what_is_a_day_old_goes_and_what_lives_stays(settings, home, monkeypatch):
    monkeypatch.setattr(run_locks, "settings", lambda: settings)
    for key in ("dead", "alive", "young"):
        put(home / "work" / key / "result.json", days=0 if key == "young" else 2)
    put(home / "runs" / "ended", days=2)
    put(home / "runs" / "just-ended")
    monkeypatch.setattr(run_locks.socket, "gethostname", lambda: "x" * 10)
    put(home / "runs" / "of-another-machine", days=2).write_text("another")
    os.utime(home / "runs" / "of-another-machine", (0, 0))
    put(home / "domains" / ".making-x" / "half", days=2)
    put(home / "encoders" / "tmpabc" / "half", days=2)
    put(home / "encoders" / f"{GOING}tuned" / "half", days=2)
    put(home / "encoders" / "tmpnow" / "half")
    with FileLock(put(home / "locks" / "alive.lock")):
        found = prune(settings)
    assert found == {
        "work of dead processes": (1, 10),
        "half-written files": (3, 30),
        "marks of ended runs": (1, 10),
    }
    assert sorted(path.name for path in (home / "work").iterdir()) == ["alive", "young"]
    assert [path.name for path in (home / "encoders").iterdir()] == ["tmpnow"]


def test_a_lock_that_is_held_or_young_stays(settings, home):
    held, free = put(home / "locks" / "held.lock", days=40), put(home / "locks" / "free.lock", days=40)
    young = put(home / "locks" / "young.lock")
    with FileLock(held):
        os.utime(held, (0, 0))
        assert prune(settings) == {"locks": (1, 0)}
    assert (held.exists(), free.exists(), young.exists()) == (True, False, True)


def test_who_waits_for_a_lock_that_is_deleted_holds_one_that_others_see(tmp_path):
    path = tmp_path / "work.lock"
    with ThreadPoolExecutor(1) as pool:
        with FileLock(path):
            waiting = pool.submit(FileLock(path).acquire, timeout=20)
            time.sleep(0.1)
            path.unlink()
        with waiting.result(), pytest.raises(Timeout):
            FileLock(path, timeout=0).acquire()


def test_a_link_is_deleted_and_never_what_it_leads_to(settings, home, tmp_path):
    precious = put(tmp_path / "precious" / "thesis", days=40)
    (home / "domains").mkdir()
    link = home / "domains" / f"news-{'a' * 16}"
    link.symlink_to(precious.parent)
    os.utime(link, (0, 0), follow_symlinks=False)
    assert prune(settings)["snapshots"][0] == 1
    assert not link.is_symlink()
    assert precious.exists()


def test_two_that_delete_the_same_do_not_trip(tmp_path):
    there, gone = put(tmp_path / "there"), tmp_path / "gone"
    assert remove("files", [there, gone], dry_run=False) == Freed("files", 2, 10)
    assert not list(tmp_path.iterdir())


def features(*rows):
    return {key_of(f"example {row}"): torch.full((100,), float(row)) for row in rows}


def test_features_that_nobody_read_for_the_time_go_and_their_bytes_come_back(settings, home, monkeypatch):
    store = FeatureStore(home / "features" / "letters-1")
    store.put(features(*range(1000)))
    (home / "features" / "empty").mkdir()
    today = feature_store._today()
    monkeypatch.setattr(feature_store, "_today", lambda: today + 20)
    store.get(set(features(*range(10))))
    monkeypatch.setattr(feature_store, "_today", lambda: today + 31)
    assert prune_features(settings, 30, dry_run=True) == Freed("features", 990)
    assert prune_features(settings, 30, dry_run=False) == Freed("features", 990)
    before = store.file.stat().st_size
    freed = shrink_databases(settings)
    assert (freed.items, freed.bytes) == (1, before - store.file.stat().st_size)
    assert freed.bytes > 300_000
    assert store.get(set(features(*range(20)))).keys() == features(*range(10)).keys()


def test_features_of_an_earlier_version_have_no_day_and_are_kept_from_now_on(settings, home):
    file = home / "features" / "letters-1" / "features.db"
    file.parent.mkdir(parents=True)
    with closing(sqlite3.connect(file)) as database, database:
        database.execute("CREATE TABLE features (key BLOB PRIMARY KEY, x BLOB)")
        database.execute("INSERT INTO features VALUES (?, ?)", (key_of("example 1"), b"\0\0\0\0"))
    assert prune_features(settings, 30, dry_run=False) == Freed("features", 0)
    assert FeatureStore(file.parent).get({key_of("example 1")})[key_of("example 1")].tolist() == [0]


def test_a_database_shrinks_in_small_steps_after_the_first_time(tmp_path):
    file = tmp_path / "some.db"
    with closing(sqlite3.connect(file, isolation_level=None)) as database:
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("CREATE TABLE t (x BLOB)")
        assert shrink(file) == 0
        for _ in range(2):
            database.execute("BEGIN")
            database.executemany("INSERT INTO t VALUES (?)", [(b"x" * 4000,)] * 500)
            database.execute("COMMIT")
            database.execute("DELETE FROM t")
            assert shrink(file) > 1_500_000
        assert database.execute("PRAGMA auto_vacuum").fetchone() == (2,)
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_a_log_that_grew_is_moved_while_a_process_appends_to_it(tmp_path):
    log = tmp_path / "server.log"
    with log.open("ab", buffering=0) as stream:
        stream.write(b"old\n" * 10)
        assert rotate(log, 100) == 0
        assert rotate(log, 10) == 0
        stream.write(b"new\n")
        assert (tmp_path / "server.log.1").read_bytes() == b"old\n" * 10
        assert log.read_bytes() == b"new\n"
        assert rotate(log, 3) == 40
    assert (tmp_path / "server.log.1").read_bytes() == b"new\n"
    assert rotate(tmp_path / "absent.log") == 0


@pytest.mark.parametrize("text", ["0d", "5h", "4000d", "month", "-3d"])
def test_a_time_of_less_than_a_day_or_none_is_refused(text):
    with pytest.raises(UserError, match=r"at least 1d|is not a duration"):
        read_keep(text)


def test_times_are_read_in_days():
    assert [read_keep(text) for text in ("1d", "30d", "48h")] == [1, 30, 2]
