"""Exports of annotation tools: what is a label in each, what is none, and how several annotators are settled."""

import json
from pathlib import Path
from typing import Any

import pytest

from domains.errors import UserError
from domains.own.agreement import krippendorff_alpha, pair_agreement
from domains.own.annotations import read_annotations
from domains.own.options import AddOptions
from domains.reading.tables import Table, open_table
from tests.domains.own.inputs import understand

TEXTS = [f"the parcel number {i} came late" for i in range(40)]


def saved(path: Path, rows: list[dict[str, Any]]) -> Path:
    """Write rows as a JSON list, or an object a line."""
    lines = "\n".join(json.dumps(row) for row in rows)
    path.write_text(json.dumps(rows) if path.suffix == ".json" else lines + "\n")
    return path


def read(path: Path, **options: Any) -> tuple[dict[str, str], Table]:
    """Return the label of each text, and the table."""
    table, chosen = read_annotations(open_table(path), AddOptions(**options))
    labels = {text: "|".join(of) for text, of in table.read(("text", *chosen.label_column))}
    return labels, table


def refusal(path: Path, **options: Any) -> str:
    with pytest.raises(UserError) as caught:
        understand(path, **options)
    assert "\n" not in str(caught.value)
    assert path.name in str(caught.value)
    return str(caught.value)


# Label Studio


def choice(*labels: str, by: Any = 1, name: str = "topic", **more: Any) -> dict[str, Any]:
    result = {"from_name": name, "to_name": "text", "type": "choices", "value": {"choices": list(labels)}}
    return {"completed_by": by, "result": [result] if labels else [], **more}


def task(i: int, *annotations: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"id": i, "data": {"text": TEXTS[i]}, "annotations": list(annotations), **more}


def test_choices_of_label_studio_are_labels_and_cancelled_or_predicted_ones_are_not(tmp_path: Path) -> None:
    tasks = [
        task(0, choice("late")),
        task(1, choice("fine"), predictions=[choice("late")]),
        task(2, choice("late", was_cancelled=True)),
        task(3, predictions=[choice("late")]),
        task(4, choice("late"), choice("fine", ground_truth=True, by={"id": 2, "email": "a@b.c"})),
    ]
    found, table = read(saved(tmp_path / "export.json", tasks))
    assert found == dict(zip(TEXTS, ["late", "fine", "", "", "fine"], strict=False))
    assert table.kind == "Label Studio, JSON, UTF-8"
    assert "2 tasks with predictions, which are no labels" in table.warnings
    assert "1 task with cancelled annotations alone: without a label" in table.warnings


def test_several_annotators_are_settled_by_majority_and_agreement_is_shown(tmp_path: Path) -> None:
    tasks = [
        task(0, choice("late", by=1), choice("late", by=2)),
        task(1, choice("late", by=1), choice("fine", by=2), choice("fine", by=3)),
        task(2, choice("late", by=1), choice("fine", by=2)),
        task(3, choice("fine", by=1)),
    ]
    found, table = read(saved(tmp_path / "export.json", tasks))
    assert list(found.values()) == ["late", "fine", "", "fine"]
    (said,) = table.warnings
    assert said.startswith("3 examples of several annotators: 40% of their pairs agree, Krippendorff's alpha ")
    assert said.endswith("the majority is used; 1 tie without a label")


def test_alpha_is_that_of_krippendorff() -> None:
    # three observers of fifteen units, by whose values the measure is usually explained: 0.691
    observers = ("*****34121133*3", "1*213343*******", "**21344*21133*4")
    units = [[(value,) for value in unit if value != "*"] for unit in zip(*observers, strict=True)]
    assert krippendorff_alpha([unit for unit in units if len(unit) > 1]) == pytest.approx(0.691, abs=0.001)
    assert krippendorff_alpha([[("a",), ("a",)]]) is None
    assert pair_agreement([[("a",), ("a",), ("b",)]]) == pytest.approx(1 / 3)


