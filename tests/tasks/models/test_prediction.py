"""Prediction of new examples with a champion: what is written beside each."""

import io
import json

import pandas as pd
import pytest
import torch
import yaml

from domains import new_examples
from domains.errors import UserError
from domains.reading.tables import TableOptions
from learners.classifier import Affine, Classifier
from learners.shift.typicality import OUTSIDE, ClassDistance, Typicality
from tasks.models import registry
from tasks.models.mlflow_flavour import input_example, signature
from tasks.models.prediction import predict_batches, predict_file
from tasks.models.prediction_output import write_predictions


@pytest.fixture
def champion(settings, letters, tmp_path):
    """A model in service that tells texts of many a, b and c apart."""
    folder = tmp_path / "adapted"
    folder.mkdir()
    Classifier((Affine(torch.eye(3, 8), torch.zeros(3)),), ("ants", "bees", "cats"), threshold=0.2).save(folder)
    tags = {"family": "text", "encoder": "letters-1"}
    version = registry.log_adapted(settings, "animals", folder, {}, {}, tags)
    return registry.promote(settings, "animals", version, lambda folder: None)


def test_predictions_are_written_with_a_set_and_whether_to_ask_a_person(settings, champion, tmp_path):
    texts = ["aaaaaa", "abab", "ccc a", "abcabc"]
    pd.DataFrame({"id": range(4), "text": texts}).to_csv(tmp_path / "new.csv", index=False)
    found = predict_file(settings, "animals", tmp_path / "new.csv")
    found.to_csv(tmp_path / "out.csv", index=False)
    read = pd.read_csv(tmp_path / "out.csv", keep_default_na=False)
    assert list(read) == [*list(read)[:-4], "label", "probability", "set", "ask"]
    assert read["text"].tolist() == texts
    assert read["label"].tolist() == ["ants", "ants", "cats", "ants"]
    assert read["set"].tolist() == ["ants", "ants|bees", "cats", "ants|bees|cats"]
    assert read["ask"].tolist() == ["", "ask a person", "", "ask a person"]
    assert read["probability"].tolist() == pytest.approx([0.9951, 0.4683, 0.8438, 0.3333], abs=1e-3)


def test_what_is_doubtful_in_a_file_comes_with_its_predictions(settings, champion, tmp_path):
    (tmp_path / "new.csv").write_bytes("text\na café\n".encode("cp1252"))
    (said,) = predict_file(settings, "animals", tmp_path / "new.csv").attrs["warnings"]
    assert said.startswith("not UTF-8 (byte 10: ")


def domain_of(settings, **meta):
    """A domain as `domains add` leaves it in data/."""
    folder = settings.data_path / "animals"
    folder.mkdir(parents=True)
    about = {"name": "animals", "family": "text", "role": "target", "labels": ["ants", "bees", "cats"]} | meta
    (folder / "domain.yaml").write_text(yaml.safe_dump(about))


def test_columns_are_those_of_the_domain_and_every_column_and_row_is_kept(settings, champion, tmp_path):
    domain_of(settings, columns={"text": ["title", "body"], "label": "kind"})
    table = pd.DataFrame(
        {"day": ["2024-01-02", "2024-01-03", "2024-01-04"], "title": ["aaa", "", "c"], "body": ["a", "", "cc"]}
    )
    table["label"], table["stars"] = ["bees", "x", "y"], [1, 2, None]
    for ending in ("csv", "parquet", "xlsx", "json"):
        path = tmp_path / f"new.{ending}"
        {
            "csv": lambda p: table.to_csv(p, index=False),
            "parquet": lambda p: table.to_parquet(p),
            "xlsx": lambda p: table.to_excel(p, index=False),
            "json": lambda p: table.to_json(p, orient="records"),
        }[ending](path)
        found = predict_file(settings, "animals", path)
        assert list(found) == ["day", "title", "body", "label", "stars", "predicted_label", "probability", "set", "ask"]
        assert found["label"].tolist() == ["bees", "x", "y"]
        assert found["predicted_label"].tolist() == ["ants", None, "cats"]
        assert "1 example with an empty text, so without a prediction: row 2" in found.attrs["warnings"]
        assert any(
            "columns label: those of the predictions are called predicted_" in w for w in found.attrs["warnings"]
        )
    (tmp_path / "less.csv").write_text("day,label\n2,x\n")
    with pytest.raises(UserError, match=r"which column is the text\? It has day, label.*of the domain: title \+ body"):
        predict_file(settings, "animals", tmp_path / "less.csv")


