"""Two processes of torch.distributed train as one does: real collectives, by gloo."""

import subprocess
import sys
from dataclasses import replace

import torch
from torch import distributed

from domains.episode import Pile, Shape
from learners import make
from learners.meta_train import Training, meta_train

DIM = 6
TRAINING = Training(Shape(ways=(3, 3), shots=(2,), queries=3, pool=(0, 8)), steps=6, batch=4, every=3, episodes=2)


def pile(name, seed, named):
    generator = torch.Generator().manual_seed(seed)
    y = torch.arange(5).repeat_interleave(12)
    centres = 2 * torch.randn(5, DIM, generator=generator)
    names = centres + 0.1 if named else None
    return Pile(name, centres[y] + torch.randn(60, DIM, generator=generator), y, names=names)


def train(steps=TRAINING.steps):
    """Meta-train the reference learner, which weighs label names, on domains of which one has none."""
    torch.manual_seed(0)
    learner = make("reference", DIM)
    piles = [pile("named", 1, True), pile("nameless", 2, False)]
    history = meta_train(learner, piles, [pile("other", 3, True)], replace(TRAINING, steps=steps))
    return learner.state_dict(), history


def worker(rank, folder):
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", f"file://{folder}/meet", rank=rank, world_size=2)
    state, history = train()
    torch.save({"state": state, "loss": history.validation_loss}, f"{folder}/{rank}.pt")
    distributed.destroy_process_group()


def test_two_processes_end_with_the_parameters_of_one_also_where_an_episode_has_no_label_names(tmp_path):
    running = [subprocess.Popen([sys.executable, __file__, str(rank), str(tmp_path)]) for rank in range(2)]
    alone, history = train()
    assert [process.wait(timeout=240) for process in running] == [0, 0]
    first, second = (torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in (0, 1))
    for name, value in alone.items():
        assert torch.equal(first["state"][name], second["state"][name]), name
        torch.testing.assert_close(first["state"][name], value, atol=1e-4, rtol=1e-3, msg=name)
    torch.testing.assert_close(torch.tensor(first["loss"]), torch.tensor(history.validation_loss), atol=1e-3, rtol=1e-2)
    start, _ = train(steps=0)
    assert any(not torch.equal(start[name], value) for name, value in alone.items())


if __name__ == "__main__":
    worker(int(sys.argv[1]), sys.argv[2])
