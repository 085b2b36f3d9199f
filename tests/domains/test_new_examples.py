"""A user's files of new examples: every format, and one line for each way to get it wrong."""

import errno
import io
import os
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from domains.errors import UserError
from domains.market.features import WARM_UP, features
from domains.new_examples import Reading, price_features, read_examples
from domains.reading import pictures
from domains.reading.price_options import PriceOptions

TEXTS = ["itching, for weeks", 'the "worst" pill;', "тест 测试\twith a tab", "two\nlines"]


def write(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def png(size: tuple[int, int] = (8, 8)) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", size, "red").save(out, "PNG")
    return out.getvalue()


def random_walks(days: int, assets: int = 2) -> pd.DataFrame:
    steps = np.random.default_rng(0).normal(0, 0.01, (days, assets))
    dates = pd.bdate_range("2023-01-02", periods=days, name="date")
    return pd.DataFrame(100 * np.exp(steps.cumsum(0)), dates, [f"A{i}" for i in range(assets)])


def refused(family: str, path: Path, column: str | None = None) -> str:
    """Return the one line that a user reads."""
    with pytest.raises(UserError) as caught:
        _ = (read_examples(family, path, Reading(() if column is None else (column,)))).examples
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)
    return str(caught.value)


# Texts


@pytest.mark.parametrize("ending", [".csv", ".tsv", ".jsonl", ".ndjson", ".parquet"])
def test_texts_come_back_as_they_were_written_in_every_format(tmp_path: Path, ending: str) -> None:
    path, table = tmp_path / f"new{ending}", pd.DataFrame({"id": ["1", "2", "3", "4"], "text": TEXTS})
    if ending == ".parquet":
        table.to_parquet(path)
    elif ending in (".jsonl", ".ndjson"):
        table.to_json(path, orient="records", lines=True, force_ascii=False)
    else:
        table.to_csv(path, index=False, sep="\t" if ending == ".tsv" else ",")
    found = read_examples("text", path)
    assert list(found.examples) == TEXTS
    assert found.names["text"].tolist() == TEXTS


def test_a_csv_of_one_column_is_one_text_a_row_whatever_letters_it_has(tmp_path: Path) -> None:
    path = write(tmp_path / "new.csv", "text\nbitter tablets best not\n")
    assert list(read_examples("text", path).examples) == ["bitter tablets best not"]


@pytest.mark.parametrize("separator", [";", "\t", ","])
def test_the_header_tells_the_separator(tmp_path: Path, separator: str) -> None:
    path = write(tmp_path / "new.csv", f'id{separator}text\n7{separator}"a{separator}b"\n')
    assert list(read_examples("text", path).examples) == [f"a{separator}b"]


def test_a_text_file_holds_one_text_a_line(tmp_path: Path) -> None:
    path = write(tmp_path / "new.txt", "\ufefffirst\r\nsecond, with a\u2028strange break\r\n\r\n")
    assert list(read_examples("text", path).examples) == ["first", "second, with a\u2028strange break"]


def test_the_mark_that_excel_puts_before_utf_8_is_no_part_of_the_header(tmp_path: Path) -> None:
    path = write(tmp_path / "new.csv", "\ufefftext\nfine\n")
    assert list(read_examples("text", path).examples) == ["fine"]


def test_a_long_text_is_read_whole(tmp_path: Path) -> None:
    path = write(tmp_path / "new.csv", "text\n" + "a" * 300_000)
    assert len(read_examples("text", path).examples[0]) == 300_000


def test_words_that_mean_nothing_elsewhere_are_texts_here(tmp_path: Path) -> None:
    path = write(tmp_path / "new.csv", "text\nNA\nnull\n007\n")
    assert list(read_examples("text", path).examples) == ["NA", "null", "007"]


def test_an_only_column_is_the_text_and_one_of_several_can_be_named(tmp_path: Path) -> None:
    assert list(read_examples("text", write(tmp_path / "a.csv", "review\nfine\n")).examples) == ["fine"]
    two = write(tmp_path / "b.csv", "review,drug\nfine,x\n")
    assert list(read_examples("text", two, Reading(("review",))).examples) == ["fine"]
    assert "which column is the text? It has review, drug; say --column" in refused("text", two)
    assert "which column is the text? It has review, drug; say --column" in refused("text", two, "txt")


