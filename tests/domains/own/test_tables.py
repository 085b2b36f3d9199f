"""Tables as people have them: how they are laid out, which columns are meant, and what a label is; else a question."""

import gzip
import json
import shutil
import zipfile
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from domains.domain import Domain
from domains.errors import UserError
from domains.new_examples import Reading, read_examples
from domains.own.labels import LabelRules, name_classes, single_label
from domains.own.new_domain import NewDomain
from domains.own.writing import write_domain
from tests.domains.own.inputs import refused, understand

WORDS = (
    "the bolt came late again",
    "nobody answered my second letter",
    "it tore after one week",
    "paid the bill twice",
)
LABELS = ("parts", "mail")


def add(path: Path, **options: Any) -> Domain:
    return Domain.read(write_domain(understand(path, **options), "mine", path.parent / "data", lambda n: None))


def texts_of(domain: Domain) -> list[str]:
    return sorted(text for split in domain.counts for text in domain.column(split))  # type: ignore[arg-type]


def texts(n: int = 20) -> list[str]:
    return [f"{WORDS[i % 4]}, case {i}" for i in range(n)]


def frame(n: int = 20, **columns: Any) -> pd.DataFrame:
    return pd.DataFrame({"text": texts(n), "label": [LABELS[i % 2] for i in range(n)]} | columns)


def csv(table: pd.DataFrame, path: Path, above: str = "", **how: Any) -> Path:
    path.write_text(above + table.to_csv(index=False, **how))
    return path


# Layout


@pytest.mark.parametrize(
    ("separator", "name", "ending"),
    [
        (",", "comma", "csv"),
        (";", "semicolon", "csv"),
        ("\t", "tab", "csv"),
        ("|", "pipe", "psv"),
        ("\t", "tab", "tab"),
    ],
)
def test_rows_tell_the_separator(tmp_path: Path, separator: str, name: str, ending: str) -> None:
    domain = add(csv(frame(), tmp_path / f"a.{ending}", sep=separator))
    assert (texts_of(domain), domain.labels) == (sorted(texts()), ("mail", "parts"))
    assert domain.meta["read_as"] == f"CSV, {name} between cells, UTF-8"


@pytest.mark.parametrize("line", ["sep=;\n", '"sep=;"\r\n', "\ufeffSEP=;\n"])
def test_the_line_that_names_the_separator_is_obeyed_and_no_row(tmp_path: Path, line: str) -> None:
    table = frame().rename(columns={"text": "text, with notes"})  # by the header alone it would be a comma
    domain = add(csv(table, tmp_path / "a.csv", line, sep=";"))
    assert texts_of(domain) == sorted(texts())


@pytest.mark.parametrize("above", ["Export of May\n", "Export of May,\n\n", "Report,\n,\n"])
def test_a_title_is_skipped_and_said(tmp_path: Path, above: str) -> None:
    found = understand(csv(frame(), tmp_path / "a.csv", above))
    assert sum(found.counts.values()) == 20
    assert any(line.startswith("left out above the table: '") for line in found.warnings)


def test_without_a_header_it_is_asked_and_no_row_is_lost(tmp_path: Path) -> None:
    path = csv(frame(), tmp_path / "a.csv", header=False)
    assert "is its first row the names of the columns, or data?" in refused(path)
    assert "say --header or --no-header" in refused(path)
    domain = add(path, header=False)
    assert texts_of(domain) == sorted(texts())
    assert domain.meta["columns"] == {"text": "column 1", "label": "column 2"}
    assert (domain.has_header, domain.example_columns) == (False, ("column 1",))


def test_a_label_that_stands_below_itself_is_no_header_and_a_question_may_be(tmp_path: Path) -> None:
    short = pd.DataFrame({"a": [f"w{i}" for i in range(9)], "b": ["x", "y", "z"] * 3})
    assert "'x' stands below it too" in refused(csv(short, tmp_path / "a.csv", header=False))
    survey = frame().rename(columns={"text": "What went wrong with the last order you made?"})
    path = csv(survey, tmp_path / "b.csv")
    assert "reads like a text; say --header" in refused(path)
    assert sum(understand(path, header=True).counts.values()) == 20


