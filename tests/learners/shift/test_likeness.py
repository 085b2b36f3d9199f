"""How much alike two sets of examples are: about 1 for halves of one set, near 0 for strangers."""

import pytest
import torch

from learners.shift.likeness import FAR, FEWEST, likeness

ONE = torch.Generator().manual_seed(0)


def around(centre, n):
    return torch.nn.functional.normalize(centre + torch.randn(n, 60, generator=ONE) / 4, dim=1)


HERE, THERE = torch.eye(60)[0], torch.eye(60)[1]


@pytest.mark.parametrize("labelled", [16, 200])
@pytest.mark.parametrize("pool", [20, 1000])
def test_halves_of_one_set_have_a_likeness_of_one_whatever_their_sizes(labelled, pool):
    found = torch.tensor([likeness(around(HERE, pool), around(HERE, labelled)) for _ in range(30)])
    assert found.mean() == pytest.approx(1, abs=0.05)
    assert found.min() > 2 * FAR - 0.4


def test_strangers_are_far():
    for _ in range(10):
        assert likeness(around(THERE, 200), around(HERE, 30)) < FAR / 2


def test_the_length_of_a_vector_plays_no_part():
    pool, labelled = around(HERE, 50), around(HERE + THERE, 40)
    assert likeness(pool * 7, labelled * torch.rand(40, 1)) == pytest.approx(likeness(pool, labelled), abs=1e-5)


def test_of_a_few_examples_nothing_is_said():
    assert likeness(around(HERE, FEWEST - 1), around(HERE, 30)) is None
    assert likeness(around(HERE, 30), around(HERE, FEWEST - 1)) is None
