"""``data/`` is proved to be what the committed data.dvc names, and what differs is named."""

import shutil
from pathlib import Path

import pytest

from domains.errors import UserError
from tasks.versions import dvc_repo
from tasks.versions.revisions import data_revision
from tasks.versions.snapshots import snapshot
from tasks.versions.verify import Verification, describe_difference, verify


def test_data_built_in_a_fresh_clone_is_proved_and_then_readable(checkout, tmp_path):
    root = tmp_path / "fresh"
    checkout.git("clone", "--quiet", str(checkout.root), str(root))
    shutil.copytree(checkout.root / "data", root / "data")
    expected = data_revision(root).data_hash
    assert verify(root) == Verification(True, expected, expected, ())
    assert snapshot(root, root / ".acclimate", "news").counts == {"train": 6, "test": 4}


def test_changed_new_and_missing_domains_are_named(checkout):
    checkout.write("news", train=7, test=4)
    checkout.write("zoo", train=2)
    shutil.rmtree(checkout.root / "data/trec")
    found = verify(checkout.root)
    assert not found.ok
    assert found.changed == ("news", "trec", "zoo")
    assert found.expected == data_revision(checkout.root).data_hash != found.actual


def test_domains_that_are_only_new_are_to_be_committed(checkout):
    checkout.write("zoo", train=2)
    said = describe_difference(verify(checkout.root))
    assert said == ("data/ has what data.dvc does not name yet (zoo): `acclimate data commit -m MESSAGE` versions it")
    checkout.write("news", train=7, test=4)
    assert "(differs: news, zoo): `acclimate data build --force`" in describe_difference(verify(checkout.root))


def test_what_changed_is_unknown_where_the_expected_list_of_files_is_not_at_hand(checkout):
    checkout.write("news", train=7, test=4)
    shutil.rmtree(checkout.root / ".dvc/cache")
    found = verify(checkout.root)
    assert (found.ok, found.changed) == (False, None)


def test_a_domain_that_is_being_built_does_not_count(checkout):
    (checkout.root / ".dvcignore").write_text((Path(__file__).parents[3] / ".dvcignore").read_text())
    checkout.write(".building-x1/zoo", train=2)
    assert verify(checkout.root).ok


def test_a_data_dvc_that_is_not_committed_is_refused(checkout):
    pointer = checkout.root / "data.dvc"
    pointer.write_text(pointer.read_text().replace("md5: ", f"md5: {'0' * 32}.dir #", 1))
    with pytest.raises(UserError, match="not as committed"):
        verify(checkout.root)


def test_an_absent_data_folder_says_to_build(checkout):
    shutil.rmtree(checkout.root / "data")
    with pytest.raises(UserError, match="acclimate data build"):
        verify(checkout.root)


def test_a_damaged_cache_object_is_found_and_mended_by_the_next_verification(checkout):
    path = next(path for path in (checkout.root / ".dvc/cache").rglob("*") if path.is_file() and path.suffix != ".dir")
    path.chmod(0o644)
    path.write_text("damaged")
    path.chmod(0o444)  # as DVC leaves objects, and then trusts them
    with pytest.raises(UserError, match="neither in DVC's cache"):
        read_all(checkout)
    assert verify(checkout.root).ok
    assert read_all(checkout) == ["news", "trec"]


def read_all(checkout):
    return [snapshot(checkout.root, checkout.home, name).name for name in ("news", "trec")]


def test_a_dvc_lock_held_by_another_is_waited_for_and_then_reported(checkout, monkeypatch):
    import zc.lockfile

    monkeypatch.setattr(dvc_repo, "LOCK_SECONDS", 0)
    lock = zc.lockfile.LockFile(str(checkout.root / ".dvc/tmp/lock"))
    with pytest.raises(UserError, match="another DVC command"):
        verify(checkout.root)
    lock.close()
    assert verify(checkout.root).ok
