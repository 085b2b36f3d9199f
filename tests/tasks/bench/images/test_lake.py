"""Lake's one-shot runs: 20 characters of one alphabet, two drawers, nothing learned from these alphabets."""

import json

import numpy as np
import pytest
import torch

from domains.episode import Shape
from domains.errors import UserError
from domains.reading.archives import ClassImages
from domains.vision.lake import RUNS, WAYS, draw_runs
from domains.vision.omniglot import BACKGROUND, EVALUATION
from learners import NearestPrototype
from learners.meta_train import Training
from tasks.bench.images import lake
from tasks.bench.images.lake import (
    PUBLISHED,
    accuracy_row,
    alphabet_piles,
    bench_lake,
    hausdorff,
    hausdorff_scores,
    learner_scores,
)
from tasks.bench.options import BenchOptions


def characters(alphabets: int = 3, size: int = 21, drawers: int = 4, seed: int = 0) -> ClassImages:
    """Alphabets of random strokes: a character is a pattern, whose brightness varies with the drawer."""
    rng = np.random.default_rng(seed)
    names = tuple(sorted(f"alphabet{a}/character{c:02}" for a in range(alphabets) for c in range(size)))
    patterns = rng.integers(0, 2, (len(names), 1, 1, 8, 8)).repeat(2, 3).repeat(2, 4) * 200
    x = patterns + rng.integers(0, 50, (len(names), drawers, 1, 16, 16))
    y = np.repeat(np.arange(len(names)), drawers).astype(np.int64)
    return ClassImages(names, x.reshape(-1, 1, 16, 16).astype(np.uint8), y)


def test_a_run_has_twenty_characters_of_one_alphabet_each_by_the_same_two_drawers() -> None:
    images = characters()
    runs = draw_runs(images)
    assert len(runs) == RUNS == 20
    assert [run.alphabet for run in runs[:4]] == ["alphabet0", "alphabet1", "alphabet2", "alphabet0"]
    for run in runs:
        assert (images.y[run.support] == images.y[run.query]).all()
        assert len(set(images.y[run.support].tolist())) == WAYS
        assert {images.names[c].split("/")[0] for c in images.y[run.support]} == {run.alphabet}
        (one,), (other,) = (set((rows % 4).tolist()) for rows in (run.support, run.query))
        assert one != other


def test_a_run_depends_on_the_seed_and_its_number_alone() -> None:
    few, many, other = draw_runs(characters(), 2), draw_runs(characters(), 9), draw_runs(characters(), 2, seed=1)
    assert all((a.support == b.support).all() and (a.query == b.query).all() for a, b in zip(few, many, strict=False))
    assert not (few[0].support == other[0].support).all()


@pytest.mark.parametrize(("size", "drawers"), [(19, 4), (20, 1)])
def test_an_alphabet_that_is_too_small_is_named(size: int, drawers: int) -> None:
    with pytest.raises(UserError, match=f"alphabet0 has {size} characters of {drawers} drawings; 20 of 2 are needed"):
        draw_runs(characters(size=size, drawers=drawers))


def test_the_modified_hausdorff_distance_is_the_larger_of_the_two_mean_distances() -> None:
    a, b = np.array([[0.0, 0.0], [0.0, 2.0]]), np.array([[0.0, 0.0]])
    assert hausdorff(a, b) == hausdorff(b, a) == 1.0  # (0 + 2) / 2 one way, 0 the other
    assert hausdorff(a, a) == 0


def test_what_is_drawn_alike_is_found_and_every_trial_counts() -> None:
    images = characters()
    runs = draw_runs(images, 3)
    assert learner_scores(NearestPrototype(256), images, runs) == [1.0, 1.0, 1.0]
    assert hausdorff_scores(images, runs) == [1.0, 1.0, 1.0]


def test_alphabets_are_piles_in_four_rotations_so_that_an_episode_is_within_one() -> None:
    piles = alphabet_piles(characters())
    assert sorted(pile.name for pile in piles)[:2] == ["alphabet0@", "alphabet0@180"]
    assert len(piles) == 12
    assert all(len(pile.classes) == 21 for pile in piles)


def test_rows_have_an_interval_over_runs() -> None:
    row = accuracy_row("nearest", [0.5, 0.7], 0)
    assert (row["value"], row["n"]) == (0.6, 2)
    assert row["ci95"] == pytest.approx(12.706 * 0.1, abs=1e-3)  # Student-t with one degree of freedom


def test_the_benchmark_trains_on_the_background_and_is_tested_on_the_evaluation_alphabets(
    settings, monkeypatch
) -> None:
    asked_for = []

    def load(fetch, pixels, files):
        asked_for.append((pixels, tuple(files)))
        return characters(alphabets=7) if files == [BACKGROUND] else characters(seed=1)

    shape = Shape((3, 3), (1,), queries=1, pool=(0,))
    monkeypatch.setattr(lake, "load_omniglot", load)
    monkeypatch.setattr(lake, "alphabet_training", lambda n, seed: Training(shape, n or 2, 1, every=2, episodes=2))
    rows = bench_lake(settings, BenchOptions(steps=2, pixels=16, draws=3), lambda line: None)
    assert json.loads(json.dumps(rows)) == rows
    measured = {row["method"]: row for row in rows if row["metric"] == "accuracy"}
    assert measured.keys() == set(lake.METHODS)
    assert all(0 <= row["value"] <= 1 and row["n"] == 3 for row in measured.values())
    assert {row["method"]: row["value"] for row in rows if row["metric"] == "published accuracy"} == PUBLISHED
    assert asked_for == [(16, (EVALUATION,)), (16, (BACKGROUND,)), (105, (EVALUATION,))]
    again = bench_lake(settings, BenchOptions(steps=2, pixels=16, draws=3, methods=("protonet",)), lambda line: None)
    assert again[0]["value"] == measured["protonet"]["value"]


def test_a_method_that_is_unknown_is_told_before_anything_is_read(settings) -> None:
    with pytest.raises(UserError, match="no method 'bpl' in this benchmark; there are: protonet, logistic, nearest"):
        bench_lake(settings, BenchOptions(methods=("bpl",)), print)
    assert torch.is_grad_enabled()
