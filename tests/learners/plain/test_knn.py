"""The k nearest neighbours: near ones count more, far ones not at all."""

import pytest
import torch
from sklearn.neighbors import KNeighborsClassifier
from torch.nn import functional as F

from learners.classifier import Classifier
from learners.plain.knn import KNN
from learners.support import Support


def support(ways=3, shots=4, dim=6):
    draw = torch.Generator().manual_seed(0)
    y = torch.arange(ways).repeat_interleave(shots)
    return torch.randn(ways, dim, generator=draw)[y] + torch.randn(len(y), dim, generator=draw), y


def test_shares_are_those_of_scikit_learn_on_unit_vectors():
    x, y = support()
    queries = torch.randn(50, 6, generator=torch.Generator().manual_seed(1))
    theirs = KNeighborsClassifier(KNN.k, weights="distance").fit(F.normalize(x, dim=-1).numpy(), y.numpy())
    ours = KNN(6).adapt(Support(x, y)).predict_proba(queries).numpy()
    assert ours == pytest.approx(theirs.predict_proba(F.normalize(queries, dim=-1).numpy()), abs=1e-3)


def test_with_one_shot_the_nearest_example_decides_however_few_there_are():
    x, y = support(ways=3, shots=1)
    assert KNN(6).adapt(Support(x, y)).predict_proba(x).argmax(1).tolist() == y.tolist()
    p = KNN(6).adapt(Support(x, y)).predict_proba(x + 0.01)
    assert p.argmax(1).tolist() == y.tolist()
    assert torch.allclose(p.sum(1), torch.ones(3))


def test_it_survives_a_round_trip_through_its_file(tmp_path):
    x, y = support()
    classifier = KNN(6).adapt(Support(x, y)).with_labels("abc")
    classifier.save(tmp_path)
    assert torch.allclose(Classifier.load(tmp_path).predict_proba(x), classifier.predict_proba(x), atol=1e-4)