def test_quotes_after_a_backslash_and_spaces_before_quotes_are_as_they_are_meant(tmp_path: Path) -> None:
    said = [f'she said "no, {text}" twice' for text in texts()]
    table = frame().assign(text=said)
    path = csv(table, tmp_path / "a.csv", doublequote=False, escapechar="\\", quoting=1)
    assert '\\"no, the bolt' in path.read_text()
    assert texts_of(add(path)) == sorted(said)
    path.write_text("".join(f'{row.label}, "{row.text}, and again"\n' for row in frame().itertuples()))
    domain = Domain.read(write_domain(understand(path, header=False), "other", tmp_path / "data", lambda n: None))
    assert (texts_of(domain), domain.labels) == (sorted(f"{text}, and again" for text in texts()), ("mail", "parts"))


def test_a_backslash_at_the_end_of_a_cell_and_a_quoted_word_after_a_space_are_text(tmp_path: Path) -> None:
    said = [f"{text} in C:\\" for text in texts()]
    assert texts_of(add(csv(frame().assign(text=said), tmp_path / "a.csv", quoting=1))) == sorted(said)
    said = [f' "Well" said {text}' if i == 3 else text for i, text in enumerate(texts())]
    path = tmp_path / "b.csv"
    path.write_text("label;text\n" + "".join(f"{LABELS[i % 2]};{text}\n" for i, text in enumerate(said)))
    domain = Domain.read(write_domain(understand(path), "other", tmp_path / "data", lambda n: None))
    assert texts_of(domain) == sorted(said)


@pytest.mark.parametrize("packed", [False, True])
def test_tables_named_by_splits_are_kept_as_they_are(tmp_path: Path, packed: bool) -> None:
    table, folder = frame(), tmp_path / "kaggle"
    folder.mkdir()
    parts = {"train": table[:10], "validation": table[10:14], "Test": table[14:]}
    for name, part in parts.items():
        csv(part, folder / f"{name}.csv")
    (folder / "sample_submission.csv").write_text("id,label\n1,mail\n")
    (folder / "README.md").write_text("made by hand\n")
    path = folder
    if packed:
        path = tmp_path / "kaggle.zip"
        with zipfile.ZipFile(path, "w") as archive:
            for file in folder.iterdir():
                archive.write(file, f"export/{file.name}")
    found = understand(path)
    assert (found.counts, found.file) == ({"test": 6, "train": 14}, path.name)
    assert any(line.startswith("tables are read as splits: ") for line in found.warnings)
    assert any(line.startswith("1 other table left out: ") for line in found.warnings)
    domain = add(path)
    assert sorted(domain.column("test")) == sorted(parts["Test"]["text"])


def test_of_tables_by_split_one_without_labels_is_the_pool_and_one_without_texts_is_refused(tmp_path: Path) -> None:
    csv(frame(), tmp_path / "train.csv")
    csv(frame(24)[["text"]][20:], tmp_path / "test.csv")
    found = understand(tmp_path)
    assert {split: found.counts[split] for split in ("test", "pool")} == {"test": 6, "pool": 4}
    csv(frame().rename(columns={"text": "body"}), tmp_path / "test.csv")
    assert "test.csv: no column 'text', which the table called train has; it has body, label" in refused(tmp_path)
    csv(frame(), tmp_path / "test_labels.csv")
    assert "holds tables and no images" in refused(tmp_path)  # two of the test


def test_where_a_table_by_split_is_wrong_its_own_row_is_named(tmp_path: Path) -> None:
    csv(frame(), tmp_path / "train.csv")
    csv(pd.DataFrame({"text": ["x y z", "", "a b c"], "label": ["mail", "parts", "parts"]}), tmp_path / "dev.csv")
    assert "1 empty text left out: row 2 of dev.csv" in understand(tmp_path).warnings


