"""A classifier written as a chain of maps predicts what it did."""

from dataclasses import replace

import pytest
import torch

from learners import BASELINES, META, PLAIN_STRATEGIES, Reference, make
from learners.chain import Chain, exportable_part
from learners.classifier import Affine, Blend, Classifier, Columns, FixedPart
from learners.plain.knn import Nearest
from learners.support import Support


def normal(*size, seed=0):
    return torch.randn(*size, generator=torch.Generator().manual_seed(seed))


def equal(classifier, dim=12, seed=9):
    x = normal(40, dim, seed=seed)
    chain = Chain.of(classifier, dim)
    assert torch.allclose(chain(x).softmax(-1), classifier.predict_proba(x), atol=1e-5)
    return chain.steps


def test_maps_that_follow_each_other_become_one_and_the_temperature_is_in_the_last():
    maps = [Affine(normal(out, dim), normal(out)) for dim, out in ((12, 7), (7, 5), (5, 3))]
    layers = (*maps[:2], "normalise", maps[2])
    first, word, last = equal(Classifier(layers, temperature=0.2))
    assert (first.weight.shape, word, last.weight.shape) == ((5, 12), "normalise", (3, 5))
    assert torch.allclose(last.weight, normal(3, 5) / 0.2)


def test_standardised_columns_are_a_map_too():
    scale = normal(4, seed=1).abs() + 0.1
    (only,) = equal(Classifier((Columns(normal(4), scale), Affine(normal(3, 4), normal(3)))))
    assert only.weight.shape == (3, 12)
    assert torch.equal(only.weight[:, 4:], torch.zeros(3, 8))


def test_unit_length_at_first_and_rectifying_without_a_map_before_it():
    steps = equal(Classifier(("normalise", Affine(normal(3, 12), normal(3)))))
    assert [step if isinstance(step, str) else "map" for step in steps] == ["normalise", "map"]
    steps = equal(Classifier(("relu", "normalise")))
    assert [step if isinstance(step, str) else "map" for step in steps] == ["map", "relu", "normalise", "map"]


@pytest.mark.parametrize("layer", ["softmax", "log", FixedPart.of(Nearest(3))], ids=["softmax", "log", "module"])
def test_a_step_that_is_no_map_is_named(layer):
    name = layer if isinstance(layer, str) else Nearest.name
    with pytest.raises(ValueError, match=f"the step '{name}' is no dense map"):
        Chain.of(Classifier((Affine(normal(3, 12), normal(3)), layer)), 12)


REFUSED = {"matching", "caml", "cnaps", "versa"}
KINDS = {kind.name: kind for kind in (*BASELINES, *PLAIN_STRATEGIES, Reference, *META)}


@pytest.mark.parametrize("name", KINDS)
def test_all_strategies_are_chains_but_those_that_attend_measure_distances_or_average(name):
    torch.manual_seed(0)
    x, y = normal(15, 12) + 2 * torch.eye(3, 12).repeat(5, 1), torch.arange(3).repeat(5)
    classifier = make(name, 12).adapt(Support(x, y, normal(30, 12, seed=3))).with_temperature(0.7)
    if name in REFUSED:
        with pytest.raises(ValueError, match="no dense map"):
            Chain.of(classifier, 12)
    else:
        equal(classifier)


def test_a_blend_of_maps_and_networks_is_a_chain_too():
    linear = Classifier((Affine(normal(3, 8), normal(3)),), temperature=0.7)
    unit = Classifier(("normalise", Affine(normal(3, 8, seed=1), normal(3))))
    network = Classifier((Affine(normal(5, 8), normal(5)), "relu", Affine(normal(3, 5), normal(3))), temperature=2.0)
    x = torch.nn.functional.normalize(normal(20, 8, seed=2), dim=-1)
    for members in ((linear, unit), (network, linear), (network, network), (unit, network, linear)):
        shares = tuple(i / 6 for i in range(1, len(members) + 1))
        whole = Classifier((Blend(members, shares), Affine(torch.eye(3), normal(3, seed=3))), temperature=1.3)
        torch.testing.assert_close(Chain.of(whole, 8)(x).softmax(1), whole.predict_proba(x), rtol=1e-4, atol=1e-5)
    deep = Classifier((*network.layers, "relu", Affine(normal(3, 3), normal(3))))
    mixed = Classifier((Blend((linear, deep, network), (0.2, 0.5, 0.3)),), labels=("a", "b", "c"))
    with pytest.raises(ValueError, match="member of the blend"):
        Chain.of(mixed, 8)
    whole = Classifier((Blend((linear, network), (0.2, 0.8)),))
    assert exportable_part(whole, 8) is whole
    together = exportable_part(replace(mixed, layers=(Blend((linear, deep, network), (0.3, 0.3, 0.4)),)), 8)
    assert together.layers[0].members == (linear, network)
    alone = exportable_part(replace(mixed, layers=(Blend((linear, deep), (0.4, 0.6)),)), 8)
    assert alone.layers[:5] == deep.layers
    with pytest.raises(ValueError, match="no member"):
        exportable_part(Classifier((Blend((Classifier(("softmax",)),) * 2, (0.5, 0.5)),), labels=("a",)), 8)
