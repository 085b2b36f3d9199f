"""Images in a ``.npz``: which arrays are read, as what, and what is refused by name."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from domains.domain import Domain
from domains.errors import UserError
from domains.new_examples import read_examples
from domains.own.writing import write_domain
from tests.domains.own.inputs import refused, understand

SHAPE = (9, 11, 3)  # of an image


def pixels(n: int, *shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng([seed, n]).integers(0, 256, (n, *(shape or SHAPE)), np.uint8)


def saved(path: Path, **arrays: Any) -> Path:
    np.savez_compressed(path, **arrays)
    return path


def stored(domain: Domain, split: str) -> list[np.ndarray]:
    return [np.asarray(Image.open(io.BytesIO(image))) for image in domain.column(split)]  # type: ignore[arg-type]


def test_splits_are_told_by_names_and_labels_by_their_length_as_in_medmnist(tmp_path: Path) -> None:
    train, validation, test = pixels(20), pixels(6), pixels(8)
    path = saved(
        tmp_path / "bloodmnist.npz",
        train_images=train,
        train_labels=(np.arange(20) % 3)[:, None].astype(np.uint8),
        val_images=validation,
        val_labels=(np.arange(6) % 3)[:, None].astype(np.uint8),
        test_images=test,
        test_labels=(np.arange(8) % 3)[:, None].astype(np.uint8),
    )
    made = understand(path)
    domain = Domain.read(write_domain(made, "blood", tmp_path / "data", lambda n: None))
    assert (domain.family, domain.labels) == ("vision", ("0", "1", "2"))
    assert domain.counts == {"train": 26, "test": 8}
    assert all((a == b).all() for a, b in zip(stored(domain, "test"), test, strict=True))
    assert list(domain.split("test")["label"]) == [i % 3 for i in range(8)]
    assert "train_images is train, with labels of train_labels" in made.warnings


@pytest.mark.parametrize(
    "names", [("x_train", "y_train", "x_test", "y_test"), ("X_train", "Y_train", "X_test", "Y_test")]
)
def test_grey_images_are_read_as_keras_writes_them(names: tuple[str, ...], tmp_path: Path) -> None:
    train, test = pixels(12, 9, 11), pixels(6, 9, 11)
    arrays = dict(zip(names, (train, np.arange(12) % 2, test, np.arange(6) % 2), strict=True))
    domain = Domain.read(write_domain(understand(saved(tmp_path / "m.npz", **arrays)), "m", tmp_path, lambda n: None))
    assert domain.counts == {"train": 12, "test": 6}
    assert all((a == b).all() for a, b in zip(stored(domain, "train"), train, strict=True))


@pytest.mark.parametrize(
    ("turned", "seen"),
    [
        (lambda x: x.transpose(0, 3, 1, 2), lambda x: x),  # channels first
        (lambda x: x / 255, lambda x: x),
        (lambda x: x.astype(np.float32), lambda x: x),
        (lambda x: x.astype(">i4"), lambda x: x),
        (lambda x: x[..., :1], lambda x: x[..., 0]),
        (lambda x: x[..., 0] > 127, lambda x: (x[..., 0] > 127) * np.uint8(255)),
        (lambda x: np.asfortranarray(x), None),
        (lambda x: x / 128 - 1, None),
        (lambda x: np.where(x > 250, np.nan, x), None),
    ],
)
def test_values_and_axes_of_images_are_understood_or_refused(turned: Any, seen: Any, tmp_path: Path) -> None:
    x = pixels(20)
    path = saved(tmp_path / "x.npz", images=turned(x), labels=np.array(["cat", "dog"])[np.arange(20) % 2])
    if seen is None:
        assert "images " in refused(path)
        return
    made = understand(path)
    assert (made.labels, made.counts) == (("cat", "dog"), {"train": 14, "test": 6})
    wanted = {image.tobytes() for image in seen(x)}
    domain = Domain.read(write_domain(made, "x", tmp_path / "data", lambda n: None))
    assert {image.tobytes() for split in ("train", "test") for image in stored(domain, split)} == wanted


def test_images_without_labels_are_pool_and_empty_labels_are_none(tmp_path: Path) -> None:
    path = saved(
        tmp_path / "x.npz",
        train_images=pixels(20),
        train_labels=np.where(np.arange(20) < 4, np.nan, np.arange(20) % 2),
        images=pixels(7, seed=1),
    )
    assert understand(path).counts == {"pool": 11, "train": 12, "test": 4}


def test_a_column_a_class_is_read_and_several_classes_are_asked_about(tmp_path: Path) -> None:
    one_hot = np.eye(3, dtype=int)[np.arange(30) % 3]
    assert understand(saved(tmp_path / "a.npz", x=pixels(30), y=one_hot)).labels == ("0", "1", "2")
    several = one_hot.copy()
    several[:4, 0] = 1
    path = saved(tmp_path / "b.npz", x=pixels(30), y=several)
    assert "--several" in refused(path)
    assert understand(path, several="first").labels == ("0", "1", "2")


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        ({"x": np.zeros((9, 8)), "y": np.zeros(9)}, "no array of images"),
        ({"x": np.zeros((9, 28, 28, 28), np.uint8), "y": np.zeros(9)}, "no array of images"),
        ({"images": pixels(9), "y": np.arange(9), "z": np.arange(9)}, "Say --label-column y"),
        ({"images": pixels(9), "masks": pixels(9), "y": np.arange(9)}, "several arrays of images, images, masks"),
        ({"images": pixels(20), "y": np.linspace(0, 1, 20)}, "regression"),
        ({"images": pixels(9), "y": np.array([{}] * 9, object)}, "objects of Python"),
        ({"images": pixels(9), "y": np.full((9, 2), 7)}, "no classes of 0 and 1"),
        ({"images": pixels(9), "y\n\x1b[2J": np.arange(9)}, "is no name of an array"),
    ],
)
def test_what_cannot_be_read_is_refused_in_a_line(arrays: dict[str, Any], said: str, tmp_path: Path) -> None:
    assert said in refused(saved(tmp_path / "x.npz", **arrays))


def test_one_of_several_arrays_of_labels_can_be_named(tmp_path: Path) -> None:
    path = saved(tmp_path / "x.npz", images=pixels(20), coarse=np.arange(20) % 2, fine=np.arange(20) % 4)
    assert understand(path, label_column=("fine",)).labels == ("0", "1", "2", "3")
    assert "coarse, fine" in refused(path, label_column=("other",))
    assert "does not apply" in refused(path, label_column=("fine",), sheet="May")


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    path = saved(tmp_path / "x.npz", images=pixels(20), labels=np.arange(20) % 2)
    path.write_bytes(path.read_bytes()[:-500])
    assert "not a readable .npz" in refused(path)


def test_new_images_are_read_and_named_by_array_and_place(tmp_path: Path) -> None:
    path = saved(tmp_path / "new.npz", images=pixels(300), scores=np.zeros(300))
    found = read_examples("vision", path)
    assert len(found.examples) == 300
    assert list(found.names["image"][[0, 299]]) == ["images[0]", "images[299]"]
    assert (np.asarray(Image.open(io.BytesIO(found.examples[7]))) == pixels(300)[7]).all()
    with pytest.raises(UserError, match="no array of images"):
        read_examples("vision", saved(tmp_path / "none.npz", x=np.zeros(3)))
