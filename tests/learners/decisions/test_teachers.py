"""Any player may watch another play: it is told what was done in place of what it would have done."""

import numpy as np
import pytest
import torch

from domains.decisions.bandit import Bandits
from learners.decisions.bandits import UCB1, EpsilonGreedy, Gittins, Greedy, Thompson
from learners.decisions.bonuses import BEB, BonusPlanner
from learners.decisions.gittins import gittins
from learners.decisions.planning import EpsilonGreedyPlanner, Planner
from learners.decisions.playing import Recurrent
from learners.decisions.psrl import PSRL, OptimisticPSRL
from learners.decisions.rl2 import RL2
from learners.decisions.ucrl2 import UCRL2

TRIALS, STEPS = 7, 16
STATES, ACTIONS, HORIZON = ABOUT = 3, 2, 4
BANDITS = [Gittins(3), UCB1(3, 0.3), Greedy(3), Thompson(3), EpsilonGreedy(3)]
CERTAIN = [kind(*ABOUT, stepwise=s) for kind in (Planner, BonusPlanner, BEB, UCRL2) for s in (False, True)]
RANDOM = [PSRL(*ABOUT), OptimisticPSRL(*ABOUT), EpsilonGreedyPlanner(*ABOUT, epsilon=0.5)]
named = {"ids": lambda player: type(player).__name__ + (" at every step" if getattr(player, "stepwise", 0) else "")}


def history(seed=0):
    """What a player saw who chose at random, whose episodes end early and not together: o, a, r, done and o' [T, E]."""
    rng = np.random.default_rng(seed)
    o = rng.integers(STATES, size=(STEPS + 1, TRIALS))
    a, r = rng.integers(ACTIONS, size=(STEPS, TRIALS)), rng.normal(1, 2, (STEPS, TRIALS))
    done, step = np.zeros((STEPS, TRIALS), bool), np.zeros(TRIALS, int)
    for t in range(STEPS):
        step += 1
        done[t] = (step == HORIZON) | (rng.random(TRIALS) < 0.2)
        step[done[t]] = 0
    return list(zip(o[:-1], a, r, done, o[1:], strict=True))


def watch(player, steps, which=slice(None)):
    """What a teacher says [T, E] while it watches."""
    player.begin(len(steps[0][0][which]), len(steps))
    said = []
    for o, *rest in steps:
        said.append(player.act(o[which]))
        player.learn(rest[0][which], *(part[which] for part in rest[1:]))
    return np.stack(said)


def pulls_by_hand(arms, pays):
    """Successes and failures [E, k] of arms [T, E] that paid [T, E]."""
    found = np.zeros((2, TRIALS, 3), int)
    for arm, paid in zip(arms, pays, strict=True):
        for e in range(TRIALS):
            found[0 if paid[e] else 1, e, arm[e]] += 1
    return found


@pytest.mark.parametrize("teacher", BANDITS, **named)
def test_a_teacher_of_bandits_counts_what_the_other_pulled(teacher):
    rng = np.random.default_rng(0)
    arms, pays = rng.integers(3, size=(STEPS, TRIALS)), rng.integers(2, size=(STEPS, TRIALS))
    nothing, done, index = np.zeros(TRIALS, int), np.ones(TRIALS, bool), gittins(STEPS)
    teacher.begin(TRIALS, STEPS)
    for t in range(STEPS):
        said = teacher.act(nothing)
        won, lost = pulls_by_hand(arms[:t], pays[:t])
        mean, n = (won + 1) / (won + lost + 2), won + lost + 2
        scores = {
            Gittins: index[STEPS - t, won, lost],
            UCB1: mean + 0.3 * np.sqrt(2 * np.log(t + 1) / n),
            Greedy: mean,
        }.get(type(teacher))
        if scores is not None:
            assert scores[np.arange(TRIALS), said] == pytest.approx(scores.max(1))
        teacher.learn(arms[t], pays[t], done, nothing)
    assert np.array_equal([teacher.successes, teacher.failures], pulls_by_hand(arms, pays))


