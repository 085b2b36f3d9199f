"""Folders and archives of files: what their folders mean, which tables beside them are read, and what is asked."""

import io
import json
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from domains.domain import Domain
from domains.new_examples import read_examples
from domains.own import files
from domains.own.files import items_of_files
from domains.own.folders import split_of
from domains.own.options import AddOptions
from domains.own.survey import Item
from domains.own.writing import write_domain
from domains.reading import archives, folders, pictures
from tests.domains.own.inputs import refused, understand


def image(seed: int) -> bytes:
    out = io.BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (6, 6, 3), np.uint8)).save(out, "PNG")
    return out.getvalue()


def make(root: Path, sizes: dict[str, int], ending: str = ".png") -> Path:
    """Write so many different files into each folder, named by a running number."""
    at = 0
    for folder, count in sizes.items():
        (root / folder).mkdir(parents=True, exist_ok=True)
        for _ in range(count):
            content = image(at) if ending == ".png" else f"text number {at} in {folder}".encode()
            (root / folder / f"{at}{ending}").write_bytes(content)
            at += 1
    return root


def packed(root: Path, path: Path, rename: Any = lambda name: name) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(root.rglob("*")):
            name = rename(file.relative_to(root).as_posix())
            archive.writestr(f"{name}/" if file.is_dir() else name, b"" if file.is_dir() else file.read_bytes())
    return path


def tarred(root: Path, path: Path, link: str = "") -> Path:
    mode: Any = {"gz": "w:gz", "tgz": "w:gz", "bz2": "w:bz2", "xz": "w:xz"}.get(path.suffix[1:].lower(), "w")
    with tarfile.open(path, mode) as archive:
        archive.add(root, root.name)
        if link:
            about = tarfile.TarInfo(f"{root.name}/bolt/link.txt")
            about.type, about.linkname = tarfile.SYMTYPE, link
            archive.addfile(about)
    return path


def items(path: Path, **options: Any) -> dict[str, Item]:
    """Return what is known of each file, by its name."""
    found = items_of_files(path, AddOptions(**options))
    return {found.where(i): item._replace(example=None) for i, item in enumerate(found.read())}


def labels_in(path: Path, **options: Any) -> dict[str, int]:
    counts: dict[str, int] = {}
    for item in items(path, **options).values():
        counts[item.label] = counts.get(item.label, 0) + 1
    return counts


# Splits


@pytest.mark.parametrize(
    ("name", "split"),
    [
        *(
            ("seg_train", "train"),
            ("training_set", "train"),
            ("TrainImages", "train"),
            ("20news-bydate-train", "train"),
        ),
        *(
            ("Test", "test"),
            ("test1", "test"),
            ("dev", "validation"),
            ("validation", "validation"),
            ("VAL", "validation"),
        ),
        *(("cat", ""), ("trains", ""), ("contest", ""), ("train_test", "")),
    ],
)
def test_a_split_is_known_by_a_word_of_its_name(name: str, split: str) -> None:
    assert split_of(name) == split


@pytest.mark.parametrize(
    "layout",
    ["train/{}", "{}", "archive/data/train/{}"],
)
def test_one_split_alone_is_no_split(tmp_path: Path, layout: str) -> None:
    found = understand(make(tmp_path / "parts", {layout.format("bolt"): 6, layout.format("nut"): 6}))
    assert found.labels == ("bolt", "nut")
    assert found.division["by"] == "class"


@pytest.mark.parametrize(
    ("train", "test", "pool"),
    [
        ("train/{}", "test/{}", "unlabeled"),
        ("archive/Train/{}", "archive/Test/{}", "archive/pred"),
        ("seg_train/seg_train/{}", "seg_test/seg_test/{}", "seg_pred/seg_pred"),
        ("dataset/training_set/training_set/{}", "dataset/test_set/test_set/{}", "dataset/new photos"),
        ("{}/train", "{}/test", ""),
        ("top/train/images/{}", "top/test/images/{}", ""),
    ],
)
def test_splits_are_kept_wherever_they_stand(tmp_path: Path, train: str, test: str, pool: str) -> None:
    sizes = {train.format("bolt"): 5, train.format("nut"): 4, test.format("bolt"): 2, test.format("nut"): 3}
    found = understand(make(tmp_path / "parts", sizes | ({pool: 3} if pool else {})))
    assert found.labels == ("bolt", "nut")
    assert found.classes == {"bolt": {"train": 5, "test": 2}, "nut": {"train": 4, "test": 3}}
    assert found.counts.get("pool", 0) == (3 if pool else 0)
    assert found.division == {"by": "input"}
    assert any("are read as" in line for line in found.warnings)


