"""RL2 beside plain strategies on the same trials: bandits, decision processes and market regimes."""

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch

from learners.decisions.playing import Recurrent, play
from learners.decisions.rl2 import RL2
from learners.decisions.rl2_train import throughput
from tasks.base.progress import progress
from tasks.base.settings import Settings
from tasks.bench.decisions.stocks import PROBLEM, bench_stocks
from tasks.bench.images.fewshot import stopwatch
from tasks.bench.options import BenchOptions, Row
from tasks.decisions.comparison import TRIALS, compare_players, figure_row
from tasks.decisions.problems import VALIDATION, DecisionProblem, find_problems, new_policy

ROUNDS, REPEATS = 8, 5  # iterations a measurement of speed, and measurements
MEMORIES = ("gru", "attention", "slots")
DEFAULT = ("bandit-k5-n10", "bandit-k10-n10", "bandit-k5-n100", "bandit-k10-n100", "mdp-n10")


def bench_rl2(settings: Settings, options: BenchOptions, say: Callable[[str], None] = print) -> list[Row]:
    """Return what every player gains in the same trials of every problem, and how RL2 compares with the best rival.

    Protocol: 1,000 trials that no training saw; every player meets the same trials, and for the same action at the same
    time the same chances. Mean reward of a trial with a 95 % Student-t interval over trials; differences are paired.
    Methods are memories (gru, attention, slots, none); unless said, that of a problem's recipe.

    Raises:
        UserError: there is no such problem or memory.
    """
    rows: list[Row] = []
    memories = {f"rl2 {memory}": memory for memory in options.methods} or {"rl2": ""}
    names = options.domains or (*DEFAULT, PROBLEM)
    todo = find_problems([name for name in names if name != PROBLEM])
    for problem in todo:
        policies, seconds = dict[str, RL2](), dict[str, float]()
        for name, memory in memories.items():
            own = problem.with_memory(memory, "").with_training(options.steps, settings.seed)
            with progress(f"train {name} {own.name}", own.how.total) as advance:
                policies[name], seconds[name] = train_policy(own, settings.home_path / "bench" / "rl2", advance)
        rows += compare_players(problem, policies, options.draws or TRIALS, settings.seed, seconds)
        if problem.name == DEFAULT[0]:
            for memory in MEMORIES:
                rows += speed_rows(problem.with_memory(memory, "none"), settings.seed, options.torch_device)
        say(f"{problem.name}: " + ", ".join(f"{r['method']} {r['value']}" for r in rows if r["domain"] == problem.name))
    return rows + (bench_stocks(settings, options, say) if PROBLEM in names else [])


def train_policy(
    problem: DecisionProblem, folder: Path, advance: Callable[[int], None] = lambda n: None
) -> tuple[RL2, float]:
    """Return a trained policy and the CPU seconds that it took; a training that was done before is not done again."""
    path = folder / f"{problem.name}-{problem.key}.checkpoint"
    with stopwatch(path.with_suffix(".seconds")) as spent:
        policy, _ = problem.train(path, advance)
    return policy, spent()


def speed_rows(problem: DecisionProblem, seed: int, device: str) -> list[Row]:
    """Return the rows of environment steps a second of a memory, in training and in play, on one core or a GPU.

    Counted in training: steps that were played and learned from (every one ``epochs`` times), over the wall-clock time
    of both; validation and checkpoints left out. In play: steps of all trials at once.
    """
    torch.set_num_threads(1)
    policy, how, envs = (
        new_policy(problem).to(device),
        replace(problem.how, iterations=ROUNDS),
        problem.make(VALIDATION),
    )
    trained = [throughput(policy, problem.make(problem.trials), replace(how, seed=seed + i)) for i in range(REPEATS)]
    played = []
    for i in range(REPEATS):
        started = time.perf_counter()
        play(envs, Recurrent(policy), problem.steps, seed + i)
        played.append(VALIDATION * problem.steps / (time.perf_counter() - started))
    found = (("training", trained), ("play", played))
    return [figure_row(problem, f"rl2 {problem.memory}", f"steps a second in {what}, {device}", n) for what, n in found]
