"""A classifier on disk is tensors and a few words, and comes back exactly."""

import json
import pickletools

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch.nn import functional as F

from learners.classifier import FILE, Affine, Classifier


def normal(*size, seed=0):
    return torch.randn(*size, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def classifier():
    layers = (Affine(normal(6, 4), normal(6, seed=1)), "relu", "normalise", Affine(normal(3, 6, seed=2), normal(3)))
    return Classifier(layers, ("mild", "sévère", "κρίση"), temperature=0.1 + 0.2, threshold=0.1)


def test_what_is_saved_comes_back_equal_to_the_bit(classifier, tmp_path):
    classifier.save(tmp_path)
    loaded, x = Classifier.load(tmp_path), normal(50, 4, seed=3)
    assert (loaded.labels, loaded.temperature) == (classifier.labels, classifier.temperature)
    assert loaded.threshold == classifier.threshold == 0.1
    assert torch.equal(loaded.logits(x), classifier.logits(x))
    for mine, theirs in zip(classifier.layers, loaded.layers, strict=True):
        if isinstance(mine, Affine):
            assert torch.equal(mine.weight, theirs.weight)
            assert torch.equal(mine.bias, theirs.bias)
        else:
            assert mine == theirs


def test_weights_that_are_views_of_each_other_or_still_learn_are_saved_as_numbers(tmp_path):
    weight = normal(4, 3).requires_grad_()
    row = weight[:1].expand(2, -1)
    Classifier((Affine(weight, weight[:, 0]), Affine(row.T.T[:, :1].expand(-1, 4), row[:, 0]))).save(tmp_path)
    first, last = Classifier.load(tmp_path).layers
    assert torch.equal(first.bias, weight[:, 0])
    assert torch.equal(last.weight, weight[0, 0].expand(2, 4))


def test_the_file_is_safetensors_and_holds_no_pickle(classifier, tmp_path):
    path = classifier.save(tmp_path)
    data = path.read_bytes()
    size = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + size])
    stored = [entry["data_offsets"] for name, entry in header.items() if name != "__metadata__"]
    assert sorted(stored)[0][0] == 0
    assert max(end for _, end in stored) == len(data) - 8 - size  # the header and numbers, and nothing besides
    with pytest.raises((ValueError, UnicodeDecodeError)):
        list(pickletools.genops(data))
    assert [p.name for p in tmp_path.iterdir()] == [FILE]


def test_a_layer_that_this_version_does_not_know_is_refused(classifier, tmp_path):
    path = classifier.save(tmp_path)
    with safe_open(path, "pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
        about = json.loads(file.metadata()["classifier"])
    about["layers"][1] = "os.system"
    save_file(tensors, path, metadata={"classifier": json.dumps(about)})
    with pytest.raises(ValueError, match=r"unknown layer 'os\.system'"):
        Classifier.load(tmp_path)


def test_a_file_of_an_older_version_has_no_threshold(classifier, tmp_path):
    path = classifier.save(tmp_path)
    with safe_open(path, "pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
        about = json.loads(file.metadata()["classifier"])
    del about["threshold"]
    save_file(tensors, path, metadata={"classifier": json.dumps(about)})
    assert Classifier.load(tmp_path).threshold is None


def test_a_threshold_belongs_to_one_temperature(classifier):
    assert classifier.with_labels(["a", "b", "c"]).threshold == classifier.threshold
    assert classifier.with_temperature(2.0).threshold is None


def test_a_linear_head_of_prototypes_is_the_softmax_of_negative_squared_distances():
    x, c = normal(20, 5), normal(3, 5, seed=1)
    head = Classifier((Affine(2 * c, -c.square().sum(1)),))
    expected = F.softmax(-(x[:, None] - c).square().sum(-1), dim=1)
    assert torch.allclose(head.predict_proba(x), expected, atol=1e-6)


def test_probabilities_are_the_softmax_of_logits_over_the_temperature(classifier):
    x = normal(30, 4, seed=4)
    for temperature in (0.05, 1.0, 20.0):
        p = classifier.with_temperature(temperature).predict_proba(x)
        assert torch.allclose(p, F.softmax(classifier.logits(x) / temperature, 1))
        assert torch.allclose(p.sum(1), torch.ones(30))
        assert torch.equal(p.argmax(1), classifier.logits(x).argmax(1))


def test_a_higher_temperature_is_less_sure(classifier):
    x = normal(30, 4, seed=4)
    cold, warm = (classifier.with_temperature(t).predict_proba(x).amax(1) for t in (0.5, 5.0))
    assert (warm < cold).all()


def test_naming_the_labels_leaves_the_original_as_it_was(classifier):
    named = classifier.with_labels(["a", "b", "c"])
    assert named.labels == ("a", "b", "c")
    assert classifier.labels[0] == "mild"
    assert named.layers is classifier.layers


def test_layers_apply_in_order():
    double_then_cut = Classifier((Affine(2 * torch.eye(2), torch.tensor([0.0, -1])), "relu"))
    assert double_then_cut.logits(torch.tensor([[1.0, 0.25]])).tolist() == [[2.0, 0.0]]
    assert torch.allclose(Classifier(("normalise",)).logits(torch.tensor([[3.0, 4]])), torch.tensor([[0.6, 0.8]]))
