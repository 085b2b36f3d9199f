"""The portfolio chooses, and its classifier names labels, for what the user wants to be best."""

import numpy as np
import pytest
import torch

from learners import metrics, plain_strategies
from learners.choice.portfolio import choose
from learners.choice.prior import Prior
from learners.classifier import Classifier
from learners.support import Support


def uneven(n, seed):
    """Three overlapping classes, of which the first has nine in ten examples."""
    generator = torch.Generator().manual_seed(seed)
    y = torch.multinomial(torch.tensor([0.9, 0.06, 0.04]), n, True, generator=generator)
    return torch.eye(3, 8)[y] * 2 + torch.randn(n, 8, generator=generator), y


def adapted(objective, **more):
    x, y = uneven(400, 0)
    strategies = {
        name: learner for name, learner in plain_strategies(8).items() if name in ("logistic", "tuned_logistic")
    }
    return choose(strategies, Support(x, y, **more), Prior(), torch.Generator().manual_seed(0), objective=objective)


@pytest.mark.parametrize("objective", ["balanced_accuracy", "macro_f1"])
def test_labels_are_named_for_the_objective_and_probabilities_stay_as_they_are(objective, tmp_path):
    x, y = uneven(4000, 1)
    usual, ours = adapted("accuracy").classifier, adapted(objective).classifier
    p = ours.predict_proba(x).double().numpy()
    np.testing.assert_allclose(p, usual.predict_proba(x).double().numpy(), atol=1e-6)
    measure = getattr(metrics, objective)
    assert measure(ours.tilt(p), y) > measure(p, y) + 0.01
    assert usual.offsets is None
    ours.save(tmp_path)
    again = Classifier.load(tmp_path)
    assert torch.equal(again.offsets, ours.offsets)
    assert np.array_equal(again.name(p), ours.name(p))
    assert not np.array_equal(again.name(p), p.argmax(1))
    assert np.array_equal(again.as_named().predict_proba(x).argmax(1), again.name(p))


def test_what_is_not_known_to_be_probable_is_not_named():
    """A label of the domain that has no example is named as rarely as before."""
    found = adapted("balanced_accuracy", ways=5).classifier
    assert set(found.name(found.predict_proba(uneven(500, 2)[0]).numpy())) <= {0, 1, 2}


def test_one_example_a_class_is_even_already():
    x, y = torch.randn(3, 8, generator=torch.Generator().manual_seed(0)), torch.arange(3)
    strategies = plain_strategies(8)
    found = choose(strategies, Support(x, y), Prior(), torch.Generator().manual_seed(0), objective="macro_f1")
    p = found.classifier.predict_proba(uneven(50, 3)[0]).numpy()
    assert np.array_equal(found.classifier.name(p), p.argmax(1))