def test_objects_in_cells_are_columns(tmp_path: Path) -> None:
    rows = [{"doc": {"body": t, "by": {"id": i}}, "meta": {"class": LABELS[i % 2]}} for i, t in enumerate(texts())]
    path = tmp_path / "a.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in [*rows, {"doc": None}]))
    domain = add(path)
    assert domain.meta["columns"] == {"text": "doc.body", "label": "meta.class"}
    assert (texts_of(domain), domain.labels) == (sorted(texts()), ("mail", "parts"))
    again = read_examples("text", path, Reading.of_domain(domain, ()))
    assert again.examples == texts()


def test_packed_tables_are_read(tmp_path: Path) -> None:
    content = csv(frame(), tmp_path / "a.csv").read_bytes()
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(content))
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("export/a.csv", content)
        archive.writestr("__MACOSX/._a.csv", b"attributes")
    for name in ("a.csv.gz", "a.zip"):
        assert sum(understand(tmp_path / name).counts.values()) == 20
    (tmp_path / "cut.csv.gz").write_bytes(gzip.compress(content)[:-20])
    assert "cannot be unpacked" in refused(tmp_path / "cut.csv.gz")
    with zipfile.ZipFile(tmp_path / "a.zip", "a") as archive:
        archive.writestr("b.csv", content)
    assert "holds the tables b.csv, export/a.csv; unpack it" in refused(tmp_path / "a.zip")


@pytest.mark.parametrize(
    "write",
    [
        lambda rows: rows,
        lambda rows: {"data": rows, "version": 1},
        lambda rows: {name: [row[name] for row in rows] for name in rows[0]},
        lambda rows: json.loads(pd.DataFrame(rows).to_json()),
        lambda rows: json.loads(pd.DataFrame(rows).to_json(orient="split")),
        lambda rows: json.loads(pd.DataFrame(rows).to_json(orient="index")),
        lambda rows: {"about": {"rows": len(rows)}, "rows": {f"r{i}": row for i, row in enumerate(rows)}},
    ],
)
def test_json_is_read_in_every_usual_form(tmp_path: Path, write: Any) -> None:
    (tmp_path / "a.json").write_text(json.dumps(write(frame().to_dict("records")), indent=1))
    assert texts_of(add(tmp_path / "a.json")) == sorted(texts())


def test_ticked_columns_are_the_classes_and_labels_before_texts_are_of_fasttext(tmp_path: Path) -> None:
    rows = frame().to_dict("records")
    classes = sorted({row["label"] for row in rows})
    ticks = [[row["text"], *("X" if row["label"] == name else "" for name in classes)] for row in rows]
    pd.DataFrame(ticks, columns=["comment", *classes]).to_csv(tmp_path / "a.csv", index=False)
    lines = [f"__label__{row['label']} {row['text']}\n" for row in rows]
    (tmp_path / "a.txt").write_text("".join(lines))
    for name in ("a.csv", "a.txt"):
        domain = add(tmp_path / name)
        assert (texts_of(domain), sorted(domain.labels)) == (sorted(texts()), classes)
        shutil.rmtree(domain.path)
    (tmp_path / "a.txt").write_text("".join([*lines, f"__label__{classes[0]} __label__{classes[1]} both of them\n"]))
    assert "several labels" in refused(tmp_path / "a.txt")


def test_json_that_is_an_object_a_line_or_no_table(tmp_path: Path) -> None:
    frame().to_json(tmp_path / "a.json", orient="records", lines=True)
    assert texts_of(add(tmp_path / "a.json")) == sorted(texts())
    (tmp_path / "b.json").write_text("[1, 2]")
    assert "holds no list of objects" in refused(tmp_path / "b.json")


