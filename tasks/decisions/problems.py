"""What RL2 is trained to play, and how: the bandits and decision processes of Duan et al. 2016 by name."""

import hashlib
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, cast

import torch

from domains.decisions.bandit import Bandits
from domains.decisions.mdp import TabularMDPs
from domains.decisions.spaces import sizes
from domains.errors import check_known
from learners.decisions.rl2 import RL2, Memory
from learners.decisions.rl2_train import PPO, Curve, Imitation, train
from tasks.decisions.teachers import NOBODY, find_teacher

VALIDATION, VALIDATION_STEPS = 2000, 200_000  # trials, and steps of all of them together, at most
STEPS = 25_600  # of all trials of an iteration; of decision processes twice as many
HIDDEN = {"gru": 64, "attention": 64, "slots": 16, "none": 64}  # numbers in the output of each memory
HORIZON = 10  # steps of an episode of a decision process
LONG_PULLS, SHORT_EPISODES, LONG_EPISODES = 100, 10, 25  # of trials whose policies start those of longer ones


@dataclass(frozen=True)
class DecisionProblem:
    """Trials of one kind, and how RL2 is trained on them.

    Args:
        make: makes the vectorised environment of so many trials; steps: of a trial.
        trials: that are learned from at once; hidden: numbers in the policy's state; how: the rest of the recipe.
        memory: what the policy keeps of a trial; teacher: whom it imitates first, or ``none``.
        start: the problem, of shorter trials as a rule, whose trained policy it starts from; None: from nothing.
    """

    name: str
    make: Callable[[int], Any]
    steps: int
    trials: int
    hidden: int
    how: PPO
    memory: Memory = "gru"
    teacher: str = NOBODY
    start: "DecisionProblem | None" = None

    @property
    def total(self) -> int:
        """Iterations of all training, that of the start too."""
        return self.how.total + (0 if self.start is None else self.start.total)

    @property
    def key(self) -> str:
        """The name of what is trained: the same trials, recipe, start and code version."""
        kept = self.memory, self.teacher
        parts = [self.name, self.trials, self.hidden, kept, asdict(self.how), version("acclimate")]
        parts += [] if self.start is None else [self.start.key]
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:12]

    def with_training(self, iterations: int | None, seed: int = 0) -> "DecisionProblem":
        """Return the problem, and its start, with a seed, and so many iterations in all of each, if they are said."""
        how, total = self.how, iterations or self.how.total
        taught = round(total * how.imitation.iterations / how.total)
        imitation = replace(how.imitation, iterations=taught)
        how = replace(how, iterations=total - taught, imitation=imitation, every=min(how.every, total), seed=seed)
        return replace(self, how=how, start=self.start and self.start.with_training(iterations, seed))

    def with_memory(self, memory: str, teacher: str) -> "DecisionProblem":
        """Return the problem with another memory and teacher; what is not said ("") stays as it is.

        Raises:
            UserError: there is no such memory, or no such teacher for this problem.
        """
        memory, teacher = memory or self.memory, teacher or self.teacher
        check_known([memory], HIDDEN, "memory")
        taught = find_teacher(teacher, self.make(1)) is not None
        how = self.how if taught else replace(self.how, imitation=Imitation())
        hidden = self.hidden if memory == self.memory else HIDDEN[memory]
        start = self.start and self.start.with_memory(memory, teacher)
        return replace(self, memory=cast("Memory", memory), teacher=teacher, hidden=hidden, how=how, start=start)

    def checkpoint_in(self, folder: Path) -> Path:
        """Return the file of its checkpoints in a folder."""
        return folder / f"{self.name}-{self.key}.checkpoint"

    def train(self, path: Path | None = None, advance: Callable[[int], None] = lambda n: None) -> tuple[RL2, Curve]:
        """Train a policy, going on from the checkpoint at ``path`` if there is one. On one thread: see ``train``.

        The start keeps its own beside it (``checkpoint_in``), so that problems of one start train it once.
        """
        torch.set_num_threads(1)
        policy, envs = new_policy(self), self.make(self.trials)
        if self.start is not None and path is not None and path.exists():  # the start is in the checkpoint
            advance(self.start.total)
        elif self.start is not None:
            first, _ = self.start.train(path and self.start.checkpoint_in(path.parent), advance)
            policy.load_state_dict(first.state_dict())
        teacher = find_teacher(self.teacher, envs)
        validation = self.make(min(VALIDATION, VALIDATION_STEPS // self.steps))
        return policy, train(policy, envs, validation, self.how, path, advance, teacher)


def new_policy(problem: DecisionProblem) -> RL2:
    """Return a policy of a problem's sizes as it is before training; see ``untrained_policy``."""
    return untrained_policy(problem.make(1), problem.hidden, problem.how.seed, problem.memory)


def untrained_policy(envs: Any, hidden: int, seed: int, memory: Memory = "gru") -> RL2:
    """Return a policy of an environment's sizes, its first weights fixed by the seed.

    Raises:
        UserError: the environment's spaces do not fit; see ``sizes``.
    """
    found = sizes(envs)
    with torch.random.fork_rng():  # torch's modules draw their starts from the global generator only
        torch.manual_seed(seed)
        return RL2(found.observations, found.actions, hidden, memory)


def bandit_problem(arms: int, pulls: int) -> DecisionProblem:
    """Return k-armed Bernoulli bandits of n pulls: arms are alike, and Gittins indices are known.

    Long trials are played by the policy of shorter ones, taught for a while longer.
    """
    taught = Imitation(iterations=200, minibatches=4, rate=5e-3)
    how = PPO(60, pulls, minibatches=8, rate=5e-4, trace=0.95, clip=0.15, entropy=0.003, every=20, imitation=taught)
    start = None
    if pulls > LONG_PULLS:
        start = bandit_problem(arms, LONG_PULLS)
        how = replace(how, iterations=0, every=5, imitation=replace(taught, iterations=30, rate=1e-3))
    name, make, trials = f"bandit-k{arms}-n{pulls}", partial(Bandits, arms=arms), STEPS // pulls
    return DecisionProblem(name, make, pulls, trials, HIDDEN["slots"], how, "slots", "gittins", start)


def mdp_problem(episodes: int) -> DecisionProblem:
    """Return tabular decision processes of n episodes of HORIZON steps: rewards are of a state and an action.

    Long trials are played by the policy of shorter ones, taught for a while longer.
    """
    steps = HORIZON * episodes
    taught = Imitation(iterations=80, minibatches=8, rate=1e-3)
    how = PPO(150, steps, 2, 8, 2e-4, trace=0.95, clip=0.15, entropy=0.003, every=10, imitation=taught)
    start = None
    if episodes > SHORT_EPISODES:
        start = mdp_problem(SHORT_EPISODES if episodes <= LONG_EPISODES else LONG_EPISODES)
        iterations, rate = (60, 1e-3) if episodes <= LONG_EPISODES else (20, 5e-4)
        how = replace(how, iterations=0, every=5, imitation=replace(taught, iterations=iterations, rate=rate))
    name, make, trials = f"mdp-n{episodes}", partial(TabularMDPs, horizon=HORIZON), 2 * STEPS // steps
    return DecisionProblem(name, make, steps, trials, HIDDEN["attention"], how, "attention", "planner", start)


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
