"""Meta-training that is stopped, killed or gone wrong ends as promised."""

import math
import os
import signal
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch

from domains.episode import Pile, Shape, draw
from learners import checkpoint, make, trainable
from learners.bodies import Conv4
from learners.meta_train import Diverged, Training, meta_train
from learners.optimisers import Adam

DIM = 8
SHAPE = Shape(ways=(2, 4), shots=(1, 3), queries=4, pool=(0, 12))
TRAINING = Training(SHAPE, steps=9, batch=2, rate=5e-3, every=3, episodes=2, seed=5)


def each(kinds):
    return pytest.mark.parametrize(("name", "ways"), kinds, ids=[f"{n}-{w or 'any'}-labels" for n, w in kinds])


each_learner = each([(name, ways) for ways in (None, 3) for name in trainable(ways is not None)])
each_of_the_main_job = each(
    [("protonet", None), ("maml", None), ("reference", None), ("maml", 3), ("reference", 3)],
)


def gaussians(name, seed, ways=None, classes=8, n=25):
    """A pile of Gaussian classes; with shared labels their centres are the same in every pile."""
    draw = torch.Generator().manual_seed(seed)
    classes = ways or classes
    centres = torch.randn(classes, DIM, generator=torch.Generator().manual_seed(0) if ways else draw)
    y = torch.arange(classes).repeat_interleave(n)
    return Pile(name, centres[y] + 0.5 * torch.randn(len(y), DIM, generator=draw), y, shared=ways is not None)


def new(name, ways, noise=0.05):
    """A learner that starts the same in every process, and not at a special point."""
    with torch.random.fork_rng():
        torch.manual_seed(1)
        learner = make(name, DIM, ways)
        with torch.no_grad():
            for parameter in learner.parameters():
                parameter += noise * torch.randn(parameter.shape)
    return learner


def train(learner, path=None, progress=lambda n: None, training=TRAINING):
    piles = [gaussians("a", 1, learner.ways), gaussians("b", 2, learner.ways)]
    return meta_train(learner, piles, [gaussians("c", 3, learner.ways)], training, path, progress)


def same(one, other):
    """Whether two learners are equal to the bit."""
    mine, theirs = one.state_dict(), other.state_dict()
    return mine.keys() == theirs.keys() and all(torch.equal(mine[name], theirs[name]) for name in mine)


def history_text(history):
    """A history as text, for nan is not equal to itself."""
    return repr(asdict(history))


def assert_same_end(name, ways, path, straight_path):
    """Go on from the checkpoint at a path and compare with a run from start to end."""
    straight, resumed, steps = new(name, ways), new(name, ways), []
    history = train(straight, straight_path)
    assert history_text(train(resumed, path, steps.append)) == history_text(history)
    assert same(resumed, straight)
    assert steps == [6, 1, 1, 1]
    (mine, _), (theirs, _) = checkpoint.load(path), checkpoint.load(straight_path)
    assert mine.keys() == theirs.keys()
    assert all(torch.equal(mine[key], theirs[key]) for key in mine)  # optimiser, sampler and last parameters too


@each_learner
def test_a_run_that_was_stopped_ends_bit_for_bit_like_one_that_was_not(name, ways, tmp_path, stopped):
    for steps in (4, 7):  # between two checkpoints, and again
        stopped(steps, lambda progress: train(new(name, ways), tmp_path / "run.checkpoint", progress))
    assert_same_end(name, ways, tmp_path / "run.checkpoint", tmp_path / "straight.checkpoint")


@each([("maml", None), ("reference", 3)])  # by what it is stopped is one code for all
def test_a_run_that_was_killed_ends_bit_for_bit_like_one_that_was_not(name, ways, tmp_path):
    path, steps = tmp_path / "run.checkpoint", []

    def die_after_step_7(n):
        steps.append(n)
        if len(steps) == 7:
            os.kill(os.getpid(), signal.SIGKILL)

    child = os.fork()
    if child == 0:
        try:
            train(new(name, ways), path, die_after_step_7)
        finally:
            os._exit(1)
    assert os.waitpid(child, 0)[1] == signal.SIGKILL
    assert_same_end(name, ways, path, tmp_path / "straight.checkpoint")