@pytest.mark.parametrize("ending", [".json", ".csv"])
def test_json_min_and_csv_of_label_studio_have_a_row_for_each_annotation(tmp_path: Path, ending: str) -> None:
    labels: list[tuple[int, int, Any]] = [
        (0, 1, "late"),
        (0, 2, "late"),
        (1, 1, {"choices": ["fine", "late"]}),
        (2, 1, ""),
    ]
    columns = ("annotation_id", "annotator", "id", "lead_time", "text", "topic")
    rows = [
        dict(zip(columns, (90 + n, by, i, 3.2, TEXTS[i], label), strict=True))
        for n, (i, by, label) in enumerate(labels)
    ]
    path = tmp_path / f"export{ending}"
    if ending == ".csv":
        import pandas as pd

        cells = [{k: json.dumps(v) if isinstance(v, dict) else v for k, v in row.items()} for row in rows]
        pd.DataFrame(cells).to_csv(path, index=False)
    else:
        saved(path, rows)
    found, table = read(path)
    assert found == dict(zip(TEXTS, ["late", "fine|late", ""], strict=False))
    assert any("1 example of several annotators: 100% of their pairs agree" in line for line in table.warnings)
    assert "1 example with several labels, such as 'fine|late'; say --several first" in refusal(path)


def test_two_questions_are_asked_about(tmp_path: Path) -> None:
    tasks = [task(i, choice("late", name="topic"), choice("sad", name="mood")) for i in range(3)]
    path = saved(tmp_path / "export.json", tasks)
    assert "which question is the label? It has topic, mood; say --label-column" in refusal(path)
    assert "no question 'x' (--label-column); it has topic, mood" in refusal(path, label_column=("x",))
    assert set(read(path, label_column=("mood",))[0].values()) == {"sad"}


def test_spans_of_every_tool_are_refused(tmp_path: Path) -> None:
    span = {"type": "labels", "from_name": "label", "value": {"start": 0, "end": 3, "labels": ["X"]}}
    of_part = {"type": "choices", "from_name": "c", "value": {"start": 0, "end": 3, "choices": ["X"]}}
    for name, rows in {
        "a.json": [task(0, {"result": [span]}), task(1, {"result": [of_part]})],
        "b.jsonl": [{"text": TEXTS[0], "label": [[0, 3, "X"]]}, {"text": TEXTS[1], "label": []}],
        "c.jsonl": [{"text": TEXTS[0], "entities": [{"start_offset": 0, "end_offset": 3, "label": "X"}]}],
        "d.jsonl": [{"text": TEXTS[0], "spans": [{"start": 0, "end": 3, "label": "X"}], "answer": "accept"}],
        "e.jsonl": [{"text": TEXTS[0], "label": "X", "spans": [], "_view_id": "ner", "answer": "accept"}],
    }.items():
        assert "are classes" in (said := refusal(saved(tmp_path / name, rows))) or "are not classes" in said


def test_images_at_addresses_are_refused(tmp_path: Path) -> None:
    tasks = [{"data": {"image": f"/data/upload/{i}.jpg"}, "annotations": [choice("ab"[i % 2])]} for i in range(4)]
    assert "images at addresses such as /data/upload/0.jpg; put" in refusal(saved(tmp_path / "export.json", tasks))


# doccano


def test_shares_of_labels_are_labels_from_a_half_on(tmp_path: Path) -> None:
    cats = [{"late": 1.0, "fine": 0.0}, {"late": 0, "fine": 0}, {"late": False, "fine": True}]
    rows = [{"text": text, "cats": of} for text, of in zip(TEXTS, cats, strict=False)]
    found, _ = read(saved(tmp_path / "a.json", rows))
    assert found == {TEXTS[0]: "late", TEXTS[1]: "", TEXTS[2]: "fine"}


@pytest.mark.parametrize("column", ["label", "labels"])
def test_a_list_of_one_is_a_label_and_an_empty_list_is_none(tmp_path: Path, column: str) -> None:
    labels = [["late"], [], ["fine"]]
    rows = [{"id": i, "text": TEXTS[i], column: label, "Comments": []} for i, label in enumerate(labels)]
    found, table = read(saved(tmp_path / "all.jsonl", rows))
    assert found == dict(zip(TEXTS, ["late", "", "fine"], strict=False))
    assert table.columns == ("id", "text", column)


