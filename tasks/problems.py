"""Problems of decisions in sequence by name, and how a policy is trained on each."""

import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import torch

from domains.decisions.bandit import Bandits
from domains.decisions.mdp import TabularMDPs
from domains.decisions.trials import sizes
from domains.errors import UserError
from learners.bandits import RULES, play
from learners.ppo import PPO, Learning, collect, train
from learners.psrl import play_psrl
from learners.rl2 import RL2

DEFAULT = "bandit-5x10"
LONGEST = 1000  # steps of a trial: the update goes back through all of them
HIDDEN = 64
TRIALS, TEST = 1000, 1_000_003  # that everyone is tested on, and their seed; training draws from others
STEPS = 50_000  # of a batch of trials, about


@dataclass(frozen=True)
class Problem:
    """Bandits with ``arms`` arms, or tabular decision processes (None), with so many pulls or episodes a trial."""

    arms: int | None
    length: int

    @classmethod
    def parse(cls, name: str) -> "Problem":
        """Read ``bandit-ARMSxPULLS`` or ``mdp-EPISODES``.

        Raises:
            UserError: it is neither, or too long.
        """
        found = re.fullmatch(r"bandit-([1-9]\d{0,3})x([1-9]\d{0,3})|mdp-([1-9]\d{0,3})", name)
        if found is None:
            raise UserError(
                f"no problem {name!r}: they are bandit-ARMSxPULLS and mdp-EPISODES, as in {DEFAULT}, mdp-10"
            )
        arms, pulls, episodes = (int(group) if group else None for group in found.groups())
        problem = cls(arms, pulls or episodes or 1)
        if arms == 1 or problem.steps > LONGEST:
            raise UserError(f"{name}: at most {LONGEST:,} steps a trial, and 2 arms or more")
        return problem

    @property
    def name(self) -> str:
        return f"bandit-{self.arms}x{self.length}" if self.arms else f"mdp-{self.length}"

    @cached_property
    def steps(self) -> int:
        return self.env(1).steps

    def env(self, trials: int) -> Bandits | TabularMDPs:
        return Bandits(trials, self.arms, self.length) if self.arms else TabularMDPs(trials, self.length)

    def earned(self, policy: RL2) -> np.ndarray:
        """Return what a policy earns in every test trial."""
        env = self.env(TRIALS)
        return collect(policy, env, env.steps, TEST).reward.sum(0).double().numpy()

    def rules(self) -> dict[str, np.ndarray]:
        """Return what each rule that knows how tasks are drawn earns in every test trial."""
        env = self.env(TRIALS)
        if isinstance(env, TabularMDPs):
            return {"PSRL": play_psrl(env, TEST)}
        return {name: play(make(self.length), env, TEST) for name, make in RULES.items()}


@dataclass(frozen=True)
class Recipe:
    """All that fixes a policy: the problem, PPO's settings, trials of a batch, and whether the policy has a memory."""

    problem: Problem
    how: PPO
    trials: int
    memory: bool = True

    @classmethod
    def of(cls, problem: Problem, updates: int | None = None, memory: bool = True, seed: int = 0) -> "Recipe":
        """Return the settings that were tried on the paper's problems: longer and wider ones are trained longer."""
        trials = max(100, min(2000, STEPS // problem.steps))
        hard = problem.arms is None or problem.arms > 5
        how = PPO(updates=200 if hard else 100, rate=5e-3 if problem.arms else 3e-3, seed=seed)
        return cls(problem, how if updates is None else replace(how, updates=updates), trials, memory)

    @property
    def key(self) -> str:
        about = [asdict(self), HIDDEN, torch.__version__]
        return hashlib.sha256(json.dumps(about).encode()).hexdigest()[:16]

    def train(self, path: Path, advance: Callable[[int], None]) -> tuple[RL2, Learning]:
        """Return the trained policy; what was trained before the checkpoint at ``path`` is not trained again."""
        env = self.problem.env(self.trials)
        torch.manual_seed(self.how.seed)  # of the first weights
        policy = RL2(*sizes(env), HIDDEN, self.memory)
        return policy, train(policy, env, env.steps, self.how, path, advance)
