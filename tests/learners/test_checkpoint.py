"""Checkpoints under what really happens to them: kills at any moment, cut files, flipped bits, a full disk."""

import os
import resource
import signal

import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import save_file

from learners import checkpoint


def tensors(step, n=64):
    """The state of a run at a step."""
    draw = torch.Generator().manual_seed(step)
    return {"w": torch.randn(n, 3, generator=draw), "count": torch.tensor(float(step)), "seed": draw.get_state()}


def save(path, step, n=64):
    checkpoint.save(path, tensors(step, n), {"step": step})


def step_of(path):
    """The step that would be gone on from, after a check that its tensors are whole."""
    found = checkpoint.load(path)
    if found is None:
        return None
    values, about = found
    expected = tensors(about["step"], len(values["w"]))
    assert values.keys() == expected.keys()
    assert all(torch.equal(values[name], expected[name]) for name in expected)
    return about["step"]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "run" / "maml.checkpoint"


def in_a_process(work):
    """Run work in a process of its own and return the signal that ended it (0: none)."""
    child = os.fork()
    if child == 0:
        try:
            work()
        finally:
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) * -1


def test_there_is_nothing_to_load_before_the_first_save(path):
    assert checkpoint.load(path) is None


def test_the_newest_checkpoint_wins(path):
    for step in (1, 2, 3):
        save(path, step)
        assert step_of(path) == step


@pytest.mark.parametrize("kept", [0.0, 0.001, 0.5, 0.999])
def test_a_cut_file_falls_back_to_the_one_before(path, kept):
    save(path, 1)
    save(path, 2)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(kept * len(whole))])
    assert step_of(path) == 1


@pytest.mark.parametrize("where", ["tensors", "step", "checksum"])
def test_a_changed_byte_falls_back_to_the_one_before(path, where):
    save(path, 1)
    save(path, 2)
    whole = bytearray(path.read_bytes())
    if where == "tensors":
        whole[-100] ^= 1
    else:
        mark = rb"\"step\": " if where == "step" else b'"digest":"'
        at = bytes(whole).index(mark) + len(mark)
        whole[at] = ord("7") if whole[at] != ord("7") else ord("8")
    path.write_bytes(whole)
    assert step_of(path) == 1


def test_two_damaged_files_are_as_good_as_none(path):
    save(path, 1)
    save(path, 2)
    for file in path.parent.iterdir():
        file.write_bytes(file.read_bytes()[:-1])
    assert checkpoint.load(path) is None
    save(path, 3)
    assert step_of(path) == 3


def test_a_file_of_something_else_is_no_checkpoint(path):
    path.parent.mkdir()
    save_file({"w": torch.zeros(3)}, path)
    assert checkpoint.load(path) is None
    path.write_text("not even tensors")
    assert checkpoint.load(path) is None


@pytest.mark.parametrize("call", ["fsync", "first replace", "second replace"])
def test_a_kill_between_any_two_steps_of_a_save_leaves_a_good_one(path, call):
    save(path, 1)
    save(path, 2)

    def die_while_saving():
        calls = {"fsync": 0, "replace": 0}

        def die_at(name, number, real):
            def function(*args):
                calls[name] += 1
                if calls[name] == number:
                    os.kill(os.getpid(), signal.SIGKILL)
                return real(*args)

            return function

        if call == "fsync":
            os.fsync = die_at("fsync", 1, os.fsync)
        else:
            os.replace = die_at("replace", 1 if call.startswith("first") else 2, os.replace)
        save(path, 3)

    assert in_a_process(die_while_saving) == signal.SIGKILL
    assert step_of(path) in (2, 3)
    save(path, 4)
    assert step_of(path) == 4


def test_a_kill_in_the_middle_of_writing_leaves_the_last_good_one(path):
    save(path, 1, n=10_000)
    size = path.stat().st_size

    def write_half():
        resource.setrlimit(resource.RLIMIT_FSIZE, (size // 2, size // 2))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)  # the kernel kills at the byte after
        save(path, 2, n=10_000)

    assert in_a_process(write_half) == signal.SIGXFSZ
    assert step_of(path) == 1


def test_kills_at_random_moments_never_lose_more_than_the_save_they_hit(path):
    for _ in range(8):
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                for step in range(1, 10_000):
                    save(path, step, n=20_000)
                    os.write(writer, step.to_bytes(2, "little"))
            finally:
                os._exit(1)
        os.close(writer)
        done = [int.from_bytes(os.read(reader, 2), "little") for _ in range(3)]
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        while more := os.read(reader, 2):
            done.append(int.from_bytes(more, "little"))
        os.close(reader)
        assert step_of(path) in (done[-1], done[-1] + 1)


def test_a_disk_that_fills_up_is_an_error_and_the_last_checkpoint_stays(path):
    save(path, 1, n=10_000)
    size = path.stat().st_size

    def fill_up():
        resource.setrlimit(resource.RLIMIT_FSIZE, (size // 2, size // 2))
        with pytest.raises((OSError, SafetensorError)):
            save(path, 2, n=10_000)
        os.kill(os.getpid(), signal.SIGUSR1)  # tells that it came this far

    assert in_a_process(fill_up) == signal.SIGUSR1
    assert step_of(path) == 1


def test_a_damaged_newest_does_not_push_out_the_good_one_before_a_save_is_whole(path):
    save(path, 1)
    save(path, 2)
    path.write_bytes(path.read_bytes()[:-1])

    def die_between_the_replacements():
        real, calls = os.replace, []

        def replace(*args):
            calls.append(args)
            if len(calls) == 2:
                os.kill(os.getpid(), signal.SIGKILL)
            return real(*args)

        os.replace = replace
        save(path, 3)

    assert in_a_process(die_between_the_replacements) == signal.SIGKILL
    assert step_of(path) in (1, 3)