def test_a_finished_run_is_not_trained_again(tmp_path):
    first, again, steps = new("maml", None), new("maml", None), []
    history = train(first, tmp_path / "run.checkpoint")
    assert history_text(train(again, tmp_path / "run.checkpoint", steps.append)) == history_text(history)
    assert same(first, again)
    assert steps == [TRAINING.steps]


def test_two_seeds_give_two_results(tmp_path):
    paths = [tmp_path / f"{seed}.checkpoint" for seed in (5, 6)]
    for seed, path in zip((5, 6), paths, strict=True):
        train(new("protonet", None), path, training=replace(TRAINING, seed=seed))
    (one, _), (other, _) = map(checkpoint.load, paths)
    assert not torch.equal(one["now.weight"], other["now.weight"])


def test_a_history_has_one_entry_a_validation_and_starts_before_the_first_step():
    history = train(new("protonet", None), training=replace(TRAINING, steps=8))
    assert history.step == [0, 3, 6, 8]
    assert math.isnan(history.loss[0])
    assert all(map(math.isfinite, history.loss[1:] + history.validation_loss))
    assert all(0 <= share <= 1 for share in history.validation_accuracy)
    assert len(history.step) == len(history.loss) == len(history.validation_loss) == len(history.validation_accuracy)


@each_of_the_main_job
def test_meta_training_lowers_the_loss_on_held_out_episodes(name, ways):
    training = Training(SHAPE, steps=60, batch=2, rate=3e-3, every=15, episodes=10)
    history = train(new(name, ways, noise=0.8 if name == "maml" else 0.2), training=training)
    assert min(history.validation_loss) < history.validation_loss[0]


def test_the_best_parameters_are_kept_though_later_ones_are_worse():
    learner = new("maml", None)
    training = Training(SHAPE, steps=30, batch=1, rate=0.3, every=3, episodes=6)  # far too large a rate
    history = train(learner, training=training)
    best = min(history.validation_loss)
    assert best < history.validation_loss[-1]
    again = train(learner, training=replace(training, steps=0))
    assert again.validation_loss == [best]


def test_where_no_step_was_better_the_start_is_kept_with_the_statistics_it_was_measured_with():
    pile = Pile("a", torch.rand(60, 1, 16, 16, generator=torch.Generator().manual_seed(0)), torch.arange(60) % 4)
    learner = make("protonet", Conv4(1, 16, 4, statistics="source"))
    meta_train(learner, [pile], [pile], replace(TRAINING, steps=0))
    assert not any(torch.equal(norm.variance, torch.ones(4)) for norm in learner.body.norms)


def test_more_classes_than_the_learner_has_are_refused_before_the_first_step():
    learner = make("maml", DIM, ways=3)
    with pytest.raises(ValueError, match=r"domain a: episodes of up to 4 classes, maml was made for 3; take Shape"):
        meta_train(learner, [gaussians("a", 1)], [gaussians("c", 3)], TRAINING)
    assert meta_train(make("maml", DIM, ways=4), [gaussians("a", 1)], [gaussians("c", 3)], TRAINING).step[-1] == 9


def test_a_batch_of_fewer_episodes_than_processes_is_refused(monkeypatch):
    for name, value in (("is_initialized", True), ("get_rank", 0), ("get_world_size", 3)):
        monkeypatch.setattr(torch.distributed, name, lambda value=value: value)
    with pytest.raises(ValueError, match="a batch of 2 episodes is too few for 3 processes; enlarge it"):
        train(new("protonet", None))


