"""Every kind of finding, in small domain folders; a sound folder gives none."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from PIL import Image

from domains.checks import KINDS, Finding, count_rows_to_check, report_lines, report_summary, run_checks
from domains.domain import Domain
from domains.errors import UserError

DOCS = Path(__file__).parents[2] / "docs" / "checks.md"

LABELS = ("well", "sick")
SUBJECTS = ("patient", "nurse", "mother", "doctor", "child", "driver", "teacher", "farmer")
VERBS = ("reports", "denies", "describes", "fears", "forgets", "treats", "expects", "hides")
IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])

Columns = dict[str, Any]


def texts(n: int, of: str) -> list[str]:
    """Texts of which no two have three words in a row in common."""
    return [f"{of}{i} {SUBJECTS[i % 8]} {VERBS[i // 8 % 8]} {of}{i} twice" for i in range(n)]


def text_shard(of: str, n: int = 24) -> Columns:
    return {"text": texts(n, of), "label": [i % 2 for i in range(n)]}


def picture(seed: int, side: int = 16, kind: str = "PNG", **options: Any) -> bytes:
    """A smooth picture in colour; the same seed gives the same one."""
    small = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    return encode(Image.fromarray(small).resize((side, side)), kind, **options)


def encode(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def image_shard(first: int, n: int = 24) -> Columns:
    return {"image": [picture(first + i) for i in range(n)], "label": [i % 2 for i in range(n)]}


def market_shard(start: str, days: int, assets: Sequence[str] = ("A", "B"), seed: int = 0) -> Columns:
    """Every asset on every week day."""
    dates = np.busday_offset(start, np.arange(days), roll="forward")
    n = days * len(assets)
    rng = np.random.default_rng([seed, days, int(dates[0].astype(int))])
    return {
        "date": [str(date) for date in dates for _ in assets],
        "asset": list(assets) * days,
        "x": rng.normal(size=(n, 4)).astype(np.float32).tolist(),
        "label": rng.permutation(n) % 2,
    }


def write(folder: Path, family: str = "text", about: Columns | None = None, **shards: Columns) -> Domain:
    """Write a domain; ``about`` changes what domain.yaml says."""
    folder.mkdir(exist_ok=True)
    for split, columns in shards.items():
        arrays = {
            name: pa.array([{"bytes": v, "path": None} for v in values], IMAGE)
            if name == "image"
            else values
            if isinstance(values, pa.Array)
            else pa.array(values)
            for name, values in columns.items()
            if split != "pool" or name != "label"
        }
        pq.write_table(pa.table(arrays), folder / f"{split}.parquet")
    meta = {"name": "notes", "family": family, "role": "target", "labels": list(LABELS)}
    (folder / "domain.yaml").write_text(yaml.safe_dump(meta | (about or {}), allow_unicode=True), "utf-8")
    return Domain.read(folder)


def only(domain: Domain, kind: str) -> list[Finding]:
    """Check; there is one kind of finding, this one."""
    found = run_checks(domain)
    assert {finding.kind.name for finding in found} == {kind}, [str(finding) for finding in found]
    return found


def sound(folder: Path, family: str) -> dict[str, Columns]:
    """The shards of a domain with nothing wrong in it."""
    if family == "market":
        pool = market_shard("2024-03-04", 10)
        return {"train": market_shard("2024-01-01", 40), "pool": pool, "test": market_shard("2024-04-01", 40)}
    shard = text_shard if family == "text" else image_shard
    starts: Any = ("a", "b", "c") if family == "text" else (0, 100, 200)
    return {split: shard(start) for split, start in zip(("train", "pool", "test"), starts, strict=True)}


@pytest.mark.parametrize("family", ["text", "vision", "market"])
def test_a_sound_domain_has_no_findings_and_every_row_is_counted(family: str, tmp_path: Path) -> None:
    shards = sound(tmp_path, family)
    counts = {split: len(next(iter(columns.values()))) for split, columns in shards.items()}
    domain = write(tmp_path / "notes", family, {"counts": counts}, **shards)
    rows: list[int] = []
    assert run_checks(domain, rows.append) == []
    assert sum(rows) == count_rows_to_check(domain) == sum(counts.values())


def test_the_table_of_the_documents_is_the_list_of_the_code() -> None:
    table = [line for line in DOCS.read_text("utf-8").splitlines() if line.startswith("| `")]
    wanted = [f"| `{k.name}` | {k.level} | {k.what} | {k.remedy} |" for k in sorted(KINDS, key=lambda kind: kind.level)]
    assert table == wanted
    assert len({kind.name for kind in KINDS}) == len(KINDS)


# Folder

FOLDERS: dict[str, tuple[Columns, str, str]] = {
    "bad-role": ({"role": "sources"}, "domain.yaml", "'sources'"),
    "label-twice": ({"labels": ["well", "sick", "well"]}, "domain.yaml", "'well'"),
    "labels-alike": ({"labels": ["well", "Well "]}, "domain.yaml", "'Well' (and 'well')"),
    "wrong-counts": ({"counts": {"train": 24, "test": 23}}, "domain.yaml", "test: 23 (24 rows)"),
}


@pytest.mark.parametrize("kind", FOLDERS)
def test_what_domain_yaml_says_is_checked(kind: str, tmp_path: Path) -> None:
    about, file, value = FOLDERS[kind]
    domain = write(tmp_path / "notes", "text", about, train=text_shard("a"), test=text_shard("b"))
    found = [finding for finding in run_checks(domain) if finding.kind.name == kind]
    assert [str(finding) for finding in found] == [f"notes/{file}: {value}"]


@pytest.mark.parametrize(
    "said",
    ["name: 2024", "- name: notes", "name: notes\nlabels:", "name: [notes", "date: 2024-13-01", "name: a\x00"],
)
def test_a_file_that_is_no_domain_yaml_is_said_in_one_line(said: str, tmp_path: Path) -> None:
    rest = "" if said.startswith(("-", "name: [")) else "\nfamily: text\nrole: source\n"
    (tmp_path / "domain.yaml").write_text(said + rest)
    with pytest.raises(UserError, match="not a domain folder") as caught:
        Domain.read(tmp_path)
    assert str(caught.value).startswith(f"{tmp_path}: ")
    assert "\n" not in str(caught.value)


def test_letters_in_both_cases_are_labels_of_their_own(tmp_path: Path) -> None:
    about = {"labels": ["a", "A"]}
    assert run_checks(write(tmp_path / "notes", "text", about, train=text_shard("a"), test=text_shard("b"))) == []


def test_a_target_without_test_and_a_domain_without_train_miss_a_shard(tmp_path: Path) -> None:
    (found,) = only(write(tmp_path / "a", train=text_shard("a")), "missing-shard")
    assert str(found) == "notes/test.parquet: no such file"
    (found,) = only(write(tmp_path / "b", test=text_shard("a")), "missing-shard")
    assert str(found) == "notes/train.parquet: no such file"
    assert run_checks(write(tmp_path / "c", "text", {"role": "source"}, train=text_shard("a"))) == []


def test_a_shard_without_rows_is_found(tmp_path: Path) -> None:
    empty = {"text": pa.array([], pa.string())}
    domain = write(tmp_path / "notes", train=text_shard("a"), pool=empty, test=text_shard("b"))
    assert [str(f) for f in only(domain, "empty-shard")] == ["notes/pool.parquet: 0 rows"]


def test_other_files_and_links_are_strays(tmp_path: Path) -> None:
    domain = write(tmp_path / "notes", train=text_shard("a"), test=text_shard("b"))
    (tmp_path / "notes/old.csv").write_text("x")
    (tmp_path / "elsewhere").write_text("secret")
    (tmp_path / "notes/pool.parquet").symlink_to(tmp_path / "elsewhere")
    found = [str(f) for f in run_checks(domain) if f.kind.name == "stray-file"]
    assert found == ["notes/old.csv: 1 bytes", "notes/pool.parquet: a link"]


def test_other_label_names_in_a_shard_are_found(tmp_path: Path) -> None:
    from datasets import ClassLabel, Features, Value

    domain = write(tmp_path / "notes", train=text_shard("a"), test=text_shard("b"))
    features = Features({"text": Value("string"), "label": ClassLabel(names=["sick", "well"])})
    pq.write_table(pa.table(text_shard("b"), schema=features.arrow_schema), tmp_path / "notes/test.parquet")
    assert [str(f) for f in only(domain, "other-labels")] == ["notes/test.parquet: 'sick' for 'well'"]


# Rows


@pytest.mark.parametrize("kept", [0, 100, 0.5])
def test_a_shard_that_is_cut_off_is_found(kept: float, tmp_path: Path) -> None:
    domain = write(tmp_path / "notes", train=text_shard("a"), test=text_shard("b"))
    shard = tmp_path / "notes/test.parquet"
    whole = shard.read_bytes()
    shard.write_bytes(whole[: int(kept * len(whole) if 0 < kept < 1 else kept)])
    (found,) = (f for f in run_checks(domain) if f.kind.name == "unreadable-shard")
    assert found.file == "notes/test.parquet"


def test_damage_in_the_middle_of_a_shard_is_found(tmp_path: Path) -> None:
    domain = write(tmp_path / "notes", train=text_shard("a", 2000), test=text_shard("b"))
    shard = tmp_path / "notes/train.parquet"
    raw = bytearray(shard.read_bytes())
    raw[4:400] = bytes(396)
    shard.write_bytes(raw)
    assert "unreadable-shard" in {f.kind.name for f in run_checks(domain)}


ROWS: dict[str, tuple[str, str, Any, str]] = {
    "empty-text": ("text", "text", "  ", "''"),
    "empty-text: none": ("text", "text", None, "nothing"),
    "bad-label": ("text", "label", 2, "2"),
    "bad-label: negative": ("text", "label", -1, "-1"),
    "bad-label: none": ("vision", "label", None, "nothing"),
    "empty-image": ("vision", "image", b"", "b''"),
    "empty-image: none": ("vision", "image", None, "nothing"),
    "bad-number": ("market", "x", [0.5, float("nan"), 1.0, 2.0], "[0.5 nan 1. 2. ]"),
    "bad-number: infinite": ("market", "x", [0.5, float("inf"), 1.0, 2.0], "[0.5 inf 1. 2. ]"),
    "bad-number: long": ("market", "x", [0.5] * 5, "5 numbers (the first has 4)"),
    "bad-number: none": ("market", "x", None, "nothing"),
    "bad-date": ("market", "date", "31.12.2024", "'31.12.2024'"),
    "bad-date: asset": ("market", "asset", None, "nothing"),
}


@pytest.mark.parametrize("case", ROWS)
def test_a_bad_cell_is_found_at_its_row(case: str, tmp_path: Path) -> None:
    family, column, value, said = ROWS[case]
    shards = sound(tmp_path, family)
    values = list(shards["train"][column])
    values[7] = value
    (found,) = only(
        write(tmp_path / "notes", family, **shards | {"train": shards["train"] | {column: values}}), case.split(":")[0]
    )
    assert str(found) == f"notes/train.parquet row 7: {said}"


def test_rows_are_counted_over_batches(tmp_path: Path) -> None:
    train = text_shard("a", 2500)
    train["text"][2400] = ""
    (found,) = only(write(tmp_path / "notes", train=train, test=text_shard("b")), "empty-text")
    assert found.row == 2400


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"label": [0, 1]}, "no column 'text'"),
        ({"text": ["a", "b"]}, "no column 'label'"),
        ({"text": [1, 2], "label": [0, 1]}, "column 'text' (not text)"),
        ({"text": ["a", "b"], "label": ["well", "sick"]}, "column 'label' (not whole numbers)"),
        ({"text": ["a", "b"], "label": [0.0, 1.0]}, "column 'label' (not whole numbers)"),
    ],
)
def test_a_column_that_is_absent_or_of_another_type_is_found(columns: Columns, said: str, tmp_path: Path) -> None:
    domain = write(tmp_path / "notes", train=text_shard("a"), test=columns)
    assert [str(f) for f in run_checks(domain) if f.kind.name == "wrong-column"] == [f"notes/test.parquet: {said}"]


def test_bytes_that_are_not_utf8_are_found(tmp_path: Path) -> None:
    train = text_shard("a")
    raw = [text.encode() for text in train["text"]]
    raw[3] = "Müller was here".encode("latin-1")
    array = pa.array(raw, pa.binary())
    text = pa.Array.from_buffers(pa.string(), len(array), array.buffers())
    domain = write(tmp_path / "notes", train=train | {"text": text}, test=text_shard("b"))
    found = [f for f in run_checks(domain) if f.kind.name == "not-utf8"]
    assert [str(f) for f in found] == ["notes/train.parquet row 3: 'M\ufffdller was here'"]


@pytest.mark.parametrize("text", ["sister\ufffdcity", "caf\u00c3\u00a9", "it\u00e2\u20ac\u2122s", "25 \u00c2\u00b0C"])
def test_damaged_text_is_found(text: str, tmp_path: Path) -> None:
    train = text_shard("a")
    train["text"][5] = text
    (found,) = only(write(tmp_path / "notes", train=train, test=text_shard("b")), "damaged-text")
    assert (found.row, found.value) == (5, f"'{text}'")


@pytest.mark.parametrize(
    "text", ["café", "l\u2019été", "DOU\u00c2\u00bb", "Ærø â la carte", "Ёлка", "Ñandú", "中文", "👍 25 °C"]
)
def test_right_text_is_not_taken_for_damaged(text: str, tmp_path: Path) -> None:
    train = text_shard("a")
    train["text"][5] = text
    assert run_checks(write(tmp_path / "notes", train=train, test=text_shard("b"))) == []


# Images


def frames() -> bytes:
    first, *others = (Image.new("RGB", (16, 16), colour) for colour in ("red", "blue", "green"))
    first.putpixel((1, 1), (9, 9, 9))
    return encode(first, "GIF", save_all=True, append_images=others)


IMAGES: dict[str, tuple[bytes, str]] = {
    "corrupt-image": (picture(7, 64, "JPEG")[:-300], ""),
    "corrupt-image: no image": (b"\x89PNG and then nothing", ""),
    "huge-image": (encode(Image.new("1", (5000, 4000))), "PNG of 5000 x 4000"),
    "tiny-image": (picture(7, 7), "PNG of 7 x 7"),
    "blank-image": (encode(Image.new("RGB", (16, 16), "white")), "PNG of 16 x 16"),
    "deep-image": (picture(7, kind="TIFF"), "mode CMYK"),
    "deep-image: 16 bits": (encode(Image.fromarray(np.arange(256, dtype=np.uint16).reshape(16, 16) * 99)), "mode I;16"),
    "moving-image": (frames(), "3 frames"),
}
IMAGES["deep-image"] = (encode(Image.open(io.BytesIO(picture(7))).convert("CMYK"), "TIFF"), "mode CMYK")


@pytest.mark.parametrize("case", IMAGES)
def test_an_image_that_is_not_good_is_found_at_its_row(case: str, tmp_path: Path) -> None:
    image, said = IMAGES[case]
    train = image_shard(0)
    train["image"][9] = image
    (found,) = only(write(tmp_path / "notes", "vision", train=train, test=image_shard(100)), case.split(":")[0])
    assert found.row == 9
    assert said in str(found)


# Copies


def test_one_example_with_two_labels_is_an_error_wherever_it_is(tmp_path: Path) -> None:
    train, test = text_shard("a"), text_shard("b")
    train["text"][3], test["text"][4] = train["text"][0], train["text"][1]
    found = only(write(tmp_path / "notes", train=train, test=test), "conflicting-labels")
    assert [(f.file, f.row, f.about) for f in found] == [
        ("notes/train.parquet", 3, "labelled 'sick' here and 'well' in notes/train.parquet row 0"),
        ("notes/test.parquet", 4, "labelled 'well' here and 'sick' in notes/train.parquet row 1"),
    ]


COPIES = {
    "train-in-test": ("train", 2, "test", 4),
    "pool-in-test": ("pool", 3, "test", 4),
    "train-in-pool": ("train", 2, "pool", 3),
    "repeated": ("train", 2, "train", 8),
}


@pytest.mark.parametrize("family", ["text", "vision"])
@pytest.mark.parametrize("kind", COPIES)
def test_a_copy_is_found_and_says_of_what(kind: str, family: str, tmp_path: Path) -> None:
    first, i, second, j = COPIES[kind]
    shards = sound(tmp_path, family)
    column = "text" if family == "text" else "image"
    shards[second][column][j] = shards[first][column][i]
    (found,) = only(write(tmp_path / "notes", family, **shards), kind)
    assert (found.file, found.row, found.about) == (f"notes/{second}.parquet", j, f"also notes/{first}.parquet row {i}")


LONG = (
    "the knee is swollen since a fall of last week and hurts at night when the patient lies on the left side of a bed"
)


def test_a_text_with_a_word_changed_is_nearly_in_train(tmp_path: Path) -> None:
    train, test = text_shard("a"), text_shard("b")
    train["text"][6], test["text"][11] = LONG, LONG.replace("bed", "sofa").upper() + "!"
    test["text"][12] = (
        LONG.replace("knee", "hand").replace("fall", "cut").replace("night", "noon").replace("left", "right")
    )
    (found,) = only(write(tmp_path / "notes", train=train, test=test), "nearly-in-train")
    assert (found.file, found.row) == ("notes/test.parquet", 11)
    assert found.about.endswith("% like notes/train.parquet row 6")


def test_a_near_copy_is_found_among_many_texts_with_the_same_beginning(tmp_path: Path) -> None:
    train = {"text": [f"{LONG} {word}" for word in texts(60, "a")], "label": [i % 2 for i in range(60)]}
    test = text_shard("b")
    test["text"][2] = train["text"][40] + " today"
    found = [
        f for f in run_checks(write(tmp_path / "notes", train=train, test=test)) if f.kind.name == "nearly-in-train"
    ]
    assert [f.row for f in found] == [2]


def test_texts_without_words_or_in_chinese_are_compared_too(tmp_path: Path) -> None:
    train, test = text_shard("a"), text_shard("b")
    train["text"][:2], test["text"][:2] = (
        ["?!", "患者自述头痛三天伴有恶心呕吐没有发热"],
        ["...", "患者自述头痛三天伴有恶心呕吐没有发热咳"],
    )
    (found,) = only(write(tmp_path / "notes", train=train, test=test), "nearly-in-train")
    assert found.row == 1


def test_an_image_that_was_saved_again_is_nearly_in_train(tmp_path: Path) -> None:
    train, test = image_shard(0), image_shard(100)
    train["image"][6], test["image"][10] = picture(7777, 64), picture(7777, 64, "JPEG", quality=90)
    (found,) = only(write(tmp_path / "notes", "vision", train=train, test=test), "nearly-in-train")
    assert found.row == 10
    assert found.about.endswith("notes/train.parquet row 6")


# Classes


def shard_of(of: str, **sizes: int) -> Columns:
    names = list(sizes)
    y = [names.index(name) for name, n in sizes.items() for _ in range(n)]
    return {"text": texts(len(y), of), "label": y}


CLASSES: dict[str, tuple[Columns, Columns, str]] = {
    "one-class": (shard_of("a", well=20), shard_of("b", well=20), "train.parquet: 'well'"),
    "unused-label": (shard_of("a", well=20, sick=20), shard_of("b", well=20, sick=20), "domain.yaml: 'odd'"),
    "only-in-test": (
        shard_of("a", well=20, sick=20),
        shard_of("b", well=20, sick=20, odd=3),
        "test.parquet: 'odd' (3 test examples)",
    ),
    "only-in-train": (
        shard_of("a", well=20, sick=20, odd=10),
        shard_of("b", well=20, sick=20),
        "train.parquet: 'odd' (10 training examples)",
    ),
    "small-class": (
        shard_of("a", well=20, sick=20, odd=7),
        shard_of("b", well=20, sick=20, odd=7),
        "train.parquet: 'odd' (7 training examples)",
    ),
    "label-shift": (
        shard_of("a", well=90, sick=90, odd=20),
        shard_of("b", well=150, sick=45, odd=5),
        "test.parquet: 'well' (45 % of train, 75 % of test; 30 % of all labels shifted)",
    ),
}


@pytest.mark.parametrize("kind", CLASSES)
def test_labels_with_too_few_examples_are_found(kind: str, tmp_path: Path) -> None:
    train, test, said = CLASSES[kind]
    names = ["well", "sick"] if kind == "one-class" else ["well", "sick", "odd"]
    (found,) = only(write(tmp_path / "notes", "text", {"labels": names}, train=train, test=test), kind)
    assert str(found) == f"notes/{said}"


def test_a_source_wants_two_examples_more_a_class(tmp_path: Path) -> None:
    domain = write(tmp_path / "notes", "text", {"role": "source"}, train=shard_of("a", well=20, sick=11))
    assert [f.about for f in only(domain, "small-class")] == ["11 training examples, enough for K = 1, 5"]


def test_a_small_difference_of_frequencies_is_no_shift(tmp_path: Path) -> None:
    shards = {"train": shard_of("a", well=10, sick=20), "test": shard_of("b", well=20, sick=10)}
    assert run_checks(write(tmp_path / "notes", **shards)) == []


# What gives labels away


def test_a_word_that_only_one_label_has_is_found(tmp_path: Path) -> None:
    train = text_shard("a", 48)
    train["text"] = [
        f"{text} {'SICKWARD' if y else 'home'}" for text, y in zip(train["text"], train["label"], strict=True)
    ]
    found = only(write(tmp_path / "notes", "text", {"role": "source"}, train=train), "telling-word")
    assert [str(f) for f in found] == [
        "notes/train.parquet: 'home' (in 24 of 24 texts of 'well', in no other)",
        "notes/train.parquet: 'sickward' (in 24 of 24 texts of 'sick', in no other)",
    ]


def test_a_label_that_is_written_in_its_texts_is_found(tmp_path: Path) -> None:
    train = text_shard("a", 80)
    train["text"] = [
        f"{text}, very sick" if y or i == 0 else text for i, (text, y) in enumerate(zip(*train.values(), strict=True))
    ]
    (found,) = only(write(tmp_path / "notes", "text", {"role": "source"}, train=train), "label-in-text")
    assert str(found) == "notes/train.parquet: 'sick' (in 40 of 40 of its texts, in 1 others)"


def test_a_feature_that_knows_the_label_is_an_error(tmp_path: Path) -> None:
    shards = sound(tmp_path, "market")
    for split in ("train", "test"):
        for x, y in zip(shards[split]["x"], shards[split]["label"], strict=True):
            x[2] = float(y) + x[2] / 100
    found = only(write(tmp_path / "notes", "market", **shards), "telling-feature")
    assert {f.value for f in found} == {"feature 2"}
    assert found[0].is_error


# Dates


def test_dates_out_of_order_are_found(tmp_path: Path) -> None:
    shards = sound(tmp_path, "market")
    dates = shards["train"]["date"]
    dates[4:8] = dates[6:8] + dates[4:6]
    found = only(write(tmp_path / "notes", "market", **shards), "dates-out-of-order")
    assert [(f.row, f.about) for f in found] == [(6, "after 2024-01-04"), (7, "after 2024-01-04")]


def test_the_same_day_of_an_asset_in_two_shards_is_found(tmp_path: Path) -> None:
    shards = sound(tmp_path, "market")
    shards["pool"]["date"][0] = shards["train"]["date"][-2]
    (found,) = only(write(tmp_path / "notes", "market", **shards), "repeated-day")
    assert (found.file, found.row, found.about) == ("notes/pool.parquet", 0, "also notes/train.parquet row 78")


def test_one_series_under_two_names_is_one_finding(tmp_path: Path) -> None:
    shards = sound(tmp_path, "market")
    for columns in shards.values():
        columns["x"][1::2] = columns["x"][::2]
    (found,) = only(write(tmp_path / "notes", "market", **shards), "same-asset")
    assert (found.value, found.about, found.is_error) == ("B", "as A on 90 dates", False)


def test_a_gap_of_all_assets_is_found(tmp_path: Path) -> None:
    shards = sound(tmp_path, "market")
    shards["test"] = {name: [*values[:20], *values[40:]] for name, values in shards["test"].items()}
    (found,) = only(write(tmp_path / "notes", "market", **shards), "date-gap")
    assert (found.row, found.about) == (20, "17 days after 2024-04-12")


def test_a_gap_of_one_asset_is_found(tmp_path: Path) -> None:
    shards = sound(tmp_path, "market")
    kept = [i for i, asset in enumerate(shards["test"]["asset"]) if asset == "A" or not 10 <= i // 2 < 21]
    shards["test"] = {name: [values[i] for i in kept] for name, values in shards["test"].items()}
    (found,) = only(write(tmp_path / "notes", "market", **shards), "asset-gap")
    assert (found.value, found.about) == ("B on 2024-04-30", "11 days that others have are missing before it")


def test_a_test_that_is_not_after_train_is_an_error(tmp_path: Path) -> None:
    shards = {"train": market_shard("2024-03-04", 20), "test": market_shard("2024-01-01", 40)}
    found = only(write(tmp_path / "notes", "market", **shards), "test-before-train")
    assert (len(found), found[0].row, found[0].about) == (80, 0, "train ends on 2024-03-29")


@pytest.mark.parametrize(("horizon", "early"), [(None, 4), (2, 1), (10, 9)])
def test_a_test_within_the_horizon_of_the_last_training_label_is_an_error(
    horizon: int | None, early: int, tmp_path: Path
) -> None:
    shards = {"train": market_shard("2024-01-01", 40), "test": market_shard("2024-02-26", 40)}
    about = {} if horizon is None else {"horizon": horizon}
    found = only(write(tmp_path / "notes", "market", about, **shards), "no-embargo")
    assert len(found) == 2 * early
    assert found[0].about == f"1 trading days after train ends, labels look {horizon or 5} ahead"


@pytest.mark.parametrize("horizon", ["five", 0, True, None])
def test_a_horizon_that_is_no_number_of_days_is_found_and_the_default_stands(horizon: Any, tmp_path: Path) -> None:
    shards = {"train": market_shard("2024-01-01", 40), "test": market_shard("2024-02-26", 40)}
    bad, *early = run_checks(write(tmp_path / "notes", "market", {"horizon": horizon}, **shards))
    shown = repr(horizon) if isinstance(horizon, str) else str(horizon)
    assert str(bad) == f"notes/domain.yaml: {shown} (taken for 5)"
    assert {f.about for f in early} == {f"{n} trading days after train ends, labels look 5 ahead" for n in range(1, 5)}


def test_a_market_without_a_readable_row_is_checked_to_its_end(tmp_path: Path) -> None:
    domain = write(tmp_path / "notes", "market", {"role": "source"})
    assert [f.kind.name for f in run_checks(domain)] == ["missing-shard"]
    (tmp_path / "notes/train.parquet").write_bytes(b"PAR1 and no more")
    assert [f.kind.name for f in run_checks(domain)] == ["unreadable-shard"]


def test_a_test_shard_of_vectors_of_another_length_is_checked_to_its_end(tmp_path: Path) -> None:
    shards = sound(tmp_path, "market")
    shards["test"]["x"] = [x[:3] for x in shards["test"]["x"]]
    found = only(write(tmp_path / "notes", "market", **shards), "bad-number")
    assert (len(found), str(found[0])) == (80, "notes/test.parquet row 0: 3 numbers (the first has 4)")


def test_a_pool_of_the_days_of_the_test_is_found(tmp_path: Path) -> None:
    shards = sound(tmp_path, "market") | {"pool": market_shard("2024-03-04", 21, ("C",))}
    (found,) = only(write(tmp_path / "notes", "market", **shards), "pool-after-test")
    assert (found.value, found.about) == ("C on 2024-04-01", "test begins on 2024-04-01")


# Reports


def test_a_report_lists_the_first_five_places_of_a_kind_and_counts_the_rest(tmp_path: Path) -> None:
    train = text_shard("a", 40)
    train["text"][5:13] = [""] * 8
    train["text"][0] = "sister\ufffdcity"
    found = run_checks(write(tmp_path / "notes", train=train, test=text_shard("b")))
    said = list(report_lines(found))
    assert said[0] == "error: a text without a character in it [empty-text]"
    assert said[1:7] == [*(f"  notes/train.parquet row {row}: ''" for row in range(5, 10)), "  … and 3 more"]
    assert said[7] == "  → remove the row or fill it in"
    assert said[8].startswith("warning: ")
    assert report_summary(found) == "8 errors, 1 warning"
    assert found[0].record()["row"] == 5