@pytest.mark.parametrize(
    ("name", "content", "row"),
    [
        ("a.csv", 'text\nfine\n"  "\nfine\n', 2),
        ("a.csv", "text\nfine\n\nfine\n", 2),
        ("a.csv", "id,text\n1,fine\n2,\n", 2),
        ("a.txt", "fine\n\nfine\n", 2),
        ("a.jsonl", '{"text": "fine"}\n{"text": null}\n', 2),
        ("a.jsonl", '{"text": "fine"}\n{"other": 1}\n', 2),
    ],
)
def test_a_row_with_an_empty_text_stays_without_an_example_and_is_named(
    tmp_path: Path, name: str, content: str, row: int
) -> None:
    found = read_examples("text", write(tmp_path / name, content), Reading(("text",)))
    (batch,) = found.batches()
    assert batch.there.tolist() == [i != row - 1 for i in range(len(batch.rows))]
    assert batch.examples == ["fine"] * (len(batch.rows) - 1)
    assert found.warnings == (f"1 example with an empty text, so without a prediction: row {row}",)


def test_bytes_that_are_not_utf_8_are_named_by_their_place(tmp_path: Path) -> None:
    said = refused("text", write(tmp_path / "a.csv", b"text\nch\xfb\xfb\xfb\n"))
    assert said.endswith("a.csv: not UTF-8 at byte 7; save it as UTF-8, or say --encoding")
    assert "not UTF-8 at byte 3" in refused("text", write(tmp_path / "a.txt", b"caf\xe9\n"))
    assert "not UTF-8 at byte 0" in refused("text", write(tmp_path / "a.jsonl", b"\xff"))


@pytest.mark.parametrize("name", ["a.csv", "a.tsv", "a.txt", "a.jsonl"])
def test_western_letters_that_are_not_utf_8_are_read_with_a_warning(tmp_path: Path, name: str) -> None:
    content = '{"text": "a café"}\n' if name == "a.jsonl" else "text\na café\n"
    found = read_examples("text", write(tmp_path / name, content.encode("cp1252")))
    assert found.examples[-1] == "a café"
    (said,) = found.warnings
    assert "read as cp1252: if that is wrong save it as UTF-8" in said