def test_the_sample_of_the_documentation_runs(tmp_path):
    y = torch.arange(7).repeat_interleave(30)
    images = torch.randint(256, (210, 1, 28, 28), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    pile = Pile("drawings", images, y)
    page = (Path(__file__).parents[2] / "docs" / "learners.md").read_text()
    sample = page.split("```python\n")[1].split("```")[0]
    assert "steps=1000" in sample
    given = {"train_piles": [pile], "validation_piles": [pile], "path": tmp_path / "run.checkpoint"}
    given |= {"support_x": pile.examples(torch.arange(150)), "support_y": y[:150], "x": pile.examples(torch.arange(3))}
    exec(sample.replace("steps=1000", "steps=2, batch=1, episodes=2"), given)
    assert given["history"].step == [0, 2]


def test_a_meta_loss_that_is_no_number_raises_diverged_with_step_and_learning_rate(tmp_path):
    learner, loss = new("protonet", None), []
    right, learner.together = learner.meta_loss, 1

    def breaks_at_step_5(episode):
        loss.append(right(episode))
        return loss[-1] * math.nan if len(loss) == 2 * 5 else loss[-1]

    learner.meta_loss = breaks_at_step_5
    path = tmp_path / "run.checkpoint"
    with pytest.raises(Diverged, match=r"protonet: meta-loss is nan, .* at step 5, learning rate 0\.005"):
        train(learner, path)
    tensors, about = checkpoint.load(path)
    assert about["step"] == 3
    assert all(torch.isfinite(value).all() for value in tensors.values())


def test_gradients_that_are_no_numbers_raise_diverged_and_leave_no_bad_checkpoint(tmp_path):
    learner, calls = new("protonet", None), []
    right, learner.together = learner.meta_loss, 1

    def breaks_at_step_6(episode):
        calls.append(0)
        loss = right(episode)
        if len(calls) == 2 * 6:
            loss.register_hook(lambda gradient: gradient * math.inf)
        return loss

    learner.meta_loss = breaks_at_step_6
    path = tmp_path / "run.checkpoint"
    with pytest.raises(Diverged, match="step 6"):
        train(learner, path)
    tensors, about = checkpoint.load(path)
    assert about["step"] == 3
    assert all(torch.isfinite(value).all() for value in tensors.values())


def test_validation_uses_the_same_episodes_each_time():
    learner = new("protonet", None)
    still = replace(TRAINING, rate=0.0)
    history = train(learner, training=still)
    assert len(set(history.validation_loss)) == 1
    assert same(learner, new("protonet", None))


def test_the_rate_falls_along_a_cosine_to_zero(monkeypatch):
    learner, rates, step = new("protonet", None), [], Adam.step

    def remember(self, *args):
        rates.append(self.param_groups[0]["lr"])
        return step(self, *args)

    monkeypatch.setattr(Adam, "step", remember)
    train(learner)
    expected = [TRAINING.rate * (1 + math.cos(math.pi * i / TRAINING.steps)) / 2 for i in range(TRAINING.steps)]
    assert rates == pytest.approx(expected)


def test_a_meta_update_is_one_adam_step_on_the_mean_loss_of_the_batch(tmp_path):
    learner, by_hand, path = new("maml", None), new("maml", None), tmp_path / "run.checkpoint"
    generator = torch.Generator().manual_seed(TRAINING.seed)
    optimiser = torch.optim.Adam(by_hand.parameters(), lr=TRAINING.rate)
    piles = [gaussians("a", 1), gaussians("b", 2)]
    loss = torch.stack([by_hand.meta_loss(draw(piles, SHAPE, generator)) for _ in range(TRAINING.batch)]).mean()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(by_hand.parameters(), 5.0)
    optimiser.step()
    history = train(learner, path, training=replace(TRAINING, steps=1))
    now, _ = checkpoint.load(path)
    assert history.loss[1] == pytest.approx(loss.item(), rel=1e-6)
    assert all(torch.allclose(now[f"now.{key}"], value, atol=1e-6) for key, value in by_hand.state_dict().items())
