"""Files of a mirror: the generic forms are read, what is ambiguous is dropped, what is missing is told in a line."""

import io
from pathlib import Path
from zipfile import ZipFile

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from domains.errors import UserError
from domains.mirror import read_mirror

TEXTS = [
    ("fever and  cough", "flu"),
    ("fever and cough", "flu"),  # a copy but for white space
    ("itching", "skin"),
    ("itching", "flu"),  # carries two labels
    ("rash", "skin"),
    ("  ", "skin"),
    (None, "skin"),
    ("sneezing", None),
    ("goal", "sport"),
]


@pytest.fixture
def mirror(tmp_path: Path) -> Path:
    for family in ("text", "vision"):
        (tmp_path / family).mkdir()
    return tmp_path


def png(seed: int) -> bytes:
    out = io.BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 255, (6, 6, 3), np.uint8)).save(out, "PNG")
    return out.getvalue()


def packed(path: Path, members: dict[str, bytes]) -> None:
    with ZipFile(path, "w") as archive:
        for name, body in members.items():
            archive.writestr(name, body)


def refused(*asked, **options) -> str:
    """Return the one line that a user reads."""
    with pytest.raises(UserError) as caught:
        read_mirror(*asked, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("form", ["parquet", "csv"])
def test_of_texts_one_copy_stays_and_none_that_is_empty_or_carries_two_labels(mirror, form):
    frame = pd.DataFrame(TEXTS, columns=["text", "label"])
    path = mirror / "text" / f"cases.{form}"
    frame.to_parquet(path) if form == "parquet" else frame.dropna().to_csv(path, index=False)
    found = read_mirror(mirror, "text", "cases")
    assert found.examples == ("fever and cough", "rash", "goal")
    assert (found.labels, found.y.tolist()) == (("flu", "skin", "sport"), [0, 1, 2])
    assert found.groups is None


def test_labels_may_be_numbers_in_any_column_and_some_may_be_left_out(mirror):
    pd.DataFrame({"text": list("abcd"), "stars": [1, 5, 3, 5], "label": "x"}).to_parquet(mirror / "text/shop.parquet")
    found = read_mirror(mirror, "text", "shop", label="stars", without=["3"])
    assert (found.labels, found.examples, found.y.tolist()) == (("1", "5"), ("a", "b", "d"), [0, 1, 1])
    assert "no label 'health' that could be left out" in refused(mirror, "text", "shop", without=["health"])
    assert "shop: has 1 labels" in refused(mirror, "text", "shop")
    assert "no column 'topic'; it has text, stars, label" in refused(mirror, "text", "shop", label="topic")


def test_the_group_of_a_text_is_a_column_and_only_some_labels_may_be_kept(mirror):
    frame = pd.DataFrame(
        {"text": list("abcda"), "label": list("xyzxx"), "split": ["test", "train", "test", "train", "no"]}
    )
    frame.to_parquet(mirror / "text/parts.parquet")
    found = read_mirror(mirror, "text", "parts", group="split", only=["x", "y"])
    assert (found.examples, found.groups) == (("a", "b", "d"), ("test", "train", "train"))
    assert found.labels == ("x", "y")
    assert "no column 'part'; it has text, label, split" in refused(mirror, "text", "parts", group="part")
    assert "no label 'w' that could be kept" in refused(mirror, "text", "parts", only=["w", "x"])


def test_a_class_of_images_is_the_folder_they_lie_in_at_any_depth(mirror):
    members = {"all/Greek/alpha/2.png": png(2), "all/Greek/alpha/1.png": png(1), "all/Greek/beta/1.png": png(3)}
    packed(mirror / "vision/letters.zip", members | {"all/Greek/beta/copy.png": png(3), "all/read.me": b"text"})
    found = read_mirror(mirror, "vision", "letters")
    assert found.labels == ("all/Greek/alpha", "all/Greek/beta")
    assert found.examples == (png(1), png(2), png(3))
    assert found.y.tolist() == [0, 0, 1]


def test_the_group_of_an_image_is_a_field_of_its_file_name(mirror):
    packed(
        mirror / "vision/cells.zip", {f"{c}/{slide}_7.png": png(i) for i, (c, slide) in enumerate(["a1", "a2", "b1"])}
    )
    assert read_mirror(mirror, "vision", "cells", group=0).groups == ("1", "2", "1")
    assert "a/1_7.png has no field 3 between '_'" in refused(mirror, "vision", "cells", group=2)


@pytest.mark.parametrize(
    ("members", "told"),
    [
        ({"a/../../b.png": png(0)}, "leads out of the archive"),
        ({"alone.png": png(0)}, "lies in no folder"),
        ({"a/1.png": b"not an image"}, "a/1.png is not a readable image"),
        ({"a/read.me": b"text"}, "no images in it"),
    ],
)
def test_an_archive_that_is_unsafe_or_no_images_is_refused(mirror, members, told):
    packed(mirror / "vision/bad.zip", members)
    assert told in refused(mirror, "vision", "bad")


def test_what_is_missing_is_told_with_the_setting_that_says_where_to_look(mirror):
    told = refused(None, "text", "cases")
    assert told == (
        "cases is read from a mirror: put text/cases.parquet or text/cases.csv into a folder and set ACCLIMATE_MIRROR "
        "to it"
    )
    assert f"no vision/cells.zip in {mirror}" in refused(mirror, "vision", "cells")
    assert "ACCLIMATE_MIRROR" in refused(mirror, "vision", "cells")
    assert "family market" in refused(mirror, "market", "prices")
    assert "domain name '../x'" in refused(mirror, "text", "../x")


def test_a_sample_has_at_most_so_many_of_each_class_and_its_hash_is_that_of_its_content(mirror):
    rows = [(f"{label} {i}", label) for label in "abc" for i in range(9)]
    pd.DataFrame(rows, columns=["text", "label"]).to_parquet(mirror / "text/many.parquet")
    found = read_mirror(mirror, "text", "many")
    few = found.sample(4, classes=2)
    assert sorted(np.bincount(few.y, minlength=3).tolist()) == [0, 4, 4]
    assert few.content_hash == found.sample(4, classes=2).content_hash != found.sample(4, 2, seed=1).content_hash
    assert all(found.labels[y] == text[0] for text, y in zip(few.examples, few.y, strict=True))


def test_a_text_of_another_encoding_is_refused_as_nobody_would_see_the_guess(mirror: Path) -> None:
    (mirror / "text/old.csv").write_bytes("text,label\ncaf\xe9 au lait and more of it,a\nplain,b\n".encode("latin-1"))
    with pytest.raises(UserError, match=r"old\.csv: not UTF-8"):
        read_mirror(mirror, "text", "old")
