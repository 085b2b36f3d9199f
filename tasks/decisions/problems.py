"""What RL2 is trained to play, and how: the bandits and decision processes of Duan et al. 2016 by name."""

import hashlib
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from domains.decisions.bandit import Bandits
from domains.decisions.mdp import TabularMDPs
from domains.decisions.spaces import sizes
from domains.errors import check_known
from learners.decisions.rl2 import RL2
from learners.decisions.rl2_train import PPO, Curve, train

VALIDATION = 2000  # trials
STEPS = 51_200  # of all trials of an iteration, where a trial is long
HORIZON = 10  # steps of an episode of a decision process
LONGEST = 100  # steps of a trial that is learned from; see ``DecisionProblem``


@dataclass(frozen=True)
class DecisionProblem:
    """Trials of one kind, and how RL2 is trained on them.

    Longer trials than LONGEST are played by a policy of their beginnings (``how.steps``): what it has to learn of an
    environment is decided there, and in the same time it sees more environments.

    Args:
        make: makes the vectorised environment of so many trials; steps: of a trial.
        trials: that are learned from at once; hidden: numbers in the policy's state; how: the rest of the recipe.
        learned: the problem whose trials are learned from.
    """

    name: str
    make: Callable[[int], Any]
    steps: int
    trials: int
    hidden: int
    how: PPO
    learned: str

    @property
    def key(self) -> str:
        """The name of what is trained: the same trials, recipe and code version."""
        parts = [self.learned, self.trials, self.hidden, asdict(self.how), version("acclimate")]
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:12]

    def with_training(self, iterations: int | None, seed: int = 0) -> "DecisionProblem":
        """Return the problem with another number of iterations, if one is given, and a seed."""
        iterations = iterations or self.how.iterations
        return replace(
            self, how=replace(self.how, iterations=iterations, every=min(self.how.every, iterations), seed=seed)
        )

    def train(
        self, path: Path | None = None, advance: Callable[[int], None] = lambda n: None, memory: bool = True
    ) -> tuple[RL2, Curve]:
        """Train a policy, going on from the checkpoint at ``path`` if there is one. On one thread: see ``train``."""
        torch.set_num_threads(1)
        policy = new_policy(self, memory)
        return policy, train(policy, self.make(self.trials), self.make(VALIDATION), self.how, path, advance)


def new_policy(problem: DecisionProblem, memory: bool = True) -> RL2:
    """Return a policy of a problem's sizes as it is before training; see ``untrained_policy``."""
    return untrained_policy(problem.make(1), problem.hidden, problem.how.seed, memory)


def untrained_policy(envs: Any, hidden: int, seed: int, memory: bool = True) -> RL2:
    """Return a policy of an environment's sizes, its first weights fixed by the seed.

    Raises:
        UserError: the environment's spaces do not fit; see ``sizes``.
    """
    found = sizes(envs)
    with torch.random.fork_rng():  # torch's modules draw their starts from the global generator only
        torch.manual_seed(seed)
        return RL2(found.observations, found.actions, hidden, memory)


def short_trials(steps: int) -> PPO:
    """Return how trials of few steps are learned: from many at a time."""
    return PPO(iterations=300, steps=steps, minibatches=8, rate=5e-3, trace=0.6, entropy=0.02, every=20)


def long_trials(steps: int) -> PPO:
    """Return how trials of many steps are learned: often, with credit that reaches far back."""
    return PPO(
        iterations=240,
        steps=steps,
        epochs=4,
        minibatches=8,
        rate=5e-3,
        discount=0.99,
        trace=0.95,
        entropy=0.02,
        every=30,
    )


def bandit_problem(arms: int, pulls: int) -> DecisionProblem:
    """Return k-armed Bernoulli bandits of n pulls."""
    name, learned = (f"bandit-k{arms}-n{n}" for n in (pulls, min(pulls, LONGEST)))
    trials, how = (2048, short_trials(pulls)) if pulls <= 10 else (STEPS // LONGEST, long_trials(LONGEST))
    return DecisionProblem(name, lambda n: Bandits(n, arms), pulls, trials, 64, how, learned)


def mdp_problem(episodes: int) -> DecisionProblem:
    """Return tabular decision processes of n episodes of HORIZON steps."""
    name, learned = (f"mdp-n{n}" for n in (episodes, min(episodes, LONGEST // HORIZON)))
    make, how = partial(TabularMDPs, horizon=HORIZON), long_trials(LONGEST)
    return DecisionProblem(name, make, HORIZON * episodes, STEPS // LONGEST, 64, how, learned)


#: The settings of the paper's tables 1 and 2 that a bench or a meta-training may name.
ARMS, PULLS, EPISODES = (5, 10, 50), (10, 100, 500), (10, 25, 50, 75, 100)
NAMES = tuple([f"bandit-k{k}-n{n}" for n in PULLS for k in ARMS] + [f"mdp-n{n}" for n in EPISODES])


def find_problem(name: str) -> DecisionProblem:
    """Return a problem by name.

    Raises:
        UserError: there is none.
    """
    check_known([name], NAMES, "problem")
    kind, *numbers = re.split(r"-[kn]", name)
    kinds: dict[str, Callable[..., DecisionProblem]] = {"bandit": bandit_problem, "mdp": mdp_problem}
    return kinds[kind](*map(int, numbers))


def find_problems(names: Sequence[str]) -> list[DecisionProblem]:
    """Return problems by name, each once; see ``find_problem``."""
    return [find_problem(name) for name in dict.fromkeys(names)]
