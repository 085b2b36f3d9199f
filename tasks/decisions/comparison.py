"""A trained policy beside plain strategies: what each gains in the same trials, which no training saw."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy.stats import t

from learners.decisions.playing import Recurrent, play
from learners.decisions.rl2 import RL2
from tasks.decisions.problems import DecisionProblem
from tasks.decisions.rivals import rivals

TRIALS = 1000
#: Seeds of the trials that are compared on, and of those that strategies are tuned on; training draws its own.
TEST, TUNE = 1_000_003, 2_000_003


def compare_players(
    problem: DecisionProblem, policies: Mapping[str, RL2], trials: int, seed: int, seconds: Mapping[str, float]
) -> list[dict[str, Any]]:
    """Return a row a player, and for each policy the row of its paired difference from the best rival in these trials.

    Args:
        policies: by name; trials: on how many they and their rivals are compared.
        seconds: of CPU that the training of each policy took, where that is known.
    """
    envs, steps = problem.make(trials), problem.steps
    players = {name: Recurrent(policy) for name, policy in policies.items()} | dict(rivals(problem, TUNE + seed))
    gains = {name: play(envs, player, steps, TEST + seed)[0].sum(0) for name, player in players.items()}
    rows = [figure_row(problem, name, "reward of a trial", gain) for name, gain in gains.items()]
    for row in rows:
        row["seconds"] = round(seconds[row["method"]], 1) if row["method"] in seconds else None
    first = max((name for name in gains if name not in (*policies, "random")), key=lambda name: gains[name].mean())
    for name in policies:
        share = 100 * (gains[name] - gains[first]) / gains[first].mean()
        rows.append(figure_row(problem, name, f"% more than {first}", share))
    return rows


def figure_row(
    problem: DecisionProblem, method: str, metric: str, values: Sequence[float] | np.ndarray
) -> dict[str, Any]:
    """Return the mean of a figure over trials, with a 95 % Student-t interval, as a row of a benchmark."""
    n = len(values)
    half = t.ppf(0.975, n - 1) * np.std(values, ddof=1) / math.sqrt(n) if n > 1 else 0.0
    return {
        "suite": "rl2",
        "domain": problem.name,
        "setting": f"{problem.steps} steps",
        "method": method,
        "metric": metric,
        "value": round(float(np.mean(values)), 4),
        "ci95": round(float(half), 4),
        "n": n,
        "seconds": None,
    }
