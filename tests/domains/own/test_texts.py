"""Tables of texts: what is inferred, what a label is, how they are divided, and what is written."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

from domains.domain import Domain
from domains.errors import UserError
from domains.own.new_domain import NewDomain
from domains.own.opening import open_input
from domains.own.options import AddOptions
from domains.own.writing import write_domain


def understand(path: Path, **options: Any) -> NewDomain:
    return open_input(str(path), AddOptions(**options)).understand(lambda n: None)


def add(path: Path, data: Path, **options: Any) -> Domain:
    return Domain.read(write_domain(understand(path, **options), "mine", data, lambda n: None))


def rows(n: int = 60, labels: tuple[str, ...] = ("flu", "cold", "")) -> pd.DataFrame:
    """Reports whose text names their place."""
    return pd.DataFrame(
        {
            "id": range(n),
            "report": [f"the patient number {i} came in" for i in range(n)],
            "diagnosis": [labels[i % len(labels)] for i in range(n)],
            "patient": [f"p{i // 3}" for i in range(n)],
            "day": [f"2024-{1 + i // 28:02d}-{1 + i % 28:02d}" for i in range(n)],
        }
    )


def saved(table: pd.DataFrame, path: Path) -> Path:
    ending = path.suffix
    if ending == ".parquet":
        table.to_parquet(path)
    elif ending == ".jsonl":
        table.to_json(path, orient="records", lines=True, force_ascii=False)
    else:
        table.to_csv(path, index=False, sep="\t" if ending == ".tsv" else ",")
    return path


@pytest.mark.parametrize("ending", [".csv", ".tsv", ".jsonl", ".parquet"])
def test_every_format_gives_the_same_domain_with_columns_found(tmp_path: Path, ending: str) -> None:
    domain = add(saved(rows(), tmp_path / f"reports{ending}"), tmp_path / "data")
    assert (domain.family, domain.role, domain.labels) == ("text", "target", ("cold", "flu"))
    assert domain.meta["columns"] == {"text": "report", "label": "diagnosis"}
    assert domain.counts == {"pool": 20, "test": 10, "train": 30}
    texts = [text for split in ("train", "pool", "test") for text in domain.column(split)]  # type: ignore[arg-type]
    assert sorted(texts) == sorted(rows()["report"])
    truth = dict(zip(rows()["report"], rows()["diagnosis"], strict=True))
    for split in ("train", "test"):
        found = [domain.labels[y] for y in domain.targets(split)]  # type: ignore[arg-type]
        assert found == [truth[text] for text in domain.column(split)]  # type: ignore[arg-type]


def test_a_source_has_no_test(tmp_path: Path) -> None:
    table = saved(rows(), tmp_path / "reports.csv")
    domain = add(table, tmp_path / "data", role="source")
    assert (domain.role, domain.counts) == ("source", {"pool": 20, "train": 40})
    assert "test" not in " ".join(domain.meta["warnings"])
    with pytest.raises(UserError, match="--test-share does not apply to a source"):
        understand(table, role="source", test_share=0.3)
    with pytest.raises(UserError, match="no role 'sources'; there are: target, source"):
        AddOptions(role="sources")


def test_the_same_input_gives_the_same_bytes_and_nothing_of_the_machine(tmp_path: Path) -> None:
    made = []
    for place in ("a", "b"):
        (tmp_path / place).mkdir()
        path = saved(rows(), tmp_path / place / "reports.csv")
        folder = write_domain(understand(path), "mine", tmp_path / place / "data", lambda n: None)
        made.append({file.name: file.read_bytes() for file in sorted(folder.iterdir())})
    assert made[0] == made[1]
    about = made[0]["domain.yaml"].decode()
    assert str(tmp_path) not in about
    known = yaml.safe_load(about)
    assert (known["where"], known["licence"], len(known["sha256"])) == ("reports.csv", "not stated", 64)
    assert known["split"] == {"by": "class", "share": 0.2, "most_a_class": 200, "seed": 0}


def test_datasets_reads_what_was_written(tmp_path: Path) -> None:
    from datasets import Dataset

    add(saved(rows(), tmp_path / "reports.csv"), tmp_path / "data")
    read = Dataset.from_parquet(str(tmp_path / "data/mine/test.parquet"), cache_dir=str(tmp_path / "cache"))
    assert read.features["label"].names == ["cold", "flu"]


# Encodings and separators


def test_the_mark_of_excel_semicolons_and_quoted_newlines_are_read(tmp_path: Path) -> None:
    body = "".join(f'"text {i}\nsecond; line";{"ab"[i % 2]}\n' for i in range(20))
    path = tmp_path / "a.csv"
    path.write_bytes(("\ufefftext;label\n" + body).encode())
    domain = add(path, tmp_path / "data")
    assert domain.labels == ("a", "b")
    assert "text 0\nsecond; line" in domain.column("train") + domain.column("test")
    assert "semicolon between cells" in domain.meta["read_as"]


def test_western_letters_of_windows_are_read_with_a_warning(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b"text,label\n" + b"".join(f"coffee at a café {i},{i % 2}\n".encode("cp1252") for i in range(20)))
    found = understand(path)
    assert any("not UTF-8 (byte 26: " in line and "read as cp1252" in line for line in found.warnings)
    assert found.examples[0]["example"].startswith("coffee at a café")


def test_letters_that_would_be_guessed_blindly_are_refused_until_the_encoding_is_said(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b"text,label\n" + b"".join(f"больной {i},{i % 2}\n".encode("cp1251") for i in range(20)))
    with pytest.raises(UserError, match="not UTF-8 at byte 11; save it as UTF-8, or say --encoding"):
        understand(path)
    assert understand(path, encoding="cp1251").examples[0]["example"].startswith("больной")


def test_utf_16_is_known_by_its_mark(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(("text,label\n" + "".join(f"naïve {i},{i % 2}\n" for i in range(20))).encode("utf-16"))
    assert understand(path).examples[0]["example"].startswith("naïve")


# Labels


def labelled(tmp_path: Path, labels: list[Any], ending: str = ".csv", **options: Any) -> NewDomain:
    table = pd.DataFrame({"text": [f"text number {i}" for i in range(len(labels))], "label": labels})
    return understand(saved(table, tmp_path / f"a{ending}"), **options)


def test_labels_that_differ_by_case_or_space_are_one_class_and_it_is_said(tmp_path: Path) -> None:
    found = labelled(tmp_path, ["Flu"] * 10 + ["flu"] * 5 + ["cold  hands"] * 5 + ["cold hands "] * 5)
    assert found.labels == ("Flu", "cold hands")
    assert any("differ only by case are one class, 'Flu': 'Flu' (10), 'flu' (5)" in line for line in found.warnings)
    assert any("spaces in labels do not count: 'cold  hands', 'cold hands '" in line for line in found.warnings)
    assert labelled(tmp_path, ["A"] * 10 + ["a"] * 10, keep_case=True).labels == ("A", "a")


@pytest.mark.parametrize("ending", [".csv", ".parquet", ".jsonl"])
def test_numbers_are_labels_by_their_text_in_the_order_of_numbers(tmp_path: Path, ending: str) -> None:
    found = labelled(tmp_path, [10.0, 9.0, float("nan")] * 10, ending)
    assert found.labels == ("9", "10")
    assert found.counts["pool"] == 10


def test_what_says_that_there_is_no_label_is_none(tmp_path: Path) -> None:
    found = labelled(tmp_path, ["a", "b", "NaN", "", "n/a"] * 6)
    assert found.labels == ("a", "b")
    assert found.counts["pool"] == 18
    assert any("12 labels read 'NaN', 'n/a': taken as not labelled" in line for line in found.warnings)


def test_copies_are_kept_once_and_where_labels_contradict_none_is_kept(tmp_path: Path) -> None:
    table = rows(30, ("flu", "cold"))
    table.loc[3, "report"] = table.loc[1, "report"]  # both cold
    table.loc[[5, 6], "report"] = "one text"  # cold and flu
    found = understand(saved(table, tmp_path / "a.csv"))
    assert sum(found.counts.values()) == 27
    assert "pool" not in found.counts
    assert any("1 example with copies of another label" in line and "rows 6, 7" in line for line in found.warnings)
    assert any("1 copy of other examples left out" in line for line in found.warnings)


def test_an_empty_text_goes_and_is_named(tmp_path: Path) -> None:
    table = rows(30, ("flu", "cold"))
    table.loc[[4, 9], "report"] = ["", "  "]
    found = understand(saved(table, tmp_path / "a.csv"))
    assert "2 empty texts left out: rows 5, 10" in found.warnings
    assert sum(found.counts.values()) == 28


def test_half_a_character_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text("".join(f'{{"text": "t{i}", "label": "{i % 2}"}}\n' for i in range(9)) + '{"text": "\\ud800"}\n')
    with pytest.raises(UserError, match=r"1 unreadable text: row 10 \(half a character"):
        understand(path)
    assert sum(understand(path, skip_unreadable=True).counts.values()) == 9


# The split


def test_five_labels_a_class_keep_four_for_train_and_one_for_the_test(tmp_path: Path) -> None:
    found = labelled(tmp_path, ["a"] * 5 + ["b"] * 5 + ["c"])
    assert found.classes == {"a": {"train": 4, "test": 1}, "b": {"train": 4, "test": 1}, "c": {"train": 1, "test": 0}}
    assert any("3 classes with fewer than 10 labelled examples: 'a' (5)" in line for line in found.warnings)
    assert any("1 class without a test example, never measured: 'c'" in line for line in found.warnings)


def test_the_test_follows_the_share_and_the_most_that_were_asked(tmp_path: Path) -> None:
    labels = ["a"] * 100 + ["b"] * 50
    assert labelled(tmp_path, labels, test_share=0.5).counts == {"test": 75, "train": 75}
    assert labelled(tmp_path, labels, test_most=7).counts == {"test": 14, "train": 136}


def test_no_group_is_on_both_sides(tmp_path: Path) -> None:
    table = rows(300)
    domain = add(saved(table, tmp_path / "a.csv"), tmp_path / "data", group_column="patient")
    group = dict(zip(table["report"], table["patient"], strict=True))
    groups = {split: {group[text] for text in domain.column(split)} for split in ("train", "pool", "test")}  # type: ignore[arg-type]
    assert groups["test"]
    assert not groups["test"] & (groups["train"] | groups["pool"])
    assert 30 <= domain.counts["test"] <= 50  # a fifth of 200
    assert domain.meta["split"]["column"] == "patient"


def test_the_newest_are_the_test(tmp_path: Path) -> None:
    table = rows(300, ("flu", "cold", "")).sample(frac=1, random_state=0)
    domain = add(saved(table, tmp_path / "a.csv"), tmp_path / "data", time_column="day")
    day = dict(zip(table["report"], table["day"], strict=True))
    newest = max(day[text] for text in domain.column("train"))
    assert newest < min(day[text] for text in domain.column("test"))
    assert domain.counts["test"] == 40


def test_a_class_that_only_the_newest_have_is_left_out_and_it_is_said(tmp_path: Path) -> None:
    table = rows(60, ("flu", "cold"))
    table.loc[58:, "diagnosis"] = "new"
    found = understand(saved(table, tmp_path / "a.csv"), time_column="day")
    assert found.labels == ("cold", "flu")
    assert any("class 'new' has no example in train, so it is left out (2 examples)" in w for w in found.warnings)


def test_a_time_that_is_none_is_named(tmp_path: Path) -> None:
    table = rows()
    table.loc[3, "day"] = "soon"
    with pytest.raises(UserError, match="column day: row 4: 'soon' is not a date; write YYYY-MM-DD"):
        understand(saved(table, tmp_path / "a.csv"), time_column="day")


# Bad input


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", "text,label\n", "no examples in it"),
        ("a.csv", "", "has texts and no labels|no examples|which column"),
        ("a.csv", "text,label\nfine,a\nmild, itching,b\n", "row 2 has 3 cells and the header 2; put quotes around"),
        ("a.csv", 'text,label\n"fine,a\n', "line 2: unexpected end of data; correct its quotes"),
        ("a.csv", "text,label\nx,a\ny,a\nz,\n", r"1 label in column label \('a'\).*there must be two or more"),
        ("a.csv", "text,label\nx,a\ny,b\n", "no class has the two labelled examples that a test needs"),
        ("a.csv", "text\nx\ny\n", "has texts and no labels .*add a column label"),
        ("a.csv", "text,label,label\nx,a,b\n", "two columns are called label"),
        ("a.csv", "one,two\nx,a\ny,b\n", "which column is the text\\? It has one, two; say --text-column"),
        (
            "a.csv",
            "this is a first row of eight words,a\nb,c\n",
            "first row the names of the columns, or data\\?.*--no-header",
        ),
        ("a.csv", b"text,label\nx\0y,a\n", "has a zero byte at 12, so it is not a text file"),
        ("a.txt", "x\ny\n", "has texts and no labels"),
        ("a.jsonl", '{"text": "x"}\n[1]\n', "line 2 is not a JSON object"),
        ("a.jsonl", '{"text": [1], "label": "a"}\n', "which column|does not hold text examples"),
        ("a.parquet", b"PAR1 and then nothing", "not a whole Parquet file"),
        ("a.xlsx", b"PK", "not a whole Excel file"),
        ("a.ods", b"PK", "a file of this ending is not known; save it as one of .csv"),
        ("a.png", b"x", "is one image; give a folder"),
    ],
)
def test_a_bad_table_is_refused_in_one_line(tmp_path: Path, name: str, content: str | bytes, message: str) -> None:
    path = tmp_path / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(UserError, match=message) as caught:
        understand(path)
    assert "\n" not in str(caught.value)
    assert name in str(caught.value)


def test_a_column_that_is_not_there_is_named_with_those_that_are(tmp_path: Path) -> None:
    path = saved(rows(), tmp_path / "a.csv")
    with pytest.raises(UserError, match=r"no column 'dx' \(--label-column\); it has id, report, diagnosis"):
        understand(path, label_column=("dx",))


def test_a_parquet_file_that_was_cut_off_is_refused(tmp_path: Path) -> None:
    path = saved(rows(), tmp_path / "a.parquet")
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(UserError, match="not a whole Parquet file"):
        understand(path)


def test_options_that_mean_nothing_are_refused(tmp_path: Path) -> None:
    path = saved(rows(), tmp_path / "a.csv")
    for options, message in (
        ({"start": "2024-01-01"}, "--start does not apply to texts"),
        ({"test_share": 1.5}, "--test-share 1.5: give a share above 0 and under 1"),
        ({"test_most": 0}, "--test-most 0: give 1 or more"),
        ({"group_column": "patient", "time_column": "day"}, "leave one out"),
        ({"encoding": "klingon"}, "no such encoding"),
        ({"family": "vision"}, "column report holds text and not vision examples"),
    ):
        with pytest.raises(UserError, match=message):
            understand(path, **options)  # type: ignore[arg-type]


def test_a_file_that_changes_between_the_two_readings_is_not_written(tmp_path: Path) -> None:
    path = saved(rows(), tmp_path / "a.csv")
    found = understand(path)
    saved(rows().assign(report="other"), path)
    with pytest.raises(UserError, match=r"a\.csv: changed while it was read"):
        write_domain(found, "mine", tmp_path / "data", lambda n: None)
    assert not (tmp_path / "data").exists()


def test_a_large_table_is_read_row_by_row_and_written_in_row_groups(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import pyarrow.parquet as pq

    from domains.own import writing
    from domains.reading import tables

    path = tmp_path / "a.csv"
    path.write_text("text,label\n" + "fine,a\n" * 20_000 + "ragged\n")
    table = tables.open_table(path)
    assert next(table.read(("text", "label"))) == ("fine", "a")  # what comes later is not read yet
    with pytest.raises(UserError, match="row 20001 has 1 cells"):
        list(table.read(("text",)))
    monkeypatch.setattr(writing, "ROWS", 10)
    add(saved(rows(100), tmp_path / "b.csv"), tmp_path / "data")
    assert pq.read_metadata(tmp_path / "data/mine/train.parquet").num_row_groups > 3


def test_a_dataset_that_was_saved_is_read_with_its_label_names(tmp_path: Path) -> None:
    from datasets import ClassLabel, Dataset, Features, Value

    y = [0, 1, -1] * 10
    features = Features({"sentence": Value("string"), "target": ClassLabel(names=["flu", "cold"])})
    Dataset.from_dict({"sentence": [f"s {i}" for i in range(30)], "target": y}, features).save_to_disk(tmp_path / "d")
    domain = add(tmp_path / "d", tmp_path / "data")
    assert domain.labels == ("cold", "flu")
    assert domain.counts["pool"] == 10


def test_a_dataset_that_cannot_be_fetched_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    def away(name: str) -> None:
        raise ConnectionError("Couldn't reach the hub\nand more")

    monkeypatch.setattr(datasets, "load_dataset", away)
    with pytest.raises(
        UserError, match=r"no such file, and Hugging Face gives no .*Couldn't reach the hub\)"
    ) as caught:
        open_input("nobody/nothing", AddOptions())
    assert "\n" not in str(caught.value)
    with pytest.raises(UserError, match=r"reports\.csv: no such file or folder"):
        open_input("reports.csv", AddOptions())


def test_a_split_by_class_is_as_large_as_the_rule_says() -> None:
    from domains.own.division import choose_test_sizes

    assert choose_test_sizes(np.array([0, 1, 2, 3, 5, 10, 15, 100, 5000]), 0.2, 200).tolist() == [
        0,
        0,
        1,
        1,
        1,
        3,
        5,
        20,
        200,
    ]
