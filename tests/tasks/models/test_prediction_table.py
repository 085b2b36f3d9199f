"""What a person reads beside a prediction: never a set without the label, and a question where there is doubt."""

import numpy as np
import pytest
import torch

from learners.classifier import Classifier
from tasks.adapt.pages import trust_facts
from tasks.models.adapt_result import AdaptResult, Score, SetScore
from tasks.models.prediction_table import ASK, prediction_table

LABELS = ("heart", "lung", "skin")
P = np.array([[0.05, 0.9, 0.05], [0.3, 0.25, 0.45], [0.12, 0.6, 0.28], [0.2, 0.48, 0.32]], np.float32)


def test_a_row_says_label_probability_set_and_whether_to_ask():
    frame = prediction_table(Classifier((), LABELS, threshold=0.29), P)
    assert list(frame) == ["label", "probability", "set", "ask"]
    assert list(frame["label"]) == ["lung", "skin", "lung", "lung"]
    assert list(frame["probability"]) == pytest.approx([0.9, 0.45, 0.6, 0.48])
    assert list(frame["set"]) == ["lung", "skin|heart", "lung", "lung|skin"]  # the most probable label first
    assert list(frame["ask"]) == ["", ASK, "", ASK]


def test_a_label_that_is_more_likely_wrong_than_right_is_a_question_though_it_is_alone_in_its_set():
    frame = prediction_table(Classifier((), LABELS, threshold=0.7), P)
    assert list(frame["set"]) == list(frame["label"])
    assert list(frame["ask"]) == ["", ASK, "", ASK]


def test_a_model_that_allows_every_label_always_asks():
    frame = prediction_table(Classifier((), LABELS, threshold=0.0), P)
    assert frame["set"].str.count(r"\|").eq(2).all()
    assert (frame["ask"] == ASK).all()


def test_without_a_threshold_there_is_no_set_and_less_than_90_percent_is_a_question():
    frame = prediction_table(Classifier((), LABELS), np.array([[0.92, 0.04, 0.04], [0.85, 0.1, 0.05]]))
    assert list(frame["set"]) == ["", ""]
    assert list(frame["ask"]) == ["", ASK]


def test_a_rare_label_is_named_where_that_is_asked_for_at_its_own_probability():
    model = Classifier((), LABELS, threshold=0.6, offsets=torch.tensor([0.0, 2.0, 0.0]))
    frame = prediction_table(model, np.array([[0.7, 0.2, 0.1], [0.95, 0.04, 0.01]]))
    assert frame["label"].tolist() == [LABELS[1], LABELS[0]]
    assert frame["probability"].tolist() == [0.2, 0.95]
    assert frame["set"].tolist() == [f"{LABELS[0]}|{LABELS[1]}", LABELS[0]]
    assert frame["ask"].tolist() == [ASK, ""]


def test_a_set_is_a_json_list_where_a_label_holds_what_stands_between_labels():
    frame = prediction_table(Classifier((), ("a|b", "c", "d"), threshold=0.29), P)
    assert list(frame["set"]) == ['["c"]', '["d", "a|b"]', '["c"]', '["c", "d"]']


def test_no_examples_give_no_rows():
    assert list(prediction_table(Classifier((), LABELS, threshold=0.3), P[:0])) == [
        "label",
        "probability",
        "set",
        "ask",
    ]


def test_the_report_says_how_far_probabilities_and_sets_may_be_believed():
    about = dict.fromkeys(("domain", "family", "revision", "content_hash", "strategy"), "")
    scores = {"acclimate": Score(accuracy=0.8, ci95=0.01, log_loss=0.5, ece=0.0421)}
    result = AdaptResult(**about, k=10, draws=3, pool=0, test=50, scores=scores, seconds={})
    assert trust_facts(result) == {"calibration error (ECE)": "0.042"}
    sets = SetScore(coverage=0.914, size=1.537, asked=0.4)
    assert list(trust_facts(result.model_copy(update={"sets": sets})).items())[1:] == [
        ("prediction sets with the true label", "91.4 %, 90 % meant"),
        ("labels a prediction set", "1.54"),
        ("a person is asked about", "40 %"),
    ]
