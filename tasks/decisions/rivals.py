"""Who RL2 is compared with in a problem: the strategies of Duan et al. 2016, tuned as there on trials of their own."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from domains.decisions.bandit import Bandits
from domains.decisions.mdp import TabularMDPs
from learners.decisions.bandits import UCB1, EpsilonGreedy, Gittins, Greedy, Thompson
from learners.decisions.playing import Player, Uniform, play
from learners.decisions.psrl import PSRL
from tasks.decisions.problems import HORIZON, DecisionProblem

TUNING = 2000  # trials
BOUNDS = (0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0)  # c of UCB1
EPSILONS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.3)
INDICES = ("gittins", "ucb1", "thompson", "epsilon-greedy", "greedy")


def rivals(problem: DecisionProblem, seed: int) -> Mapping[str, Player]:
    """Return players by name for a problem; seed: of the trials that constants are tuned on, and of what is random."""
    envs = problem.make(TUNING)
    if isinstance(envs, Bandits):
        k = envs.arms
        return {
            "gittins": Gittins(k),
            "ucb1": best_player([UCB1(k, c) for c in BOUNDS], envs, problem.steps, seed),
            "thompson": Thompson(k, seed),
            "epsilon-greedy": best_player([EpsilonGreedy(k, e, seed) for e in EPSILONS], envs, problem.steps, seed),
            "greedy": Greedy(k),
            "random": Uniform(k, seed),
        }
    if isinstance(envs, TabularMDPs):
        about = envs.states, envs.actions, HORIZON
        return {
            "psrl": PSRL(*about, seed=seed),
            "greedy": PSRL(*about, sampled=False),
            "random": Uniform(envs.actions, seed),
        }
    return {}


def best_player(players: Sequence[Any], envs: Any, steps: int, seed: int) -> Any:
    """Return the player that gains most on trials that nothing else uses."""
    gain: Callable[[Any], float] = lambda player: float(play(envs, player, steps, seed)[0].sum(0).mean())  # noqa: E731
    return max(players, key=gain)
