"""What RL2 is trained to play, and how: the bandits and decision processes of Duan et al. 2016 by name."""

import hashlib
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from domains.decisions.bandit import Bandits
from domains.decisions.mdp import TabularMDPs
from domains.decisions.spaces import sizes
from domains.errors import UserError
from learners.rl2 import RL2
from learners.rl2_train import PPO, Curve, train

VALIDATION = 2000  # trials
HORIZON = 10  # steps of an episode of a decision process


@dataclass(frozen=True)
class Game:
    """Trials of one kind, and how RL2 is trained on them.

    Args:
        make: makes the vectorised environment of so many trials.
        trials: that are played at once; hidden: numbers in the policy's state; how: the rest of the recipe.
    """

    name: str
    make: Callable[[int], Any]
    trials: int
    hidden: int
    how: PPO

    @property
    def key(self) -> str:
        """The name of what is trained: the same game, recipe and code version."""
        parts = [self.name, self.trials, self.hidden, asdict(self.how), version("acclimate")]
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:12]

    def asked(self, iterations: int | None, seed: int = 0) -> "Game":
        """Return the game with another number of iterations, if one is given, and a seed."""
        iterations = iterations or self.how.iterations
        return replace(
            self, how=replace(self.how, iterations=iterations, every=min(self.how.every, iterations), seed=seed)
        )

    def train(
        self, path: Path | None = None, advance: Callable[[int], None] = lambda n: None, memory: bool = True
    ) -> tuple[RL2, Curve]:
        """Train a policy, going on from the checkpoint at ``path`` if there is one. On one thread: see ``train``."""
        torch.set_num_threads(1)
        envs = self.make(self.trials)
        found = sizes(envs)
        with torch.random.fork_rng():  # torch's modules draw their starts from the global generator only
            torch.manual_seed(self.how.seed)
            policy = RL2(found.observations, found.actions, self.hidden, memory)
        return policy, train(policy, envs, self.make(VALIDATION), self.how, path, advance)


def bandit(arms: int, pulls: int) -> Game:
    """Return k-armed Bernoulli bandits of n pulls."""
    how = PPO(iterations=300, steps=pulls, every=30)
    return Game(f"bandit-k{arms}-n{pulls}", lambda n: Bandits(n, arms), 1024 if pulls <= 10 else 256, 48, how)


def mdp(episodes: int) -> Game:
    """Return tabular decision processes of n episodes of HORIZON steps."""
    how = PPO(iterations=300, steps=HORIZON * episodes, every=30)
    return Game(f"mdp-n{episodes}", lambda n: TabularMDPs(n, horizon=HORIZON), 256, 64, how)


#: The settings of the paper's tables 1 and 2 that a bench or a meta-training may name.
ARMS, PULLS, EPISODES = (5, 10, 50), (10, 100, 500), (10, 25, 50, 75, 100)
NAMES = tuple([f"bandit-k{k}-n{n}" for n in PULLS for k in ARMS] + [f"mdp-n{n}" for n in EPISODES])


def game(name: str) -> Game:
    """Return a game by name.

    Raises:
        UserError: there is none.
    """
    if name not in NAMES:
        raise UserError(f"no game {name!r}; there are: {', '.join(NAMES)}")
    kind, *numbers = re.split(r"-[kn]", name)
    return {"bandit": bandit, "mdp": mdp}[kind](*map(int, numbers))


def games(names: Sequence[str]) -> list[Game]:
    """Return games by name, each once; see ``game``."""
    return [game(name) for name in dict.fromkeys(names)]
