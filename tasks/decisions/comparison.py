"""A trained policy beside plain strategies: what each gains in the same trials, which no training saw."""

import math
from collections.abc import Sequence
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
    problem: DecisionProblem, policy: RL2, trials: int, seed: int, seconds: float
) -> list[dict[str, Any]]:
    """Return a row a player, and the row of RL2's paired difference from the best of its rivals in these trials.

    Args:
        trials: on how many RL2 and its rivals are compared; seconds: of CPU that the training of the policy took.
    """
    envs, steps = problem.make(trials), problem.steps
    players = {"rl2": Recurrent(policy)} | dict(rivals(problem, TUNE + seed))
    gains = {name: play(envs, player, steps, TEST + seed)[0].sum(0) for name, player in players.items()}
    rows = [figure_row(problem, name, "reward of a trial", gain) for name, gain in gains.items()]
    rows[0]["seconds"] = round(seconds, 1)
    first = max((name for name in gains if name not in ("rl2", "random")), key=lambda name: gains[name].mean())
    share = 100 * (gains["rl2"] - gains[first]) / gains[first].mean()
    return [*rows, figure_row(problem, "rl2", f"% more than {first}", share)]


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