def test_of_excel_the_only_filled_sheet_is_read_or_the_one_that_is_named(tmp_path: Path) -> None:
    with pd.ExcelWriter(tmp_path / "a.xlsx") as book:
        pd.DataFrame().to_excel(book, sheet_name="Empty", index=False)
        table = frame().assign(day=pd.Timestamp("2024-01-02"), stars=[None, 5.0] * 10)
        table.to_excel(book, sheet_name="May", index=False, startrow=2)
        book.sheets["May"]["A1"] = "Complaints of May"
    found = understand(tmp_path / "a.xlsx")
    assert sum(found.counts.values()) == 20
    assert found.kind == "Excel, sheet May"
    assert "left out above the table: 'Complaints of May'" in found.warnings
    with pd.ExcelWriter(tmp_path / "a.xlsx", mode="a") as book:
        frame(8).to_excel(book, sheet_name="June", index=False)
    assert "which sheet? It has May, June; say --sheet" in refused(tmp_path / "a.xlsx")
    assert sum(understand(tmp_path / "a.xlsx", sheet="June").counts.values()) == 8
    assert "no sheet 'Juni'; it has Empty, May, June" in refused(tmp_path / "a.xlsx", sheet="Juni")


@pytest.mark.parametrize("several", [False, True])
def test_a_parquet_file_and_a_folder_of_datasets_give_names_of_classes(tmp_path: Path, several: bool) -> None:
    from datasets import ClassLabel, Dataset, Features, Sequence, Value

    names = ClassLabel(names=["parts", "mail"])
    features = Features({"text": Value("string"), "label": Sequence(names) if several else names})
    y = [[i % 2] if several else i % 2 for i in range(20)]
    dataset = Dataset.from_dict({"text": texts(), "label": y}, features)
    dataset.to_parquet(tmp_path / "a.parquet")
    dataset.save_to_disk(tmp_path / "saved")
    for path in (tmp_path / "a.parquet", tmp_path / "saved"):
        assert understand(path).labels == ("mail", "parts")


# Columns


def test_two_columns_that_could_be_the_text_are_asked_about_and_joined_where_both_are_named(tmp_path: Path) -> None:
    table = pd.DataFrame(
        {"title": texts(), "body": [f"see above, thanks, {i}" for i in range(20)], "topic": LABELS * 10}
    )
    path = csv(table, tmp_path / "a.csv")
    assert "which column is the text? title, body could be; name one with --text-column, or join them" in refused(path)
    domain = add(path, text_column=("title", "body"))
    assert f"{texts()[0]}\nsee above, thanks, 0" in texts_of(domain)
    assert domain.meta["columns"] == {"text": ["title", "body"], "label": "topic"}
    assert domain.example_columns == ("title", "body")
    one = understand(path, text_column=("body",))
    assert one.notes["not_used"] == ["title (like texts)"]


def test_two_columns_that_could_be_the_label_are_asked_about(tmp_path: Path) -> None:
    table = frame().drop(columns="label").assign(product=["bag", "shoe"] * 10, mood=["good", "bad", "bad", "good"] * 5)
    path = csv(table, tmp_path / "a.csv")
    assert "which column is the label? product, mood could be (text: text); say --label-column" in refused(path)
    found = understand(path, label_column=("mood",))
    assert (found.labels, found.notes["not_used"]) == (("bad", "good"), ["product (like labels)"])
    assert understand(csv(table.rename(columns={"mood": "label"}), path)).columns["label"] == "label"


def test_numbers_and_names_of_the_same_classes_are_one_label_with_the_names(tmp_path: Path) -> None:
    table = frame(label_text=[LABELS[i % 2] for i in range(20)]).assign(label=[i % 2 for i in range(20)])
    table["label_text"] = [f"about {name}" for name in table["label_text"]]
    assert understand(csv(table, tmp_path / "a.csv")).labels == ("about mail", "about parts")