def test_validation_joins_train_beside_a_test_and_is_the_test_without_one(tmp_path: Path) -> None:
    sizes = {f"{split}/{label}": n for split, n in (("train", 5), ("val", 2)) for label in ("bolt", "nut")}
    found = understand(make(tmp_path / "two", sizes))
    assert found.counts == {"train": 10, "test": 4}
    assert "its validation is the test" in found.rule
    found = understand(make(tmp_path / "three", sizes | {"test/bolt": 3, "test/nut": 3}))
    assert found.counts == {"train": 14, "test": 6}
    assert "its train and validation train" in found.rule


def test_a_test_without_labels_is_pool_and_a_test_is_divided_off(tmp_path: Path) -> None:
    found = understand(make(tmp_path / "parts", {"train/bolt": 10, "train/nut": 10, "test": 4}))
    assert found.counts == {"pool": 4, "test": 6, "train": 14}
    assert any("test: no folder a class in it, so its files have no label" in line for line in found.warnings)


def test_the_test_of_an_input_is_not_divided_again(tmp_path: Path) -> None:
    path = make(tmp_path / "parts", {f"{split}/{label}": 4 for split in ("train", "test") for label in "ab"})
    assert "--test-share does not apply to an input that has a test already" in refused(path, test_share=0.3)


@pytest.mark.parametrize("name", ["train", "test", "val"])
def test_a_class_that_is_called_like_a_split_is_asked_about(tmp_path: Path, name: str) -> None:
    sizes = {name: 4, "car": 4, "bus": 4}
    path = make(tmp_path / "parts", sizes)
    assert f"is folder {name} a class?" in refused(path)
    assert labels_in(path, keep_labels=True) == sizes


def test_groups_in_splits_are_asked_about_and_stay_in_them(tmp_path: Path) -> None:
    patients = {"train": ("p1", "p2", "p3"), "test": ("p4", "p5")}
    path = make(tmp_path / "s", {f"{s}/{p}/{y}": 3 for s, of in patients.items() for p in of for y in "01"})
    assert "its folders p1, p2, p3 and 2 more hold the same folders 0, 1: say --folders groups" in refused(path)
    found = understand(path, folders="groups")
    assert found.classes == {"0": {"train": 9, "test": 6}, "1": {"train": 9, "test": 6}}
    assert found.columns == {"group": "first folder"}


def test_what_lies_beside_splits_and_is_none_is_asked_about(tmp_path: Path) -> None:
    sizes = {f"{split}/{label}": 4 for split in ("train", "test", "extra") for label in ("bolt", "nut")}
    assert "test, train are splits, but what is extra beside them?" in refused(make(tmp_path / "parts", sizes))


# Groups and classes


def test_folders_that_repeat_others_are_groups_or_classes_as_the_user_says(tmp_path: Path) -> None:
    path = make(tmp_path / "scans", {f"p{i}/{label}": 2 for i in range(10) for label in "01"})
    asked = refused(path)
    assert "its folders p0, p1, p2 and 7 more hold the same folders 0, 1: say --folders groups" in asked
    assert "--folders inner" in asked
    assert "--folders classes" in asked
    domain = Domain.read(write_domain(understand(path, folders="groups"), "mine", tmp_path / "data", lambda n: None))
    group = {file.read_bytes(): file.parts[-3] for file in path.rglob("*.png")}
    train, test = ({group[content] for content in domain.column(split)} for split in ("train", "test"))  # type: ignore[arg-type]
    assert domain.labels == ("0", "1")
    assert test
    assert not train & test
    assert labels_in(path, folders="inner") == {"0": 20, "1": 20}
    assert len(labels_in(path, folders="classes")) == 10


def test_folders_of_other_folders_are_asked_about(tmp_path: Path) -> None:
    path = make(tmp_path / "zoo", {"animal/cat": 4, "animal/dog": 4, "vehicle/car": 4, "vehicle/bus": 4})
    assert "say --folders classes if animal, vehicle are the classes, or --folders inner" in refused(path)
    assert labels_in(path, folders="classes") == {"animal": 8, "vehicle": 8}
    assert labels_in(path, folders="inner") == dict.fromkeys(("cat", "dog", "car", "bus"), 4)