def test_a_table_without_header_is_read_as_that_of_the_domain_was(settings, champion, tmp_path):
    domain_of(settings, columns={"text": "column 1", "label": "column 2"}, header=False)
    (tmp_path / "new.csv").write_text("a long text of many a,x\nccc and then some more c,y\n")
    found = predict_file(settings, "animals", tmp_path / "new.csv")
    assert found["label"].tolist() == ["ants", "cats"]
    (tmp_path / "named.csv").write_text("text,label\na long text of many a,x\nccc and then some more c,y\n")
    with pytest.raises(UserError, match="first row the names of the columns, or data"):
        predict_file(settings, "animals", tmp_path / "named.csv")
    named = predict_file(settings, "animals", tmp_path / "named.csv", ("text",), TableOptions(header=True))
    assert named["predicted_label"].tolist() == ["ants", "cats"]


def test_a_first_row_that_may_be_data_is_asked_about(settings, champion, tmp_path):
    (tmp_path / "new.csv").write_text("a long text of many a\nccc and then some more c\n")
    with pytest.raises(UserError, match="say --header or --no-header"):
        predict_file(settings, "animals", tmp_path / "new.csv")
    found = predict_file(settings, "animals", tmp_path / "new.csv", (), TableOptions(header=False))
    assert found["label"].tolist() == ["ants", "cats"]


def test_batches_are_read_encoded_and_written_one_by_one(settings, champion, letters, tmp_path, monkeypatch):
    monkeypatch.setitem(new_examples.BATCH, "text", 2)
    pd.DataFrame({"text": ["aaa", "bbb", " ", "ccc", "aab"]}).to_csv(tmp_path / "new.csv", index=False)
    predicted = predict_batches(settings, "animals", tmp_path / "new.csv")
    assert next(predicted.frames)["label"].tolist() == ["ants", "bees"]
    assert set(letters.calls) == {"aaa", "bbb"}  # what comes later is not read yet
    out = io.BytesIO()
    assert write_predictions(predict_batches(settings, "animals", tmp_path / "new.csv").frames, out, False) == 5
    read = pd.read_csv(io.BytesIO(out.getvalue()), keep_default_na=False)
    assert read["label"].tolist() == ["ants", "bees", "", "cats", "ants"]
    (tmp_path / "empty.csv").write_text('n,text\n1," "\n')
    with pytest.raises(
        UserError, match=r"empty\.csv: no examples in it that can be read \(row 1: with an empty text\)"
    ):
        predict_file(settings, "animals", tmp_path / "empty.csv")


def test_records_are_printed_as_one_list(settings, champion, tmp_path, capsys):
    (tmp_path / "new.jsonl").write_text('{"text": "aaa", "n": 1}\n{"text": "ccc"}\n')
    assert write_predictions(predict_batches(settings, "animals", tmp_path / "new.jsonl").frames, None, True) == 2
    found = json.loads(capsys.readouterr().out)
    assert [(row["n"], row["label"]) for row in found] == [(1, "ants"), (None, "cats")]


def test_what_is_served_says_that_it_tells_what_is_of_none_of_the_classes():
    for knows in (False, True):
        columns = signature(input_example("text"), ("a", "b"), knows).outputs.input_names()
        assert ("outside" in columns, "typical" in columns) == (knows, knows)


def test_what_is_of_none_of_the_classes_is_marked_and_a_person_is_asked(settings, champion, tmp_path):
    folder = registry.champion(settings, "animals").folder
    rng = torch.Generator().manual_seed(0)
    x = torch.eye(3, 8).repeat(40, 1) * 6 + torch.rand(120, 8, generator=rng)
    distance = ClassDistance.fit(x, torch.arange(120) % 3, ((0, 8),))
    Typicality.of(distance, distance(x), Classifier.load(folder).predict_proba(x).max(1).values).save(folder)
    (tmp_path / "new.txt").write_text("aaaaaaaaaaaabcdefgh\nahhhhhhhhhhhhhh\n", "utf-8")
    found = predict_file(settings, "animals", tmp_path / "new.txt")
    assert list(found)[-4:] == ["set", "ask", "outside", "typical"]
    assert found["outside"].tolist() == [False, True]
    assert found["ask"].tolist() == ["", "ask a person"]
    assert found["typical"][1] < OUTSIDE < found["typical"][0]
