"""Results are read as they were written, by this version or an earlier one."""

import json

from tasks.models.adapt_result import FILE, AdaptResult, k_cell, k_of, k_param

#: As 0.10.0 wrote it.
OLD = {
    "domain": "hpo",
    "family": "text",
    "revision": "abc",
    "content_hash": "c0ffee",
    "strategy": "reference",
    "k": 10,
    "draws": 10,
    "pool": 797,
    "test": 480,
    "scores": {"acclimate": {"accuracy": 0.66, "ci95": 0.011, "log_loss": 1.1, "ece": 0.05}},
    "seconds": {"adapt": 1.0},
    "sets": {"coverage": 0.9, "size": 3.0, "asked": 0.7},
    "decision": "promoted",
    "baselines": ["logistic"],
    "warnings": [],
}


def test_a_result_of_an_earlier_version_is_read(tmp_path):
    (tmp_path / FILE).write_text(json.dumps(OLD))
    found = AdaptResult.read(tmp_path)
    assert (found.k, found.labels, found.interval, found.classes) == (10, None, "support draws", [])
    assert (found.scores["acclimate"].balanced_accuracy, found.scores["acclimate"].macro_f1) == (None, None)
    assert found.labels_used == "at most 10 labels a class"


def test_a_result_of_all_labels_is_read_as_it_was_written(tmp_path):
    result = AdaptResult(**OLD | {"k": None, "labels": 1622, "draws": 1, "interval": "test examples"})
    result.write(tmp_path)
    assert AdaptResult.read(tmp_path) == result
    assert result.labels_used == "all 1,622 labels"


def test_k_as_a_parameter_of_a_model_is_read_back_and_was_ten_before_it_was_kept():
    assert [k_of({"k": k_param(k)}) for k in (None, 5)] == [None, 5]
    assert k_of({}) == 10
    assert [k_cell(params) for params in ({"k": "5"}, {"k": "all", "labels": "1622"}, {})] == ["5", "all 1622", ""]