def test_a_text_in_chinese_has_words_though_no_spaces(tmp_path: Path) -> None:
    table = pd.DataFrame({"评论": [f"送货地址还是送货谢谢{i}" for i in range(20)], "类别": ["物流", "质量"] * 10})
    assert understand(csv(table, tmp_path / "a.csv")).columns == {"text": "评论", "label": "类别"}


# Labels


def labelled(tmp_path: Path, labels: list[Any], **options: Any) -> NewDomain:
    return understand(csv(frame(len(labels), label=labels), tmp_path / "a.csv"), **options)


def test_marks_and_words_for_nothing_are_no_labels_and_are_counted(tmp_path: Path) -> None:
    found = labelled(tmp_path, ["a", "b", "?", "-", "TODO", "Unlabeled", "n/a", "b", "a", "-1"] * 4)
    assert (found.labels, found.counts["pool"]) == (("a", "b"), 24)
    assert any(line.startswith("24 labels read '-', '-1', '?', 'TODO', 'Unlabeled'") for line in found.warnings)
    assert labelled(tmp_path, ["+", "-"] * 10).labels == ("+", "-")
    assert labelled(tmp_path, ["a", "b", "?"] * 5, keep_labels=True).labels == ("?", "a", "b")
    assert labelled(tmp_path, ["a", "b", "c"] * 5, unlabelled=("C",)).counts["pool"] == 5


def test_minus_one_is_no_label_beside_classes_that_count_and_asked_about_beside_0_and_1(tmp_path: Path) -> None:
    assert labelled(tmp_path, [0, 1, 2, -1] * 5).labels == ("0", "1", "2")
    assert labelled(tmp_path, [-1, 1] * 10).labels == ("-1", "1")
    with pytest.raises(UserError, match="label -1 beside 0 and 1: not labelled, or a class"):
        labelled(tmp_path, [-1, 0, 1] * 5)
    assert labelled(tmp_path, [-1, 0, 1] * 5, keep_labels=True).labels == ("-1", "0", "1")
    assert labelled(tmp_path, [-1, 0, 1] * 5, unlabelled=("-1",)).labels == ("0", "1")


def test_a_doubtful_name_is_a_class_and_it_is_said(tmp_path: Path) -> None:
    found = labelled(tmp_path, ["a", "none"] * 10)
    assert found.labels == ("a", "none")
    assert any("'none' is a class; if it means not labelled: --unlabelled" in line for line in found.warnings)


@pytest.mark.parametrize(
    "target", [[i / 7 for i in range(60)], [i * 3 for i in range(60)], [i % 30 for i in range(60)]]
)
def test_numbers_that_measure_are_refused_as_regression(tmp_path: Path, target: list[float]) -> None:
    table = frame(60).drop(columns="label").assign(target=target)
    said = refused(csv(table, tmp_path / "a.csv"), label_column=("target",))
    assert "a.csv: column target: " in said
    assert "different numbers, as in regression" in said
    assert "no column of classes; score holds numbers" in refused(
        csv(table.rename(columns={"target": "score"}).assign(score=[i / 7 for i in range(60)]), tmp_path / "b.csv")
    )
    assert labelled(tmp_path, [1, 2.5, 3, 4.5] * 10).labels == ("1.0", "2.5", "3.0", "4.5")


def test_numbers_that_name_classes_can_be_kept(tmp_path: Path) -> None:
    table = frame(60).assign(label=[i % 30 for i in range(60)])
    assert len(understand(csv(table, tmp_path / "a.csv"), keep_labels=True).labels) == 30


@pytest.mark.parametrize("mark", ["|", "#", ";", ",", " / "])
def test_labels_whose_parts_stand_alone_are_several(tmp_path: Path, mark: str) -> None:
    values = ["mail", "parts", f"parts{mark}mail", f"mail{mark}parts"] * 10
    with pytest.raises(UserError, match=r"column label: 20 examples with several labels, such as .*--several first"):
        labelled(tmp_path, values)
    assert labelled(tmp_path, values, several="first").classes == {
        "mail": {"train": 15, "test": 5},
        "parts": {"train": 15, "test": 5},
    }
    assert labelled(tmp_path, values, several="combine").labels == ("mail", "mail|parts", "parts")
    assert len(labelled(tmp_path, values, keep_labels=True).labels) == 4


