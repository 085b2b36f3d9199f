"""What new examples are held against, to tell those of none of a model's classes."""

from dataclasses import replace

import pytest
import torch

from tasks.adapt import outside
from tasks.adapt.adaptation import Adaptation, encode_domain
from tasks.adapt.outside import columns_read, typicality_of
from tasks.adapt.trials import run_trial

EXPERIMENT = Adaptation(k=8, draws=1)


@pytest.fixture
def trial(target, settings, model):
    data = encode_domain(settings, target, EXPERIMENT)
    return run_trial(model, data, EXPERIMENT, 0), data


def test_held_out_examples_are_what_new_ones_are_held_against(trial, monkeypatch):
    first, data = trial
    assert typicality_of(first, data) is None  # 40 test examples are too few
    monkeypatch.setattr(outside, "FEWEST", 40)
    found = typicality_of(first, data)
    assert len(found.scores) == len(data.test_y)
    # an example that was fitted to is nearer than one that was not; with folds, none was
    fold = torch.arange(len(data.labelled.y)) % 5
    folded = replace(data, fold=fold)
    every = replace(
        first, support=torch.arange(len(fold)), probabilities={"acclimate": torch.full((len(fold), 4), 0.25)}
    )
    known = typicality_of(every, folded)
    assert known.distances.mean() > known.distance(data.labelled.x).mean()


def test_of_wide_encoders_the_first_are_read(trial):
    data = trial[1]
    wide = replace(data.encoders[0], dim=2768, last=1280)
    narrow = replace(data.encoders[0], dim=100, last=None)
    assert columns_read(replace(data, encoders=(wide, wide, narrow))) == [(0, 1280), (5536, 5636)]
    assert columns_read(replace(data, encoders=(replace(wide, last=None),))) == [(0, 2768)]