def test_folders_inside_of_classes_are_named(tmp_path: Path) -> None:
    path = make(tmp_path / "parts", {"bolt": 6, "nut": 6, "bolt/thumbnails": 2, "nut/thumbnails": 2})
    found = understand(path)
    assert found.labels == ("bolt", "nut")
    assert "folders inside of classes count as their class: thumbnails (4 files)" in found.warnings


def test_a_class_without_an_image_is_named(tmp_path: Path) -> None:
    path = make(tmp_path / "parts", {"bolt": 6, "nut": 6, "washer": 0})
    for place in (path, packed(path, tmp_path / "parts.zip")):
        assert "1 folder without images that can be read, so no class: washer" in understand(place).warnings


@pytest.mark.parametrize("name", ["_unsorted", "unknown", "To Sort", "_old"])
def test_a_folder_that_may_be_a_class_or_not_is_asked_about(tmp_path: Path, name: str) -> None:
    path = make(tmp_path / "parts", {"bolt": 6, "nut": 6, name: 3})
    assert f"is folder {name} a class? Say --unlabelled {name} if" in refused(path)
    assert labels_in(path, unlabelled=(name,)) == {"bolt": 6, "nut": 6, "": 3}
    assert labels_in(path, keep_labels=True) == {"bolt": 6, "nut": 6, name: 3}
    assert "--unlabelled x: no folder of that name" in refused(path, unlabelled=("x",))


def test_unlabelled_folders_are_pool_and_it_is_said(tmp_path: Path) -> None:
    found = understand(make(tmp_path / "parts", {"bolt": 6, "nut": 6, "Unlabeled": 3}))
    assert found.counts["pool"] == 3
    assert "3 files of Unlabeled without a label" in found.warnings


# Tables beside


def beside(root: Path, table: str, name: str = "metadata.csv", **sizes: int) -> Path:
    path = make(root, sizes or {".": 9})
    (path / name).write_text(table)
    return path


def rows(names: list[str], header: str = "file_name,label") -> str:
    return "\n".join([header, *(f"{name},{('bolt', 'nut')[i % 2]}" for i, name in enumerate(names))]) + "\n"


@pytest.mark.parametrize(
    ("header", "cell"),
    [("file_name,label", "{}.png"), ("id,breed", "{}"), ("path,class", "/home/me/images/{}.PNG"), ("x,y", "a\\{}.png")],
)
def test_labels_in_a_table_are_read_by_the_column_that_names_files(tmp_path: Path, header: str, cell: str) -> None:
    path = beside(tmp_path / "flat", rows([cell.format(i) for i in [*range(8), 77]], header))
    found = items(path)
    assert {name: item.label for name, item in found.items()} == {
        f"{i}.png": ("bolt", "nut")[i % 2] if i < 8 else "" for i in range(9)
    }
    warnings = items_of_files(path, AddOptions()).warnings
    assert f"1 row of metadata.csv without a file: {cell.format(77)}" in warnings
    assert "1 file without a row, so without a label: 8.png" in warnings
    zipped = packed(path, tmp_path / "flat.zip")
    assert items(zipped) == found


def test_a_table_without_a_header_loses_no_row(tmp_path: Path) -> None:
    found = items(beside(tmp_path / "flat", "".join(f"{i}.jpg,{'ab'[i % 2]}\n" for i in range(9))))
    assert [item.label for item in found.values()] == [*"ababababa"]


