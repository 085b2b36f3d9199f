"""The store of features: nothing is mixed up or lost silently."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

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


def test_what_is_put_again_stays_as_it_was(tmp_path):
    store = FeatureStore(tmp_path)
    store.put(features(1))
    store.put({key_of("example 1"): torch.zeros(4), **features(2)})
    assert torch.equal(store.get(set(features(1)))[key_of("example 1")], torch.ones(4))
    assert len(list(tmp_path.iterdir())) == 1


def test_thousands_of_keys_are_got_at_once(tmp_path):
    store = FeatureStore(tmp_path)
    store.put(features(*range(3000)))
    assert len(store.get(set(features(*range(1000, 5000))))) == 2000


def test_two_writers_at_once_lose_nothing(tmp_path):
    one, other = FeatureStore(tmp_path), FeatureStore(tmp_path)
    one.put(features(*range(20)))
    other.put(features(*range(10, 30)))
    for store in (one, other, FeatureStore(tmp_path)):
        assert len(store.get(set(features(*range(30))))) == 30


def put_some(folder, first):
    for row in range(first, first + 20):
        FeatureStore(folder).put(features(row))


def test_processes_that_write_at_once_wait_for_each_other(tmp_path):
    running = [subprocess.Popen([sys.executable, __file__, str(tmp_path), str(first)]) for first in (0, 10)]
    assert [process.wait(timeout=240) for process in running] == [0, 0]
    assert len(FeatureStore(tmp_path).get(set(features(*range(40))))) == 30


@pytest.mark.parametrize(
    "content", [b"half a file" * 100, b"SQLite format 3\x00" + b"\xff" * 5000], ids=["text", "cut"]
)
def test_a_damaged_file_is_named_with_what_to_do(tmp_path, content):
    store = FeatureStore(tmp_path)
    store.file.write_bytes(content)
    with pytest.raises(UserError, match=rf"{store.file}: damaged \(.*\); remove it, its examples"):
        store.get(set(features(1, 2, 3)))
    store.file.unlink()
    assert store.get(set(features(1))) == {}


def test_files_of_an_earlier_version_are_taken_over_once_and_damaged_ones_go(tmp_path):
    kept = features(1, 2)
    keys = torch.frombuffer(bytearray(b"".join(kept)), dtype=torch.uint8).reshape(-1, 16)
    save_file({"keys": keys, "x": torch.stack(list(kept.values()))}, tmp_path / "0.safetensors")
    (tmp_path / "1.safetensors").write_bytes(b"half")
    store = FeatureStore(tmp_path)
    assert store.get(set(features(1, 3))).keys() == features(1).keys()
    assert list(tmp_path.glob("*.safetensors")) == []
    assert len(store.get(set(features(1, 2)))) == 2


def test_a_folder_that_cannot_be_written_to_is_an_error_that_says_so(tmp_path):
    (tmp_path / "features").write_text("a file where a folder should be")
    with pytest.raises(UserError, match=rf"cannot write features to {tmp_path / 'features'} .*; free some space"):
        FeatureStore(tmp_path / "features").put(features(1))


def test_keys_tell_contents_apart_and_do_not_change():
    keys = {key_of(value) for value in ("a", "b", "", "ä", b"\x00", b"\xff")}
    assert len(keys) == 6
    assert all(len(key) == 16 for key in keys)
    assert key_of("abc") == key_of(b"abc") == bytes.fromhex("cf4ab791c62b8d2b2109c90275287816")


if __name__ == "__main__":
    put_some(Path(sys.argv[1]), int(sys.argv[2]))
