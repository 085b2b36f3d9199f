"""Prediction of new examples with a champion: what is written beside each."""

import pandas as pd
import pytest
import torch

from learners.classifier import Affine, Classifier
from learners.shift.typicality import OUTSIDE, ClassDistance, Typicality
from tasks.models import registry
from tasks.models.mlflow_flavour import input_example, signature
from tasks.models.prediction import predict_file


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
