"""What FLARE carries, and what its filters take away of it."""

import json

import numpy as np
import pytest

from domains.errors import UserError
from learners.federated import messages
from tasks.federate.filters import FILTERS, make_filter, read_filters, set_filters
from tasks.federate.kits import CLASSES, make_kits

pytest.importorskip("nvflare", reason="NVIDIA FLARE is an extra: pip install -e '.[federate]'")

from nvflare.apis.dxo import DXO, DataKind, from_shareable
from nvflare.apis.fl_context import FLContext

from tasks.federate.flare import pack, unpack

TOLD = {"protonet/weight": np.eye(4, dtype=np.float32), "protonet/s": np.array(1.5, np.float32), "number": np.array(3)}
ANSWER = {
    "protonet/weight": np.eye(4, dtype=np.float32) + np.arange(16, dtype=np.float32).reshape(4, 4) / 1000,
    "protonet/s": np.array(1.75, np.float32),
    "loss.protonet": np.array(1.25),
    "domains": np.array(2),
}


def carried(dxo, *filters):
    shareable = dxo.to_shareable()
    for one in filters:
        shareable = one.process(shareable, FLContext())
    return from_shareable(shareable)


@pytest.mark.parametrize("question", ["round", "prior"])
def test_an_answer_comes_as_it_was_sent(question):
    found = messages.check(unpack(carried(pack(question, ANSWER, TOLD)), TOLD))
    assert found.keys() == ANSWER.keys()
    for name, value in ANSWER.items():
        np.testing.assert_allclose(found[name], value, atol=1e-7)
        assert found[name].dtype == value.dtype
    assert unpack(carried(pack("round", {}, TOLD)), TOLD) == {}


def test_a_filter_takes_away_changes_of_weights_and_nothing_else():
    (arguments,) = read_filters(["percentile:percentile=50,gamma=0.01"]).values()
    found = messages.check(unpack(carried(pack("round", ANSWER, TOLD), make_filter("percentile", arguments)), TOLD))
    changed = (found["protonet/weight"] - TOLD["protonet/weight"]).ravel()
    expected = np.clip(np.where(np.arange(16) < 8, 0, np.arange(16) / 1000), 0, 0.01)
    np.testing.assert_allclose(changed, expected, atol=1e-7)
    assert found["loss.protonet"] == 1.25
    assert found["domains"] == 2
    same = unpack(carried(pack("prior", ANSWER, TOLD), make_filter("percentile", arguments)), TOLD)
    np.testing.assert_array_equal(same["protonet/weight"], ANSWER["protonet/weight"])


def test_the_sparse_vector_technique_sends_a_part_with_noise():
    chosen = make_filter("svt", {"fraction": 0.5, "epsilon": 100.0, "gamma": 0.02, "replace": False})
    found = unpack(carried(pack("round", ANSWER, TOLD), chosen), TOLD)
    sent = np.count_nonzero(found["protonet/weight"] - TOLD["protonet/weight"])
    assert 0 < sent < found["protonet/weight"].size  # which ones, and how many of each array, is drawn


@pytest.mark.parametrize(
    "sent",
    [
        DXO(DataKind.WEIGHTS, {"a": np.ones(2)}),
        DXO(DataKind.COLLECTION, {"rest": DXO(DataKind.ANALYTIC, {"a": "text"})}),
        DXO(DataKind.COLLECTION, {"changes": DXO(DataKind.WEIGHT_DIFF, {"a": np.ones(2)})}),
    ],
    ids=["kind", "text", "no rest"],
)
def test_what_is_packed_otherwise_is_no_answer(sent):
    with pytest.raises((ValueError, TypeError, KeyError, AttributeError)):
        unpack(sent, TOLD)


def test_changes_of_another_shape_are_not_spread_over_the_weights():
    sent = {"rest": DXO(DataKind.ANALYTIC, {}), "changes": DXO(DataKind.WEIGHT_DIFF, {"protonet/weight": np.ones(1)})}
    assert unpack(DXO(DataKind.COLLECTION, sent), TOLD)["protonet/weight"].shape == (1,)


@pytest.mark.parametrize(
    ("word", "line"),
    [
        ("median", "median"),
        ("percentile:share=3", "unexpected keyword argument 'share'"),
        ("percentile:percentile", "write it as percentile:percentile=50,gamma=0.01"),
    ],
)
def test_a_filter_that_is_none_is_said_in_one_line(word, line):
    with pytest.raises(UserError, match=line) as error:
        read_filters([word])
    assert "\n" not in str(error.value)


def test_a_kit_names_its_filters_and_forgets_them(tmp_path):
    kit = make_kits(tmp_path / "fed", "localhost", 18102, ("north", "south")) / "north"
    privacy, resources = kit / "local" / "privacy.json", kit / "local" / "resources.json"
    set_filters(kit, {"svt": {"epsilon": 0.5}})
    (scope,) = json.loads(privacy.read_text())["scopes"]
    assert scope["task_result_filters"][0]["path"] == FILTERS["svt"]
    assert json.loads(resources.read_text())["class_allow_list"] == [*CLASSES, FILTERS["svt"]]
    set_filters(kit, {})
    assert not privacy.exists()
    assert json.loads(resources.read_text())["class_allow_list"] == list(CLASSES)
    privacy.write_text(json.dumps({"scopes": [{"name": "own"}], "default_scope": "own"}))
    set_filters(kit, {})
    assert privacy.exists()
