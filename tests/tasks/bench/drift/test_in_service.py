"""The benchmark of accuracy without labels: what trials are, and how constants come of them."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from domains.labelled_examples import LabelledExamples
from learners.shift.accuracy_estimate import Evidence
from tasks.bench.drift.calibration import calibrate
from tasks.bench.drift.in_service import CALIBRATED, UNSEEN, error_rows, measures, with_foreign
from tasks.bench.drift.shifted import FOREIGN, NEW_CLASSES, NONE, SAME, SHIFTS, ShiftJob, ShiftTrial, run_shifts
from tasks.features.encoders import BUILT_IN


def cloud(name, classes, per_class, at):
    rng = np.random.default_rng(len(name))
    centres = rng.normal(size=(classes, 8)) + at
    x = (centres[:, None] + 0.25 * rng.normal(size=(classes, per_class, 8))).reshape(-1, 8)
    y = np.repeat(np.arange(classes), per_class)
    examples = tuple(f"{name} {i}".encode() for i in range(len(y)))
    return LabelledExamples(name, "vision", examples, y, tuple(map(str, range(classes)))), torch.tensor(x).float()


def test_of_every_shift_there_are_trials_and_foreign_examples_are_all_wrong():
    own, x = cloud("own", 4, 100, 0.0)
    other, other_x = cloud("other", 2, 60, 4.0)
    both = with_foreign(own, other)
    assert (both.y[400:] == NONE).all()
    spec = replace(BUILT_IN["vision"]["efficientnet"], dim=8, last=None)
    found = run_shifts(ShiftJob(both, torch.cat([x, other_x]), (spec,), 1, 0))
    assert {trial.shift for trial in found} == set(SHIFTS)
    by_shift = {trial.shift: trial for trial in found}
    assert by_shift[SAME].accuracy > 0.9
    for shift in (FOREIGN, NEW_CLASSES):
        assert by_shift[shift].accuracy < by_shift[SAME].accuracy - 0.05
    assert by_shift[FOREIGN].evidence.unlike > by_shift[SAME].evidence.unlike + 0.05
    assert len(error_rows("efficientnet", found)) == 2 * 5 * len(measures(found))


def test_the_constants_that_made_trials_are_found():
    rng, trials = np.random.default_rng(0), []
    for number in range(600):
        evidence = Evidence(0.8, rng.uniform(0, 0.2), rng.uniform(0, 0.5), 0.0009)
        size = 0.9 * evidence.doubt + 0.5 * 0.8 * evidence.unlike
        error = rng.normal() * np.sqrt(0.0009 + 0.03**2 + (0.3 * size) ** 2)
        trials.append(ShiftTrial(f"domain {number % 5}", SAME, evidence, 0.8 - size + error))
    found = calibrate(trials)
    assert (found.doubt, found.unlike) == (pytest.approx(0.9, abs=0.1), pytest.approx(0.5, abs=0.05))
    assert (found.spread, found.growth) == (pytest.approx(0.03, abs=0.015), pytest.approx(0.3, abs=0.07))
    assert (found.below, found.above) == (pytest.approx(1.96, abs=0.4), pytest.approx(1.96, abs=0.4))


def test_no_domain_is_both_calibrated_on_and_measured():
    for family in CALIBRATED:
        assert not set(CALIBRATED[family].split()) & set(UNSEEN[family].split())
