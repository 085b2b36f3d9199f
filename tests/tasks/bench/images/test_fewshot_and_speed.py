"""The benchmarks measure what they say: the same episodes for all, the same work on both sides, rows that add up."""

import json
from dataclasses import replace
from functools import partial

import pytest
import torch
from torch import nn

from domains.episode import Pile
from domains.errors import UserError
from learners import ANIL, MAML, Reptile
from learners.bodies import Conv4, ResNet12
from tasks.base import side_by_side
from tasks.bench.images import fewshot, speed
from tasks.bench.images.fewshot import (
    METHODS,
    PUBLISHED,
    SUPERVISED,
    USUAL,
    FewShotJob,
    count_updates,
    evaluate,
    make_jobs,
    run_job,
    run_jobs,
    stopwatch,
)
from tasks.bench.options import BenchOptions, parse_shots

JOB = FewShotJob("omniglot", "protonet", ways=3, shots=1, pixels=16, steps=2, episodes=3)
ROW = ("suite", "domain", "setting", "method", "metric", "value", "ci95", "n", "seconds")


def patterns(seed, classes=16, n=20):
    """Noisy copies of one 16 x 16 pattern a class, as bytes."""
    draw = torch.Generator().manual_seed(seed)
    y = torch.arange(classes).repeat_interleave(n)
    centres = torch.rand(classes, 1, 16, 16, generator=draw)
    x = 0.8 * centres[y] + 0.2 * torch.rand(len(y), 1, 16, 16, generator=draw)
    return Pile("patterns", (255 * x).to(torch.uint8), y)


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr(fewshot, "load_images", lambda *asked: tuple(patterns(seed) for seed in (1, 2, 3)))
    monkeypatch.setattr(fewshot, "VALIDATION", 5)
    monkeypatch.setattr(fewshot, "QUERIES", 4)
    monkeypatch.setitem(fewshot.WIDTH, "omniglot", 8)
    monkeypatch.setattr(fewshot, "ResNet12", partial(ResNet12, widths=(4, 4, 8, 8)))


@pytest.mark.parametrize("method", [*METHODS, *SUPERVISED])
def test_every_method_gives_a_row_that_programs_can_read(method, settings):
    done = []
    (row, *published) = run_job(replace(JOB, method=method), settings, done.append)
    assert tuple(row) == ROW
    assert json.loads(json.dumps(row)) == row
    assert (row["suite"], row["setting"], row["method"]) == ("omniglot", "3-way 1-shot", method)
    assert 0 <= row["value"] <= 1
    assert row["n"] == JOB.episodes
    assert not published  # nobody published 3 ways
    assert sum(done) == (JOB.steps if method in METHODS else 0)


def test_a_published_figure_stands_beside_ours_of_as_many_pixels(settings, monkeypatch):
    assert len(run_job(replace(JOB, method="maml", ways=5), settings)) == 1
    monkeypatch.setitem(fewshot.PIXELS, "omniglot", JOB.pixels)
    ours, theirs = run_job(replace(JOB, method="maml", ways=5), settings)
    assert (theirs["metric"], theirs["value"]) == ("published accuracy", PUBLISHED["omniglot", 5, 1]["maml"])
    assert tuple(theirs) == tuple(ours) == ROW
    assert theirs["ci95"] is None


def test_a_finished_run_is_scored_again_and_not_trained_again(settings):
    first, steps = run_job(JOB, settings), []
    (again,) = run_job(JOB, settings, steps.append)
    assert again["value"] == first[0]["value"]
    assert again["seconds"] >= first[0]["seconds"]
    assert [n for n in steps if n] == [JOB.steps]  # told at once


def test_other_settings_are_other_work():
    keys = {job.key for job in (JOB, replace(JOB, shots=5), replace(JOB, method="maml"), replace(JOB, seed=1))}
    assert len(keys) == 4
    assert replace(JOB, episodes=7).key == JOB.key  # only training is kept


def test_every_method_sees_the_same_test_episodes():
    seen = []

    class Spy(MAML):
        def adapt(self, support):
            seen.append(support.x)
            return super().adapt(support)

    for steps in (1, 2):
        evaluate(Spy(Conv4(1, 16, 4, strided=True), 3, steps, 0.1), patterns(3), JOB)
    assert all(torch.equal(one, other) for one, other in zip(seen[: JOB.episodes], seen[JOB.episodes :], strict=True))
    assert not torch.equal(seen[0], seen[1])


def test_jobs_are_every_method_at_every_number_of_shots_unless_named():
    every = make_jobs("omniglot", BenchOptions())
    assert len(every) == 3 * (len(USUAL) + len(SUPERVISED))
    few = make_jobs("miniimagenet", BenchOptions(methods=("maml", "scratch"), shots=(5,), ways=4, steps=7))
    assert [(j.method, j.shots, j.ways, j.pixels, j.steps) for j in few] == [
        ("maml", 5, 4, 84, 7),
        ("scratch", 5, 4, 84, 7),
    ]
    assert count_updates(few) == 7
    with pytest.raises(UserError, match=r"no method 'mamel' in this benchmark; there are: maml, .*scratch"):
        make_jobs("omniglot", BenchOptions(methods=("mamel",)))