def test_a_separator_at_the_end_is_no_part_of_a_label(tmp_path: Path) -> None:
    values = ["mail;", "parts;", "mail;parts;"] * 10
    assert labelled(tmp_path, values, several="first").labels == ("mail", "parts")


def test_labels_that_only_look_like_several_are_one(tmp_path: Path) -> None:
    for values in (
        ["food/pizza", "food/pasta", "drink/tea"],
        ["very good", "good", "very bad", "bad"],
        ["1", "5", "1.5"],
    ):
        assert set(labelled(tmp_path, values * 6).labels) == set(values)


@pytest.mark.parametrize("write", [json.dumps, str])
def test_lists_in_cells_are_several_labels_and_one_of_one_is_a_label(tmp_path: Path, write: Any) -> None:
    one = [write([label]) for label in LABELS] * 10
    assert labelled(tmp_path, one).labels == ("mail", "parts")
    assert labelled(tmp_path, [*one, "[]"]).counts["pool"] == 1
    with pytest.raises(UserError, match=r"1 example with several labels, such as 'parts\|mail'"):
        labelled(tmp_path, [*one, write(list(LABELS))])


def test_lists_of_json_lines_are_read(tmp_path: Path) -> None:
    rows = [
        {"text": text, "label": [["parts"], ["mail"], [], ["mail", "parts"]][i % 4]} for i, text in enumerate(texts())
    ]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert "5 examples with several labels" in refused(tmp_path / "a.jsonl")
    assert understand(tmp_path / "a.jsonl", several="first").counts == {"pool": 5, "test": 4, "train": 11}


def test_columns_of_0_and_1_are_labels(tmp_path: Path) -> None:
    table = frame().drop(columns="label").assign(parts=[1, 0] * 10, mail=[0, 1] * 10, rare=0)
    domain = add(csv(table, tmp_path / "a.csv"))
    assert domain.meta["columns"]["label"] == ["parts", "mail", "rare"]
    assert domain.labels == ("mail", "parts")
    table.loc[5, "mail"] = 0
    found = understand(csv(table, tmp_path / "a.csv"))
    assert found.counts["pool"] == 1
    assert any("1 example with 0 in all of parts, mail, rare: taken as not labelled" in line for line in found.warnings)
    table.loc[3, "parts"] = 1
    assert "column parts, mail, rare: 1 example with several labels, such as 'parts|mail'" in refused(
        csv(table, tmp_path / "a.csv")
    )
    assert understand(tmp_path / "a.csv", label_column=("mail",)).labels == ("0", "1")


def test_one_label_of_several() -> None:
    assert [single_label(labels, "combine") for labels in ([], ["b"], ["b", "a", "b"])] == ["", "b", "a|b"]
    assert single_label(["b", "a"], "first") == "b"
    assert single_label(["b|c", "a"], "combine") == '["a", "b|c"]'
    with pytest.raises(UserError, match=r"several labels \('b', 'a'\).*--several"):
        single_label(["b", "a"], None)
    names, _ = name_classes({"a|b": 3, "b | a": 1, "a": 5, "b": 5}, LabelRules(several="combine"))
    assert names == {"a|b": "a|b", "b | a": "a|b", "a": "a", "b": "b"}


def test_what_was_said_of_a_table_stands_in_domain_yaml(tmp_path: Path) -> None:
    add(csv(frame(author=[f"A. Writer {i}" for i in range(20)], page=range(20)), tmp_path / "a.csv"))
    about = yaml.safe_load((tmp_path / "data/mine/domain.yaml").read_text())
    assert about["not_used"] == ["author", "page"]
