"""RL2 beside plain strategies on the same trials: bandits, decision processes and market regimes."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch

from learners.decisions.rl2 import RL2
from learners.decisions.rl2_train import throughput
from tasks.base.progress import progress
from tasks.base.settings import Settings
from tasks.bench.decisions.stocks import PROBLEM, bench_stocks
from tasks.bench.images.fewshot import stopwatch
from tasks.bench.options import BenchOptions, Row
from tasks.decisions.comparison import TRIALS, compare_players, figure_row
from tasks.decisions.problems import DecisionProblem, find_problems, new_policy

ROUNDS, REPEATS = 8, 5  # iterations a measurement of speed, and measurements
DEFAULT = ("bandit-k5-n10", "bandit-k10-n10", "bandit-k5-n100", "bandit-k10-n100", "mdp-n10")


def bench_rl2(settings: Settings, options: BenchOptions, say: Callable[[str], None] = print) -> list[Row]:
    """Return what every player gains in the same trials of every problem, and how RL2 compares with the best rival.

    Protocol: 1,000 trials that no training saw; every player meets the same trials, and for the same action at the same
    time the same chances. Mean reward of a trial with a 95 % Student-t interval over trials; differences are paired.

    Raises:
        UserError: there is no such problem.
    """
    rows: list[Row] = []
    names = options.domains or (*DEFAULT, PROBLEM)
    todo = find_problems([name for name in names if name != PROBLEM])
    for problem in todo:
        own = problem.with_training(options.steps, settings.seed)
        with progress(f"train {own.name}", own.how.total) as advance:
            policy, seconds = train_policy(own, settings.home_path / "bench" / "rl2", advance)
        rows += compare_players(own, policy, options.draws or TRIALS, settings.seed, seconds)
        if own.name == DEFAULT[0]:
            rows.append(speed_row(own, settings.seed))
        say(f"{own.name}: " + ", ".join(f"{r['method']} {r['value']}" for r in rows if r["domain"] == own.name))
    return rows + (bench_stocks(settings, options, say) if PROBLEM in names else [])


def train_policy(
    problem: DecisionProblem, folder: Path, advance: Callable[[int], None] = lambda n: None
) -> tuple[RL2, float]:
    """Return a trained policy and the CPU seconds that it took; a training that was done before is not done again."""
    path = folder / f"{problem.name}-{problem.key}.checkpoint"
    with stopwatch(path.with_suffix(".seconds")) as spent:
        policy, _ = problem.train(path, advance)
    return policy, spent()


def speed_row(problem: DecisionProblem, seed: int) -> Row:
    """Return the row of environment steps a second while training as the recipe does, on one core.

    Counted: steps that were played and learned from (every one ``epochs`` times), over the wall-clock time of both;
    validation and checkpoints left out.
    """
    torch.set_num_threads(1)
    policy, how = new_policy(problem), replace(problem.how, iterations=ROUNDS)
    found = [throughput(policy, problem.make(problem.trials), replace(how, seed=seed + i)) for i in range(REPEATS)]
    return figure_row(problem, "rl2", "steps a second in training", found)