def test_several_labels_are_refused_until_the_user_says_what_becomes_of_them(tmp_path: Path) -> None:
    rows = [{"text": text, "label": [("late", "fine")[i % 2]]} for i, text in enumerate(TEXTS)]
    rows[8]["label"] = ["late", "damp"]
    path = saved(tmp_path / "all.jsonl", rows)
    assert "1 example with several labels, such as 'late|damp'; say --several first" in refusal(path)
    assert understand(path, several="first").classes["late"] == {"train": 15, "test": 5}
    assert "damp|late" in understand(path, several="combine").labels


def test_old_doccano_has_an_annotation_for_each_user(tmp_path: Path) -> None:
    rows = [
        {"text": TEXTS[0], "annotations": [{"label": 2, "user": 1}, {"label": 2, "user": 5}]},
        {"text": TEXTS[1], "annotations": [{"label": 3, "user": 1}]},
    ]
    assert list(read(saved(tmp_path / "all.jsonl", rows))[0].values()) == ["2", "3"]


def test_csv_of_doccano_joins_labels_by_a_hash(tmp_path: Path) -> None:
    path = tmp_path / "all.csv"
    path.write_text(f"id,text,label,Comments\n1,{TEXTS[0]},late,\n2,{TEXTS[1]},damp#late,\n3,{TEXTS[2]},C#,\n")
    assert list(read(path)[0].values()) == ["late", "damp|late", "C#"]


def test_lists_in_another_column_than_the_label_are_left_alone(tmp_path: Path) -> None:
    rows = [{"text": TEXTS[i], "label": "ab"[i % 2], "entities": [{"label": "X"}]} for i in range(20)]
    assert understand(saved(tmp_path / "a.jsonl", rows)).labels == ("a", "b")


# Prodigy


def answer(i: int, answer: str, label: str = "late", **more: Any) -> dict[str, Any]:
    return {"text": TEXTS[i], "label": label, "answer": answer, "_input_hash": i, "meta": {"source": "x"}, **more}


def test_what_was_accepted_is_a_label_and_what_was_rejected_or_ignored_is_none(tmp_path: Path) -> None:
    rows = [
        *(answer(0, "accept"), answer(1, "reject"), answer(2, "ignore"), answer(3, "accept", "fine")),
        *(answer(1, "accept", "fine"), answer(0, "reject", "fine")),
    ]
    found, table = read(saved(tmp_path / "teach.jsonl", rows))
    assert found == dict(zip(TEXTS, ["late", "fine", "", "fine"], strict=False))
    assert table.columns == ("text", "meta.source", "label")
    assert "3 answers reject (2) or ignore (1): no label" in table.warnings
    assert "labels are in label or accept, not in answer" in refusal(tmp_path / "teach.jsonl", label_column=("answer",))


def test_annotators_of_prodigy_are_settled_for_each_label(tmp_path: Path) -> None:
    rows = [
        *(answer(0, "accept", _annotator_id="a"), answer(0, "reject", _annotator_id="b")),
        *(answer(1, "accept", _annotator_id="a"), answer(1, "reject", "fine", _annotator_id="b")),
        answer(2, "accept", "fine", _annotator_id="a"),
    ]
    found, table = read(saved(tmp_path / "teach.jsonl", rows))
    assert list(found.values()) == ["", "late", "fine"]
    assert any("1 example of several annotators: 0% of their pairs agree" in line for line in table.warnings)


def test_a_choice_holds_the_texts_of_the_options_that_were_accepted(tmp_path: Path) -> None:
    options = [{"id": 1, "text": "too late"}, {"id": 2, "text": "fine"}, {"id": "odd"}]
    given = [([1], "accept"), ([2], "accept"), ([], "accept"), ([1], "reject"), (["odd"], "accept"), ([2], "ignore")]
    rows = [{"text": TEXTS[i], "options": options, "accept": a, "answer": say} for i, (a, say) in enumerate(given)]
    found, _ = read(saved(tmp_path / "choice.jsonl", rows))
    assert list(found.values()) == ["too late", "fine", "", "", "odd", ""]


