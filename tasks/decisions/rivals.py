"""Who RL2 is compared with in a problem: the strategies of Duan et al. 2016, tuned as there on trials of their own."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from domains.decisions.bandit import Bandits
from domains.decisions.mdp import TabularMDPs
from learners.decisions.bandits import UCB1, EpsilonGreedy, Gittins, Greedy, Thompson
from learners.decisions.bonuses import BEB, BonusPlanner
from learners.decisions.planning import EpsilonGreedyPlanner, Planner
from learners.decisions.playing import Player, Uniform, play
from learners.decisions.psrl import PSRL, OptimisticPSRL
from learners.decisions.ucrl2 import UCRL2
from tasks.decisions.problems import HORIZON, DecisionProblem

TUNING = 2000  # trials of a bandit, and half of that of a process, which are longer
BOUNDS = (0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0)  # c of UCB1
EPSILONS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.3)
BETAS = (0.3, 0.5, 0.7, 1.0, 1.4, 2.0)  # of bonuses
SCALES = (0.01, 0.02, 0.05, 0.1, 0.2, 0.3)  # of UCRL2's distances
DRAWS, MEANS = (2, 5, 10), (0.0, 1.0)  # of OPSRL; 0 is what its authors expect of rewards, 1 is true


def rivals(problem: DecisionProblem, seed: int) -> Mapping[str, Player]:
    """Return players by name for a problem; seed: of the trials that constants are tuned on, and of what is random."""
    envs = problem.make(TUNING)
    if isinstance(envs, Bandits):
        return bandit_rivals(envs, problem.steps, seed)
    if isinstance(envs, TabularMDPs):
        return process_rivals(problem.make(TUNING // 2), problem.steps, seed)
    return {}


def bandit_rivals(envs: Bandits, steps: int, seed: int) -> Mapping[str, Player]:
    """Return players of bandits by name."""
    k = envs.arms
    return {
        "gittins": Gittins(k),
        "ucb1": best_player([UCB1(k, c) for c in BOUNDS], envs, steps, seed),
        "thompson": Thompson(k, seed),
        "epsilon-greedy": best_player([EpsilonGreedy(k, e, seed) for e in EPSILONS], envs, steps, seed),
        "greedy": Greedy(k),
        "random": Uniform(k, seed),
    }


def process_rivals(envs: TabularMDPs, steps: int, seed: int) -> Mapping[str, Player]:
    """Return players of decision processes by name. They plan once an episode unless their name says otherwise."""
    about = envs.states, envs.actions, HORIZON, seed + 1  # not the seed of the trials, whose processes it could draw
    tuned: Mapping[str, Sequence[Planner]] = {
        "opsrl": [OptimisticPSRL(*about, mean=mean, draws=k) for mean in MEANS for k in DRAWS],
        "ucrl2": [UCRL2(*about, scale=scale) for scale in SCALES],
        "beb": [BEB(*about, beta=beta) for beta in BETAS],
        "beb at every step": [BEB(*about, stepwise=True, beta=beta) for beta in BETAS],
        "bonus": [BonusPlanner(*about, beta=beta) for beta in BETAS],
        "bonus at every step": [BonusPlanner(*about, stepwise=True, beta=beta) for beta in BETAS],
        "epsilon-greedy": [EpsilonGreedyPlanner(*about, epsilon=epsilon) for epsilon in EPSILONS],
    }
    best = {name: best_player(players, envs, steps, seed) for name, players in tuned.items()}
    return {"psrl": PSRL(*about)} | best | {"greedy": Planner(*about), "random": Uniform(envs.actions, seed + 1)}


def best_player(players: Sequence[Any], envs: Any, steps: int, seed: int) -> Any:
    """Return the player that gains most on trials that nothing else uses."""
    gain: Callable[[Any], float] = lambda player: float(play(envs, player, steps, seed)[0].sum(0).mean())  # noqa: E731
    return max(players, key=gain)
