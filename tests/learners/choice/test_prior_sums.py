"""The prior of several sites' sums is the prior of all their episodes."""

import re
from dataclasses import replace

import numpy as np
import pytest
import torch

from learners.choice.prior import SHOTS, Measured, NotHeldOut, losses_by_temperature
from learners.choice.prior_sums import (
    add,
    add_histograms,
    histograms_of,
    prior_of,
    sums_of,
)
from learners.temperature import GRID

SAFE, FEATURES = "prototype", 18


def measured(domains, seed, episodes=40):
    """Episodes with gains that depend on their description; every fourth is one where nothing can be held out."""
    rng, generator = np.random.default_rng(seed), torch.Generator().manual_seed(seed)
    x, shots = rng.normal(3, 1, (episodes, FEATURES)), rng.choice(SHOTS, episodes)
    shots[::4] = 1
    names = (SAFE, "maml", "names")
    scores, losses, unseen = {n: {} for n in names}, {n: np.zeros((len(SHOTS), len(GRID) + 1)) for n in names}, []
    for i in range(episodes):
        y, said = torch.randint(5, (30,), generator=generator), {}
        for name, shift in ((SAFE, 0.0), ("maml", 0.1 * x[i, 3] - 0.25), ("names", 0.1)):
            if name == "names" and i % 3 == 0:
                continue
            scores[name][i] = (torch.rand(30, generator=generator) < 0.5 + shift).double()
            said[name] = 3 * torch.randn(30, 5, generator=generator).scatter_add(1, y[:, None], 2 * torch.ones(30, 1))
            losses[name][SHOTS.index(shots[i])] += [*losses_by_temperature(said[name], y), 1.0]
        if i % 4 == 0:
            pool = {} if i % 8 else {name: 2 * z[:10] for name, z in said.items()}
            unseen.append(NotHeldOut(x[i], 1.0, said, y, pool))
    numbers = np.array([domains[i % len(domains)] for i in range(episodes)])
    reasons = {"names": [f"no names in {i}" for i in range(0, episodes, 3)]}
    return Measured(SAFE, x, numbers, shots, scores, losses, unseen, reasons)


def joined(parts):
    """All episodes as if one site had them."""
    starts = np.cumsum([0, *(len(p.descriptions) for p in parts)])
    scores = {
        name: {int(i + start): v for start, p in zip(starts, parts, strict=False) for i, v in p.scores[name].items()}
        for name in parts[0].scores
    }
    return Measured(
        SAFE,
        *(np.concatenate([getattr(p, name) for p in parts]) for name in ("descriptions", "domains", "shots")),
        scores,
        {name: sum(p.losses[name] for p in parts) for name in scores},
        [task for p in parts for task in p.unseen],
        {"names": [why for p in parts for why in p.reasons["names"]]},
    )


def federated(parts):
    sums = add(map(sums_of, parts))
    told = prior_of(SAFE, sums)
    return prior_of(SAFE, sums, add_histograms(histograms_of(p, told) for p in parts))


def test_sums_of_three_uneven_sites_give_the_prior_of_all_their_episodes():
    parts = [measured([0, 1, 2], 1, 60), measured([3], 2, 7), measured([4, 5], 3, 21)]
    pooled, ours = joined(parts).fit(), federated(parts)
    assert ours.regressions.keys() == pooled.regressions.keys() == {"maml", "names"}
    for name, theirs in pooled.regressions.items():
        mine = ours.regressions[name]
        np.testing.assert_allclose(mine.centre, theirs.centre, rtol=1e-10)
        np.testing.assert_allclose(mine.weights, theirs.weights, rtol=1e-6, atol=1e-9)
        np.testing.assert_allclose(mine.covariance, theirs.covariance, rtol=1e-6, atol=1e-12)
        assert mine.intercept == pytest.approx(theirs.intercept, abs=1e-10)
        assert mine.spread == pytest.approx(theirs.spread, rel=1e-8)
    assert ours.temperatures == pooled.temperatures
    for name, by_shots in pooled.means.items():
        assert ours.means[name].keys() == by_shots.keys()
        for k, gain in by_shots.items():
            assert ours.means[name][k].mean == pytest.approx(gain.mean, abs=1e-12)
            assert ours.means[name][k].deviation == pytest.approx(gain.deviation, abs=1e-7)
    for name, value in pooled.thresholds.items():  # of the width of a bin
        assert value / 1.035 < ours.thresholds[name] <= value
    np.testing.assert_allclose(ours.unseen.weights, pooled.unseen.weights, rtol=1e-5, atol=1e-7)
    assert ours.unseen.threshold == pytest.approx(pooled.unseen.threshold, rel=0.3)  # at temperature 1
    assert ours.left_out.keys() == {"names"}


def test_one_site_of_fewer_episodes_than_features_gives_its_own_prior():
    (part,) = parts = [measured([0], 4, 9)]
    mine, theirs = federated(parts).regressions["maml"], part.fit().regressions["maml"]
    np.testing.assert_allclose(mine.weights, theirs.weights, rtol=1e-5, atol=1e-8)
    np.testing.assert_allclose(mine.covariance, theirs.covariance, rtol=1e-5, atol=1e-9)


def test_what_a_site_sends_does_not_grow_with_its_episodes():
    few, many = (sums_of(measured([0, 1], 1, n)) for n in (8, 200))
    size = [sum(a.nbytes for s in sums.values() for a in s.arrays().values()) for sums in (few, many)]
    assert size[0] == size[1] < 12_000 * 3


def test_honest_sums_pass_and_made_up_ones_are_refused_in_one_line():
    sums = sums_of(measured([0, 1], 1, 40))["maml"]
    assert sums.wrong(FEATURES, 40, bounded=True) is None
    forged = {
        "not finite": {"episodes": sums.episodes * np.nan},
        r"is \[3, 3\], not \[20, 20\]": {"episodes": np.eye(3)},
        "no sum of squares": {"domains": sums.domains - 50 * np.eye(FEATURES + 2) * (np.arange(FEATURES + 2) > 0)},
        "gains beyond 1": {"episodes": sums.episodes + np.diag([0.0] * (FEATURES + 1) + [1e6])},
        "at most 40 were asked for": {"episodes": 100 * sums.episodes, "shots": 100 * sums.shots},
    }
    for reason, change in forged.items():
        found = replace(sums, **change).wrong(FEATURES, 40, bounded=True)
        assert re.search(reason, found or "")
