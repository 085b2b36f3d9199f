"""The store of features: nothing is mixed up or lost silently."""

import pytest
import torch

from domains.errors import UserError
from tasks.features.store import FeatureStore, key_of


def features(*rows):
    """Stored features by key."""
    return {key_of(f"example {row}"): torch.full((4,), float(row)) for row in rows}


def test_what_was_put_is_got_and_nothing_else(tmp_path):
    store = FeatureStore(tmp_path / "features")
    assert store.get(set(features(1, 2))) == {}
    store.put(features(1, 2, 3))
    got = store.get(set(features(1, 3, 4)))
    assert got.keys() == features(1, 3).keys()
    assert all(torch.equal(x, features(1, 3)[key]) for key, x in got.items())


def test_a_store_only_ever_adds_files(tmp_path):
    store = FeatureStore(tmp_path)
    store.put(features(1))
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    store.put(features(2))
    store.put(features(1))
    assert len(list(tmp_path.iterdir())) == 3
    assert all(path.read_bytes() == content for path, content in before.items())
    assert store.get(set(features(1, 2))).keys() == features(1, 2).keys()


def test_two_writers_at_once_lose_nothing(tmp_path):
    one, other = FeatureStore(tmp_path), FeatureStore(tmp_path)
    one.put(features(*range(20)))
    other.put(features(*range(10, 30)))
    for store in (one, other, FeatureStore(tmp_path)):
        assert len(store.get(set(features(*range(30))))) == 30


@pytest.mark.parametrize("kept", [0, 5, 60, -1])
def test_a_damaged_file_is_named_with_what_to_do(tmp_path, kept):
    store = FeatureStore(tmp_path)
    store.put(features(1, 2))
    store.put(features(3))
    path = sorted(tmp_path.glob("*.safetensors"))[0]
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(UserError, match=rf"{path}: damaged \(.*\); remove it, its examples will be encoded again"):
        store.get(set(features(1, 2, 3)))
    path.unlink()
    assert 0 < len(store.get(set(features(1, 2, 3)))) < 3


def test_a_file_that_is_being_written_is_not_read(tmp_path):
    store = FeatureStore(tmp_path)
    store.put(features(1))
    (tmp_path / ".0123456789abcdef").write_bytes(b"half a file")
    assert len(store.get(set(features(1)))) == 1


def test_a_folder_that_cannot_be_written_to_is_an_error_that_says_so(tmp_path):
    (tmp_path / "features").write_text("a file where a folder should be")
    with pytest.raises(UserError, match=rf"cannot write features to {tmp_path / 'features'} .*; free some space"):
        FeatureStore(tmp_path / "features").put(features(1))


def test_keys_tell_contents_apart_and_do_not_change():
    keys = {key_of(value) for value in ("a", "b", "", "ä", b"\x00", b"\xff")}
    assert len(keys) == 6
    assert all(len(key) == 16 for key in keys)
    assert key_of("abc") == key_of(b"abc") == bytes.fromhex("cf4ab791c62b8d2b2109c90275287816")