def posterior_by_hand(steps, e):
    """Weights [S, A, S'], and 1 + n and 1 + g [S, A], of the steps of one trial."""
    weights, counts, sums = np.ones((STATES, ACTIONS, STATES)), np.ones((STATES, ACTIONS)), np.ones((STATES, ACTIONS))
    for o, a, r, done, after in steps:
        at = o[e], a[e]
        counts[at] += 1
        sums[at] += r[e]
        if not done[e]:
            weights[(*at, after[e])] += 1
    return weights, counts, sums


def values_by_hand(steps, e, left, bonus):
    """Values of actions [S, A] with so many steps left, by the posterior means and a bonus of 1 + n."""
    weights, counts, sums = posterior_by_hand(steps, e)
    q = rewards = sums / counts + bonus(counts)
    for _ in range(left - 1):
        q = rewards + weights / weights.sum(-1, keepdims=True) @ q.max(1)
    return q


@pytest.mark.parametrize("teacher", [p for p in CERTAIN if not isinstance(p, UCRL2)], **named)
def test_a_planner_that_watches_says_what_is_best_by_what_the_other_did(teacher):
    bonus = {Planner: lambda n: 0 * n, BonusPlanner: lambda n: 0.6 / np.sqrt(n), BEB: lambda n: 0.6 / n}[type(teacher)]
    steps = history()
    said = watch(teacher, steps)
    for e in range(TRIALS):
        began = 0
        for t, (o, _, _, done, _) in enumerate(steps):
            known = steps[: t if teacher.stepwise else began]
            q = values_by_hand(known, e, HORIZON - (t - began), bonus)[o[e]]
            assert q[said[t, e]] == pytest.approx(q.max(), rel=1e-5)
            began = t + 1 if done[e] else began


@pytest.mark.parametrize("teacher", CERTAIN + RANDOM, **named)
def test_a_planner_knows_what_the_other_did_and_not_what_it_said(teacher):
    steps = history()
    watch(teacher, steps)
    for e in range(TRIALS):
        weights, counts, sums = posterior_by_hand(steps, e)
        assert teacher.known.weights[..., e] == pytest.approx(weights.swapaxes(0, 1))
        assert teacher.known.counts[..., e] == pytest.approx(counts.T)
        assert teacher.known.sums[..., e] == pytest.approx(sums.T, rel=1e-5)


@pytest.mark.parametrize("teacher", CERTAIN, **named)
def test_trials_whose_episodes_end_apart_do_not_touch_one_another(teacher):
    steps = history()
    together = watch(teacher, steps)
    alone = [watch(teacher, steps, slice(e, e + 1))[:, 0] for e in range(TRIALS)]
    assert np.array_equal(together, np.stack(alone, 1))


@pytest.mark.parametrize("teacher", RANDOM[:2], **named)
def test_a_process_is_drawn_anew_only_where_an_episode_begins(teacher):
    teacher.begin(TRIALS, STEPS)
    before, begins = teacher.q.copy(), np.ones(TRIALS, bool)
    for o, a, r, done, after in history():
        teacher.act(o)
        assert np.array_equal((teacher.q != before).any((0, 1, 2)), begins)
        teacher.learn(a, r, done, after)
        before, begins = teacher.q.copy(), done


def test_a_teacher_need_not_be_asked_at_every_step():
    steps, one, other = history(), BonusPlanner(*ABOUT, stepwise=True), BonusPlanner(*ABOUT, stepwise=True)
    said = watch(one, steps)
    other.begin(TRIALS, STEPS)
    for t, (o, *rest) in enumerate(steps):
        if t % 3 == 0:
            assert np.array_equal(other.act(o), said[t])
        other.learn(*rest)


def test_a_policy_that_watches_another_player_of_itself_is_of_the_same_mind():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        policy = RL2(1, 3, 8)
        torch.nn.init.normal_(policy.policy.weight)
    student, teacher = Recurrent(policy, torch.Generator().manual_seed(0)), Recurrent(policy)
    envs, differ = Bandits(TRIALS, 3), 0
    observation, _ = envs.reset(seed=0)
    student.begin(TRIALS, STEPS)
    teacher.begin(TRIALS, STEPS)
    for _ in range(STEPS):
        action, said = student.act(observation), teacher.act(observation)
        assert torch.equal(student.logits, teacher.logits)
        differ += (action != said).sum()
        observation, reward, done, *_ = envs.step(action)
        for player in (student, teacher):
            player.learn(action, reward, done, observation)
    assert differ > 0
