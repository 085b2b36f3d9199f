"""Offsets follow what came true lately, stay where the prior holds them, and read no label before it is known."""

import pytest
import torch
from torch.nn import functional as F

from learners.market.decayed_offsets import DecayedOffsets, Evidence, moved
from learners.market.log_pool import polynomials

WAYS, ASSETS, DELAY = 3, 4, 5


def forecasts(days, seed, shift=0.0):
    """Log-probabilities [T, A, N] and labels drawn from them, moved up by a shift that may be of each day [T]."""
    draw = torch.Generator().manual_seed(seed)
    logs = torch.log_softmax(torch.randn(days, ASSETS, WAYS, generator=draw), 2)
    level = torch.as_tensor(shift).expand(days)[:, None, None] * polynomials(WAYS)[0]
    y = torch.multinomial(F.softmax(logs + level, 2).flatten(0, 1), 1, generator=draw)[:, 0]
    return logs, y.reshape(days, ASSETS)


def offsets(half_life, precision):
    found = DecayedOffsets(WAYS, DELAY)
    found.log_half_life.data = torch.tensor(float(half_life)).log()
    found.log_precision.data = torch.full((WAYS,), float(precision)).log()
    return found


def test_a_strong_prior_moves_nothing():
    logs, y = forecasts(300, 0, 1.0)
    c = offsets(100, 1e9).solve(Evidence.of(logs, y), torch.tensor([299]))
    assert c.abs().max() < 1e-4
    assert torch.allclose(moved(logs, c[0]), logs, atol=1e-4)


def test_without_prior_or_decay_it_is_a_newton_step_to_all_that_is_known():
    logs, y = forecasts(4000, 1, 0.3)
    evidence = Evidence.of(logs, y)
    c = offsets(1e9, 1e-6).solve(evidence, torch.tensor([4000 + DELAY]))[0].detach()
    assert torch.allclose(c, torch.linalg.solve(evidence.curvature.sum(0), evidence.pull.sum(0)), rtol=1e-2, atol=1e-3)
    assert c[0] == pytest.approx(0.3, abs=0.06)


def test_a_short_half_life_forgets():
    shift = torch.cat([torch.full((2000,), -0.5), torch.full((500,), 0.5)])
    evidence = Evidence.of(*forecasts(2500, 2, shift))
    short, long = (offsets(h, 1.0).solve(evidence, torch.tensor([2500]))[0, 0] for h in (60, 1e9))
    assert short > 0.3
    assert long < -0.1


def test_labels_that_are_not_known_yet_are_not_read():
    logs, y = forecasts(100, 3)
    other = y.clone()
    other[60 - DELAY :] = (other[60 - DELAY :] + 1) % WAYS
    one, two = (offsets(20, 5).solve(Evidence.of(logs, labels), torch.arange(100)) for labels in (y, other))
    assert torch.equal(one[:61], two[:61])
    assert not torch.allclose(one[61], two[61])


def test_how_far_to_move_is_learned_from_what_followed():
    draw = torch.Generator().manual_seed(5)
    lasting = 0.8 * torch.randn(20, generator=draw).repeat_interleave(100)
    learned = {}
    for name, shift in (("lasting", lasting), ("none", 0.0)):
        logs, y = forecasts(2000, 6, shift)
        found = offsets(50, 50)
        optimiser, days = torch.optim.Adam(found.parameters(), 0.1), torch.arange(100, 1990, 3)
        for _ in range(60):
            optimiser.zero_grad()
            found.meta_loss(Evidence.of(logs, y), days, logs[days, None], y[days, None]).backward()
            optimiser.step()
        learned[name] = found.log_precision.exp()[0].item() / found.log_half_life.exp().item()
    assert learned["lasting"] < learned["none"] / 5