def test_tables_in_each_folder_name_the_files_there(tmp_path: Path) -> None:
    for split, offset in (("train", 0), ("test", 50)):
        (tmp_path / "d" / split).mkdir(parents=True)
        for i in range(6):
            (tmp_path / "d" / split / f"{i}.png").write_bytes(image(i + offset))
        lines = [json.dumps({"file_name": f"{i}.png", "label": "ab"[(i + offset // 50) % 2]}) for i in range(6)]
        (tmp_path / "d" / split / "metadata.jsonl").write_text("\n".join(lines))
    found = understand(tmp_path / "d")
    assert found.classes == {"a": {"train": 3, "test": 3}, "b": {"train": 3, "test": 3}}
    assert items(tmp_path / "d")["test/0.png"].label == "b"


def test_a_table_may_divide_and_group(tmp_path: Path) -> None:
    table = "image,split,patient,dx\n" + "".join(
        f"{i},{'Train' if i < 9 else 'dev' if i < 12 else 'TEST'},p{i // 2},{'ab'[i % 2]}\n" for i in range(18)
    )
    found = items(beside(tmp_path / "flat", table, images=18), group_column="patient", label_column=("dx",))
    assert found["images/13.png"] == Item(None, "b", "p6", "", "test")
    assert found["images/0.png"] == Item(None, "a", "p0", "", "train")
    assert found["images/9.png"].split == "validation"


def test_a_table_may_have_a_column_for_each_class(tmp_path: Path) -> None:
    table = "image,bolt,nut\n" + "".join(f"{i},{i % 2},{1 - i % 2}\n" for i in range(8))
    assert labels_in(beside(tmp_path / "flat", table, images=8)) == {"bolt": 4, "nut": 4}


def test_a_table_of_each_split_names_its_own_files(tmp_path: Path) -> None:
    path = tmp_path / "parts"
    for split, offset in (("train", 0), ("test", 100)):
        (path / split).mkdir(parents=True)
        for i in range(6):
            (path / split / f"{i}.png").write_bytes(image(i + offset))
    (path / "train.csv").write_text(rows([str(i) for i in range(6)]))
    (path / "sample_submission.csv").write_text("file_name,label\n" + "".join(f"{i},bolt\n" for i in range(6)))
    found = items(path)
    assert {name: item.label for name, item in found.items() if item.label} == {
        f"train/{i}.png": ("bolt", "nut")[i % 2] for i in range(6)
    }
    (path / "train.csv").rename(path / "labels.csv")
    (path / "sample_submission.csv").unlink()
    assert "labels.csv: row 1: 0 may be test/0.png or train/0.png; add its folder" in refused(path)


def test_a_table_that_contradicts_the_folders_is_asked_about(tmp_path: Path) -> None:
    sizes = {"part1": 4, "part2": 4}
    path = beside(tmp_path / "parts", rows([f"{i}.png" for i in range(8)]), **sizes)
    assert "0.png is in folder part1, and label bolt by metadata.csv: say --label-column label, or" in refused(path)
    assert labels_in(path, label_column=("label",)) == {"bolt": 4, "nut": 4}
    assert labels_in(path, folders="classes") == sizes


def test_a_table_without_labels_or_files_is_named_and_folders_count(tmp_path: Path) -> None:
    path = beside(tmp_path / "parts", "file,width\n0.png,6\n1.png,6\n", "sizes.csv", bolt=4, nut=4)
    (path / "prices.csv").write_text("name,price\nbolt,1\n")
    assert labels_in(path) == {"bolt": 4, "nut": 4}
    assert "table prices.csv is not used: no column of it names the files" in understand(path).warnings


def test_files_without_a_folder_or_a_row_are_refused(tmp_path: Path) -> None:
    assert "nothing tells a label of its 4 files" in refused(make(tmp_path / "flat", {".": 4}))
    beside(tmp_path / "two", "file,label\n0.png,bolt\n0.png,nut\n1.png,bolt\n")
    assert "row 2: 0.png has another label than above" in refused(tmp_path / "two")


# Texts


def test_a_folder_of_texts_is_one_of_texts_with_its_splits(tmp_path: Path) -> None:
    sizes = {f"reviews/{split}/{label}": 5 for split in ("train", "test") for label in ("pos", "neg")}
    path = make(tmp_path / "top", sizes | {"reviews/train/unsup": 4}, ".txt")
    (path / "reviews" / "README.txt").write_text("about")
    (path / "README.txt").write_text("about it all")
    (path / "reviews" / "train" / "urls.txt").write_text("http")
    for place in (path, packed(path, tmp_path / "top.zip")):
        found = understand(place)
        assert (found.family, found.labels) == ("text", ("neg", "pos"))
        assert found.counts == {"pool": 4, "test": 10, "train": 10}
        assert "3 other files left out: README.txt, reviews/README.txt, reviews/train/urls.txt" in found.warnings
        assert ("train", {"text": "text number 0 in reviews/train/pos", "label": 1}) in list(found.rows())


def test_files_of_texts_need_no_ending_and_may_be_western(tmp_path: Path) -> None:
    path = make(tmp_path / "news", {"sci.med": 6, "alt.atheism": 6}, "")
    (path / "sci.med" / "53068").write_bytes("a café in Paris".encode("cp1252"))
    (path / "sci.med" / "empty").write_bytes(b"")
    found = understand(path)
    assert found.labels == ("alt.atheism", "sci.med")
    assert "1 text not UTF-8: read as cp1252, the first is sci.med/53068" in found.warnings
    assert any("1 empty text left out: sci.med/empty" in line for line in found.warnings)
    assert any(cells["text"] == "a café in Paris" for _, cells in found.rows())
    (path / "sci.med" / "7").write_bytes("больной".encode("cp1251"))
    assert "1 unreadable text: sci.med/7 (not utf-8 at byte 0)" in refused(path)


def test_as_many_images_as_texts_are_asked_about(tmp_path: Path) -> None:
    path = make(make(tmp_path / "both", {"a": 4, "b": 4}), {"a": 4, "b": 4}, ".txt")
    assert "holds 8 images and 8 texts; say --family vision or --family text" in refused(path)
    assert understand(path, family="vision").family == "vision"
    few = make(make(tmp_path / "few", {"a": 4, "b": 4}), {".": 2}, ".txt")
    assert labels_in(few) == {"a": 4, "b": 4}


# What is left out


def test_what_systems_leave_is_no_class_and_named(tmp_path: Path) -> None:
    path = make(tmp_path / "parts", {"bolt": 6, "nut": 6, ".ipynb_checkpoints": 3, "__MACOSX/bolt": 2})
    (path / "bolt" / "Thumbs.db").write_bytes(b"x")
    (path / "bolt" / "movie.mp4").write_bytes(b"x")
    for place in (path, packed(path, tmp_path / "parts.zip")):
        found = understand(place)
        assert found.labels == ("bolt", "nut")
        assert "1 other file left out: bolt/movie.mp4" in found.warnings
        (said,) = [line for line in found.warnings if "of systems left out" in line]
        for name in (".ipynb_checkpoints", "__MACOSX", "bolt/Thumbs.db"):
            assert name in said


@pytest.mark.parametrize("ending", [".tar", ".tar.gz", ".TGZ", ".tar.bz2", ".tar.xz"])
def test_a_tar_is_read_as_its_folder_would_be(tmp_path: Path, ending: str) -> None:
    root = make(tmp_path / "photos", {"bolt": 4, "nut": 4})
    (root / "washer").mkdir()
    path = tarred(root, tmp_path / f"photos{ending}")
    assert {name.removeprefix("photos/"): item for name, item in items(path).items()} == items(root)
    found = understand(path)
    assert (found.kind, found.file) == ("tar archive of images", path.name)
    assert any("washer" in line for line in found.warnings)
    assert len(read_examples("vision", path).examples) == 8


@pytest.mark.parametrize("folder", ["", "train/"])
def test_labels_in_the_names_of_files_are_asked_about(tmp_path: Path, folder: str) -> None:
    root = tmp_path / "pets"
    names = ["cat.1", "cat.12", "cat (3)", "american_bulldog_1", "american_bulldog_12", "american_bulldog2"]
    (root / folder).mkdir(parents=True)
    for i, name in enumerate(names):
        (root / folder / f"{name}.png").write_bytes(image(i))
    assert "--folders names if the names of the files begin with their labels (american_bulldog, cat)" in refused(root)
    assert labels_in(root, folders="names") == {"cat": 3, "american_bulldog": 3}
    (root / "test").mkdir()
    (root / "test" / "7.png").write_bytes(image(7))
    found = items(root, folders="names")
    assert found["test/7.png"].label == ""
    assert {item.split for item in found.values()} == {"test", folder.removesuffix("/")}


def test_names_of_cameras_are_not_offered_as_labels(tmp_path: Path) -> None:
    for i, name in enumerate(["IMG_1", "IMG_2", "IMG_3"]):
        (tmp_path / f"{name}.png").write_bytes(image(i))
    assert "--folders names" not in refused(tmp_path)
    assert "no file is called like cat.7.jpg" in refused(make(tmp_path / "numbers", {"": 4}), folders="names")


def test_masks_beside_their_images_are_left_out_and_named(tmp_path: Path) -> None:
    root = make(tmp_path / "busi", {"benign": 4, "malignant": 4})
    for i, name in enumerate(["benign/0_mask", "benign/0_mask_1", "malignant/4_segmentation"]):
        (root / f"{name}.png").write_bytes(image(50 + i))
    (root / "benign" / "the_mask.png").write_bytes(image(60))  # of no image
    found = understand(root)
    assert sum(found.counts.values()) == 9
    assert any(line.startswith("3 masks of other images left out: benign/0_mask.png,") for line in found.warnings)
    assert len(read_examples("vision", root).examples) == 9


def test_links_in_a_tar_are_named_and_a_damaged_one_is_refused(tmp_path: Path) -> None:
    root = make(tmp_path / "texts", {"bolt": 12, "nut": 12}, ".txt")
    path = tarred(root, tmp_path / "texts.tar.gz", link="/etc/passwd")
    found = understand(path)
    assert sum(found.counts.values()) == 24
    assert "1 link in the archive left out: texts/bolt/link.txt" in found.warnings
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    assert "not a readable tar archive" in refused(path)
    path.write_bytes(b"no archive at all")
    assert "not a readable tar archive" in refused(path)
    outside = tmp_path / "outside.tar"
    with tarfile.open(outside, "w") as archive:
        archive.add(root / "bolt", "../bolt")
    assert "leads out of the archive" in refused(outside)


def test_a_tar_that_unpacks_to_too_much_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tarred(make(tmp_path / "photos", {"bolt": 4, "nut": 4}), tmp_path / "photos.tgz")
    monkeypatch.setattr(archives, "MOST_BYTES", 2000)
    assert "unpacks to more than" in refused(path)


def test_backslashes_in_a_zip_are_between_folders(tmp_path: Path) -> None:
    path = make(tmp_path / "parts", {"bolt": 4, "nut": 4})
    zipped = packed(path, tmp_path / "a.zip", lambda name: "top\\" + name.replace("/", "\\"))
    assert labels_in(zipped) == {"bolt": 4, "nut": 4}


def test_images_that_need_a_package_are_named_with_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    absent = {"pillow-heif": ("HEIC image", pictures.HEIF_ENDINGS), "pydicom": ("DICOM image", {".dcm"})}
    monkeypatch.setattr(folders, "ABSENT", absent)
    monkeypatch.setattr(pictures, "IMAGE_ENDINGS", pictures.IMAGE_ENDINGS - pictures.HEIF_ENDINGS - {".dcm"})
    monkeypatch.setattr(files, "IMAGE_ENDINGS", pictures.IMAGE_ENDINGS)
    path = make(tmp_path / "parts", {"bolt": 4, "nut": 4})
    (path / "bolt" / "IMG_1.HEIC").write_bytes(b"\0\0\0\x18ftypheic")
    (path / "nut" / "1.dcm").write_bytes(bytes(128) + b"DICM")
    said = understand(path).warnings
    for line in (
        "1 HEIC image left out, which need a package to be read (pip install pillow-heif): bolt/IMG_1.HEIC",
        "1 DICOM image left out, which need a package to be read (pip install pydicom): nut/1.dcm",
    ):
        assert line in said
    assert not any("other file" in line for line in said)


@pytest.mark.parametrize("ending", [".jfif", ".JPE", ".pgm", ".avif"])
def test_rarer_endings_of_images_are_known(tmp_path: Path, ending: str) -> None:
    if ending == ".avif" and not pictures.AVIF:
        pytest.skip("Pillow was built without AVIF")
    path = make(tmp_path / "parts", {"bolt": 4, "nut": 4})
    kind = {".pgm": "PPM", ".avif": "AVIF"}.get(ending, "JPEG")
    Image.new("L" if ending == ".pgm" else "RGB", (8, 8)).save(path / "bolt" / f"a{ending}", kind)
    assert labels_in(path) == {"bolt": 5, "nut": 4}


def test_tables_alone_are_answered_with_their_names(tmp_path: Path) -> None:
    path = beside(tmp_path / "a", "text,label\nx,y\n", "train.csv", sub=0)
    (path / "sub").rmdir()
    assert "holds tables and no images; unpack it if it is an archive, and give one: train.csv" in refused(path)