def test_a_line_of_many_brackets_is_no_json_object(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", '{"text": "fine"}\n' + "[" * 100_000)
    assert "line 2 is not a JSON object" in refused("text", path)


def test_a_row_with_more_cells_than_the_header_is_not_cut_off_but_named(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "text\nfine\nmild, but itching\n")
    assert "row 2 has 2 cells and the header 1; put quotes" in refused("text", path)


def test_open_quotes_are_named_by_their_line(tmp_path: Path) -> None:
    assert "line 2: " in refused("text", write(tmp_path / "a.csv", 'text\n"fine" it said\n'))
    assert "line 3: unexpected end of data" in refused("text", write(tmp_path / "a.csv", 'text\n"fine\nit said\n'))


@pytest.mark.parametrize("line", ["{", "[1]", '"text"', "null", "\ufffd"])
def test_a_line_that_is_no_json_object_is_named(tmp_path: Path, line: str) -> None:
    path = write(tmp_path / "a.jsonl", f'{{"text": "fine"}}\n{line}\n')
    assert "line 2 is not a JSON object" in refused("text", path)


@pytest.mark.parametrize("content", ["", "\n", "text\n", "\ufeff"])
@pytest.mark.parametrize("name", ["a.csv", "a.tsv"])
def test_a_table_without_rows_has_no_examples(tmp_path: Path, name: str, content: str) -> None:
    assert "no examples in it" in refused("text", write(tmp_path / name, content))


def test_other_empty_files_have_no_examples(tmp_path: Path) -> None:
    assert "no examples in it" in refused("text", write(tmp_path / "a.txt", "\n\n"))
    assert "no examples in it" in refused("text", write(tmp_path / "a.jsonl", ""))


def test_two_columns_of_one_name_are_refused(tmp_path: Path) -> None:
    assert "two columns are called text" in refused("text", write(tmp_path / "a.csv", "text,text\na,b\n"))


def test_what_is_no_table_is_answered_with_what_is(tmp_path: Path) -> None:
    assert "not a whole Excel file" in refused("text", write(tmp_path / "a.xlsx", "PK"))
    assert "not a whole Parquet file" in refused("text", write(tmp_path / "a.parquet", "no"))
    assert "save it as one of .csv, .tsv, " in refused("text", write(tmp_path / "a.ods", "PK"))
    (tmp_path / "empty").mkdir()
    assert "no table or dataset" in refused("text", tmp_path / "empty")


def test_an_absent_file_is_named(tmp_path: Path) -> None:
    assert refused("text", tmp_path / "a.csv").endswith("a.csv: no such file")


# Images


def test_an_image_is_read_by_itself_and_a_folder_in_the_order_of_names(tmp_path: Path) -> None:
    (tmp_path / "more").mkdir()
    write(tmp_path / "b.png", png())
    write(tmp_path / "more" / "a.PNG", png((3, 5)))
    write(tmp_path / "notes.txt", "not an image")
    one, all_of_them = read_examples("vision", tmp_path / "b.png"), read_examples("vision", tmp_path)
    assert list(one.examples) == [png()]
    assert one.names["file"].tolist() == ["b.png"]
    assert all_of_them.names["file"].tolist() == ["b.png", "more/a.PNG"]
    assert list(all_of_them.examples) == [png(), png((3, 5))]


def test_every_file_that_is_left_out_is_named_and_a_broken_image_stays_without_an_example(tmp_path: Path) -> None:
    for name, content in (("a.png", png()), ("b.pdf", b"?"), ("c.png", b"cut"), ("sub/notes.txt", b"x")):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        write(tmp_path / name, content)
    found = read_examples("vision", tmp_path)
    (batch,) = found.batches()
    assert batch.rows["file"].tolist() == ["a.png", "c.png"]
    assert (batch.there.tolist(), batch.examples) == ([True, False], [png()])
    assert found.warnings[0] == "2 other files left out: b.pdf, sub/notes.txt"
    assert "so without a prediction: c.png" in found.warnings[1]


def test_images_of_an_archive_and_of_a_table_are_read(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("in/b.png", png())
    found = read_examples("vision", tmp_path / "a.zip")
    assert (found.names["file"].tolist(), found.examples) == (["in/b.png"], [png()])
    pd.DataFrame({"id": [1, 2], "image": [png(), png((3, 3))]}).to_parquet(tmp_path / "a.parquet")
    table = read_examples("vision", tmp_path / "a.parquet")
    assert (table.examples, list(table.names)) == ([png(), png((3, 3))], ["id"])


def test_folders_called_like_images_and_what_begins_with_a_dot_are_left_out(tmp_path: Path) -> None:
    for folder in ("a.png", ".thumbnails"):
        (tmp_path / folder).mkdir()
        write(tmp_path / folder / "in.png", png())
    write(tmp_path / "b.png", png())
    write(tmp_path / "._b.png", "what macOS writes beside it")
    assert read_examples("vision", tmp_path).names["file"].tolist() == ["a.png/in.png", "b.png"]


def test_an_image_that_may_not_be_read_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: Path) -> bytes:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    path = write(tmp_path / "a.png", png())
    monkeypatch.setattr(Path, "read_bytes", refuse)
    assert refused("vision", path) == f"{path}: cannot be read (Permission denied); change its rights"


def test_a_folder_without_images_has_no_examples(tmp_path: Path) -> None:
    assert "no examples in it" in refused("vision", tmp_path)


@pytest.mark.parametrize("content", [b"", b"text", png((64, 64))[:100]])
def test_an_image_that_cannot_be_decoded_is_named(tmp_path: Path, content: bytes) -> None:
    path = write(tmp_path / "a.png", content)
    assert "not a readable image" in refused("vision", path)


# Prices


def test_every_asset_of_a_price_table_is_an_example_on_its_last_day(tmp_path: Path) -> None:
    prices = random_walks(WARM_UP + 3)
    prices.to_csv(tmp_path / "prices.csv")
    prices.to_parquet(tmp_path / "prices.parquet")
    expected = features(prices).tail(2)
    for name in ("prices.csv", "prices.parquet"):
        found = read_examples("market", tmp_path / name)
        np.testing.assert_allclose(np.stack(found.examples), expected.to_numpy(), atol=1e-4)
        assert found.names["asset"].tolist() == ["A0", "A1"]
        assert set(found.names["date"]) == {f"{prices.index[-1]:%Y-%m-%d}"}


def test_new_prices_are_read_by_the_options_of_their_domain_where_they_can_be(tmp_path: Path) -> None:
    prices = random_walks(WARM_UP + 3)
    table = pd.DataFrame({"date": prices.index, "gross": prices["A0"], "net": prices["A1"]})
    table.to_csv(tmp_path / "new.csv", index=False)
    options = PriceOptions(price_column="net")
    assert PriceOptions.of_domain({"price_options": options.to_keep()}) == options
    x, doubts = price_features(tmp_path / "new.csv", options)
    np.testing.assert_allclose(x.to_numpy(), features(prices[["A1"]]).to_numpy(), atol=1e-4)
    assert not doubts
    table.rename(columns={"net": "close"}).drop(columns="gross").to_csv(tmp_path / "other.csv", index=False)
    x, doubts = price_features(tmp_path / "other.csv", options)
    np.testing.assert_allclose(x.to_numpy(), features(prices[["A1"]]).to_numpy(), atol=1e-4)
    assert doubts == ("not read as the domain was, by price column net",)


def test_a_table_of_prices_says_what_is_wrong_with_it(tmp_path: Path) -> None:
    def refusal(change) -> str:
        table = random_walks(WARM_UP + 3).reset_index().astype(object)
        change(table).to_csv(tmp_path / "prices.csv", index=False)
        return refused("market", tmp_path / "prices.csv")

    assert "row 3: 'soon' is not a date; write YYYY-MM-DD" in refusal(
        lambda t: t.assign(date=t.date.where(t.index != 2, "soon"))
    )
    assert "A1 on 2023-01-04 is many; every price must be" in refusal(
        lambda t: t.assign(A1=t.A1.where(t.index != 2, "many"))
    )
    assert "keep one row a date" in refusal(lambda t: t.loc[[0, *t.index]])
    assert "10 dates, features need 257 or more" in refusal(lambda t: t[:10])
    assert "expected dates in the first column" in refusal(lambda t: t[["date"]])
    assert "no examples in it" in refusal(lambda t: t[:0])


def test_a_table_of_texts_is_no_table_of_prices(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "id,text\n1,fine\n")
    assert "row 1: " in refused("market", path)


# Folders and archives


def test_what_a_folder_or_archive_has_beside_its_images_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "new"
    (folder / ".cache").mkdir(parents=True)
    for name, content in (
        ("a.png", png()),
        ("b.heic", b"x"),
        ("c.pdf", b"x"),
        ("Thumbs.db", b"x"),
        (".cache/d.png", b""),
    ):
        write(folder / name, content)
    with zipfile.ZipFile(tmp_path / "new.zip", "w") as archive:
        for file in sorted(folder.rglob("*.*")):
            archive.write(file, file.relative_to(folder))
    for path in (folder, tmp_path / "new.zip"):
        found = read_examples("vision", path)
        assert list(found.examples) == [png()]
        said = " ".join(found.warnings)
        for part in ("Thumbs.db", "1 other file left out: c.pdf"):
            assert part in said
        assert "b.heic" in said or pictures.HEIF


def test_a_folder_of_text_files_is_a_text_each(tmp_path: Path) -> None:
    (tmp_path / "new").mkdir()
    for name, content in (("a.txt", "fine"), ("b.txt", " "), ("c.txt", "a café")):
        (tmp_path / "new" / name).write_bytes(content.encode("cp1252"))
    with zipfile.ZipFile(tmp_path / "new.zip", "w") as archive:
        for file in sorted((tmp_path / "new").iterdir()):
            archive.write(file, file.name)
    for path in (tmp_path / "new", tmp_path / "new.zip"):
        found = read_examples("text", path)
        assert list(found.examples) == ["fine", "a café"]
        assert any("empty text, so without a prediction: b.txt" in line for line in found.warnings)
