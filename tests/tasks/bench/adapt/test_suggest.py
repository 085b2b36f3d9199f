"""The benchmark of suggestions: what a share of labels means, and rows that programs read."""

import numpy as np
import pytest
import torch

from tasks.bench.adapt.draws import problem_at, split
from tasks.bench.adapt.suggest import BATCHES, ORDERS, SuggestJob, measure_suggestions, share_needed, suggestion_rows


def curves(suggested, random):
    """Curves of one draw that rise evenly to these accuracies."""
    ends = [suggested] + [random] * ORDERS
    return np.stack([np.linspace(0, end, BATCHES + 2)[1:] for end in ends])[None]


@pytest.mark.parametrize(("suggested", "share"), [(0.8, 0.5), (0.4, 1.0), (0.2, 1.0), (100.0, 0.1)])
def test_the_share_is_of_the_labels_that_random_choice_takes_for_its_last_accuracy(suggested, share):
    assert share_needed(curves(suggested, 0.4)) == pytest.approx(share)


def test_every_number_of_labels_and_the_share_have_a_row():
    generator = torch.Generator().manual_seed(0)
    y = np.repeat(np.arange(3), 60)
    x = torch.nn.functional.one_hot(torch.from_numpy(y), 8) + torch.randn(180, 8, generator=generator) / 2
    task = problem_at("made-up", y, split(y), 1)
    job = SuggestJob(task, "made-up", x.numpy(), ("logistic",), draws=2, seed=0)
    found = measure_suggestions(job)
    assert found["logistic"].shape == (2, 1 + ORDERS, 1 + BATCHES)
    assert np.array_equal(found["logistic"], measure_suggestions(job)["logistic"])
    assert np.array_equal(found["logistic"][:, 0, 0], found["logistic"][:, 1, 0])  # before anything is chosen
    made = suggestion_rows(job, found)
    keys = {"suite", "domain", "setting", "method", "metric", "value", "ci95", "n", "seconds"}
    assert all(row.keys() == keys for row in made)
    assert [row["setting"] for row in made[:2]] == ["labels=3 suggested", "labels=6 suggested"]
    assert made[-1]["metric"] == "share of labels needed"
    assert 0.1 <= made[-1]["value"] <= 1