def test_more_ways_than_classes_or_shots_than_examples_are_refused_with_value_and_limit(settings):
    with pytest.raises(ValueError, match="40 ways asked, 16 classes have the 3 examples that 1 shots need"):
        run_job(replace(JOB, method="maml", ways=40), settings)
    with pytest.raises(ValueError, match="fewer than 2 classes have the 52 examples that 50 shots need"):
        run_job(replace(JOB, shots=50), settings)


def test_jobs_run_side_by_side_come_back_in_order(settings, monkeypatch):
    todo, said = [replace(JOB, method=m, steps=None) for m in ("prototype", "logistic")], []
    monkeypatch.setattr(side_by_side, "process_pool", InProcess)
    rows = run_jobs(settings, todo, lambda n: None, said.append)
    assert [row["method"] for row in rows] == ["prototype", "logistic"]
    assert len(said) == 2


class InProcess:
    """A pool that runs at once, so that what is patched here is seen."""

    def __init__(self, *sizes):
        self.sizes = sizes

    def __enter__(self):
        return self

    def __exit__(self, *error):
        return False

    def submit(self, function, *arguments):
        from concurrent.futures import Future

        future = Future()
        future.set_result(function(*arguments))
        return future


def test_the_stopwatch_goes_on_after_an_interruption(tmp_path, monkeypatch):
    clock = iter((0.0, 7.0, 10.0, 12.5))
    monkeypatch.setattr(fewshot, "process_time", lambda: next(clock))
    path = tmp_path / "work.seconds"
    with pytest.raises(KeyboardInterrupt), stopwatch(path):
        raise KeyboardInterrupt
    with stopwatch(path) as spent:
        pass
    assert spent() == 9.5


@pytest.mark.parametrize("wrong", ["", "0", "five", "1;5", "1,-5"])
def test_shots_that_are_no_numbers_are_told(wrong):
    with pytest.raises(UserError, match="positive numbers with commas between them"):
        parse_shots(wrong)
    assert parse_shots("1, 5,10") == (1, 5, 10)


def same_start(learner, usual):
    """Give the usual network the parameters of a learner's Conv4."""
    body = learner.network.body
    with torch.no_grad():
        for convolution, norm, i in zip(body.convolutions, body.norms, (0, 4, 8, 12), strict=True):
            usual.body[i].weight.copy_(convolution.weight)
            usual.body[i].bias.zero_()
            usual.body[i + 1].weight.copy_(norm.weight)
        usual.head.weight.copy_(learner.network.weight)
        usual.head.bias.copy_(learner.network.bias)


CONV4 = {
    "maml": (speed.usual_maml, MAML),
    "anil": (speed.usual_anil, ANIL),
    "reptile": (speed.usual_reptile, lambda *a: Reptile(*a, batch=None, optimiser="sgd")),
}


@pytest.mark.parametrize("name", CONV4)
def test_the_speed_of_conv4_is_compared_on_the_same_meta_gradient(name):
    theirs, kind = CONV4[name]
    batch = [e.to(torch.float64) for e in speed.episodes(2, (1, 28, 28), 1, 2)]
    learner, usual = kind(Conv4(), 5, 2, speed.RATE).double(), speed.Usual().double()
    same_start(learner, usual)
    theirs(usual, batch, 2)()
    speed.backward(learner, batch)()
    for convolution, i in zip(learner.network.body.convolutions, (0, 4, 8, 12), strict=True):
        assert torch.allclose(usual.body[i].weight.grad, convolution.weight.grad, rtol=1e-6, atol=1e-9)


def test_the_speed_of_the_maml_head_is_compared_on_the_same_meta_gradient():
    batch = [e.to(torch.float64) for e in speed.episodes(4, (384,), 1, 3)]
    learner = MAML(384, 5, 5, speed.RATE).double()
    usual = nn.Sequential(nn.Linear(384, 64), nn.ReLU(), nn.Linear(64, 5)).double()
    ours = dict(learner.network.named_parameters())
    names = {"0": "body.layers.0.", "2": ""}
    usual.load_state_dict({f"{i}.{what}": ours[f"{n}{what}"] for i, n in names.items() for what in ("weight", "bias")})
    speed.usual_maml(usual, batch, 5)()
    speed.backward(learner, batch)()
    for i, name in names.items():
        theirs = usual.get_parameter(f"{i}.weight").grad
        assert torch.allclose(theirs, ours[f"{name}weight"].grad, rtol=1e-6, atol=1e-9)


def test_a_device_that_is_not_there_is_told_and_a_gpu_is_taken_where_there_is_one():
    assert BenchOptions(device="cpu").torch_device == "cpu"
    assert BenchOptions().torch_device == ("cuda" if torch.cuda.is_available() else "cpu")
    with pytest.raises(UserError, match="no device 'tpu' on this machine; there is: cpu"):
        _ = BenchOptions(device="tpu").torch_device


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_training_on_a_gpu_is_vmapped_and_near_that_on_a_cpu(settings):
    rows = {device: run_job(replace(JOB, method="maml", device=device), settings)[0] for device in ("cpu", "cuda")}
    assert abs(rows["cpu"]["value"] - rows["cuda"]["value"]) < 0.2