def test_one_label_that_was_accepted_or_rejected_is_asked_about(tmp_path: Path) -> None:
    rows = [answer(i, "accept" if i % 2 else "reject") for i in range(6)]
    assert "'late' is the only label that was accepted; what is rejected has no label of its own" in refusal(
        saved(tmp_path / "teach.jsonl", rows)
    )


# Argilla


def response(value: Any, user: str = "u1", status: str | None = "submitted") -> dict[str, Any]:
    return {"value": value, "user_id": user, "status": status}


def record(i: int, *responses: dict[str, Any], **more: Any) -> dict[str, Any]:
    suggestion = {"topic": {"value": "late", "score": 0.9, "agent": "model"}}
    return {
        "id": f"r{i}",
        "fields": {"text": TEXTS[i]},
        "metadata": {"day": i},
        "suggestions": suggestion,
        "responses": {"topic": list(responses)} if responses else {},
        "vectors": {},
        **more,
    }


def test_responses_of_argilla_that_were_submitted_are_labels(tmp_path: Path) -> None:
    records = [
        *(record(0, response("late")), record(1, response("fine", status=None))),
        *(record(2, response("late", status="draft")), record(3, response("late", status="discarded")), record(4)),
        record(5, response("late"), response("fine", "u2"), response("fine", "u3")),
        record(6, response(["damp", "late"])),
    ]
    found, table = read(saved(tmp_path / "records.json", records))
    assert list(found.values()) == ["late", "fine", "", "", "", "fine", "damp|late"]
    assert "2 responses not submitted (draft, discarded): no label" in table.warnings
    assert "7 records with suggestions, which are no labels" in table.warnings
    assert {"text", "day"} <= set(table.columns)
    assert "no record has a response; suggestions are not labels" in refusal(saved(tmp_path / "no.json", [record(0)]))


def test_flattened_and_older_records_of_argilla_are_read_alike(tmp_path: Path) -> None:
    flattened = [
        {
            "id": f"r{i}",
            "text": TEXTS[i],
            "topic.responses": [label, "fine"],
            "topic.responses.users": ["u1", "u2"],
            "topic.responses.status": ["submitted", "draft"],
            "topic.suggestion": "fine",
            "topic.suggestion.score": 0.5,
        }
        for i, label in enumerate(["late", "fine"])
    ]
    of_1 = [
        {
            "fields": {"text": TEXTS[i]},
            "responses": [{"user_id": "u", "values": {"topic": {"value": label}}, "status": s}],
        }
        for i, (label, s) in enumerate([("late", "submitted"), ("fine", "submitted"), ("late", "discarded")])
    ]
    of_texts = [
        {"text": TEXTS[i], "annotation": label, "prediction": [{"label": "x", "score": 1}], "status": status}
        for i, (label, status) in enumerate([("late", "Validated"), ("fine", "Default"), (None, "Default")])
    ]
    of_datasets = [
        {"text": TEXTS[i], "topic": [response(label), response("x", "u2", "draft")], "topic-suggestion": "x"}
        for i, label in enumerate(["late", "fine"])
    ]
    assert list(read(saved(tmp_path / "records.jsonl", of_datasets))[0].values()) == ["late", "fine"]
    for rows, labels in ((flattened, ["late", "fine"]), (of_1, ["late", "fine", ""]), (of_texts, ["late", "", ""])):
        assert list(read(saved(tmp_path / "records.json", rows))[0].values()) == labels


# What is made of them


def test_an_export_becomes_a_domain_with_groups(tmp_path: Path) -> None:
    rows = [{"text": TEXTS[i], "label": [("late", "fine")[i % 2]], "day": i // 4} for i in range(40)]
    found = understand(saved(tmp_path / "all.jsonl", rows), group_column="day")
    assert found.labels == ("fine", "late")
    assert found.columns == {"text": "text", "label": "label", "group": "day"}
    assert found.kind == "lists of labels, JSONL, UTF-8"


def test_a_plain_table_is_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("text,label,answer\n" + "".join(f"{text},{i % 2},yes\n" for i, text in enumerate(TEXTS)))
    table, options = open_table(path), AddOptions()
    assert read_annotations(table, options) == (table, options)
