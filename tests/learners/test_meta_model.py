"""A meta-model comes back from its folder as it was, under the names that its files have always had."""

import json

import pytest
import torch

from learners import Reference, SharedReference, kinds, make, trainable
from learners.choice.prior import Prior
from learners.meta_model import MetaModel


def changed(name, dim, ways=None, last=None):
    """A learner whose parameters are not those that it starts from."""
    learner = make(name, dim, ways, last)
    for i, parameter in enumerate(learner.parameters()):
        parameter.data += 0.1 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(i))
    return learner


@pytest.mark.parametrize(("ways", "last", "kind"), [(None, None, Reference), (3, None, SharedReference)])
def test_the_name_reference_is_saved_and_read_whatever_the_labels(ways, last, kind, tmp_path):
    MetaModel("text", "e", 8, ways, {"reference": changed("reference", 8, ways)}, Prior()).save(tmp_path)
    assert json.loads((tmp_path / "meta_model.json").read_text())["learners"] == ["reference"]
    assert (tmp_path / "reference.safetensors").exists()
    assert type(MetaModel.load(tmp_path).learners["reference"]) is kind


def test_no_two_learners_have_one_name():
    every = {kind for shared in (True, False) for kind in kinds(shared).values()}
    assert len({kind.name for kind in every}) == len(every)


@pytest.mark.parametrize(("ways", "last"), [(None, None), (None, 5), (3, None)])
def test_every_learner_comes_back_with_its_weights(ways, last, tmp_path):
    names = trainable(shared=ways is not None)
    saved = MetaModel("text", "e", 8, ways, {name: changed(name, 8, ways, last) for name in names}, Prior(), {}, last)
    saved.save(tmp_path)
    loaded = MetaModel.load(tmp_path)
    for name, learner in saved.learners.items():
        again = loaded.learners[name].state_dict()
        assert all(torch.equal(value, again[key]) for key, value in learner.state_dict().items())
    assert list(loaded.strategies) == list(saved.strategies)


def test_learners_on_layers_keep_the_names_of_their_tensors():
    keys = set(make("protonet", 8, None, 5).state_dict())
    assert keys == {"mean", "scale", *(f"learner.{name}" for name in ("weight", "mean", "scale", "log_sharpness"))}
