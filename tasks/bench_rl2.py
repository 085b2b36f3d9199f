"""RL2 on the problems of its paper, beside rules that know how the tasks are drawn, on the same tasks."""

import hashlib
import json
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass

import numpy as np
import torch
from scipy.stats import t

from domains.decisions.bandit import Bandits
from domains.decisions.mdp import TabularMDPs
from domains.decisions.trials import sizes
from domains.errors import UserError
from learners.bandits import RULES, play
from learners.ppo import PPO, collect, train
from learners.psrl import play_psrl
from learners.rl2 import RL2
from tasks.bench import Asked, Row
from tasks.settings import Settings

TRIALS = 1000  # that everyone is tested on
TEST = 1_000_003  # their seed; training draws from others
METHODS = ("rl2", "without memory", "rules")


@dataclass(frozen=True)
class Problem:
    """A kind of task of the paper: a bandit of ``arms``, or decision processes, with so many pulls or episodes."""

    arms: int | None
    length: int
    hidden: int
    trials: int
    how: PPO

    @property
    def name(self) -> str:
        return f"bandit k={self.arms} n={self.length}" if self.arms else f"MDP n={self.length}"

    def env(self, trials: int) -> Bandits | TabularMDPs:
        return Bandits(trials, self.arms, self.length) if self.arms else TabularMDPs(trials, self.length)

    def rules(self, env: Bandits | TabularMDPs, seed: int) -> dict[str, np.ndarray]:
        """Return what each rule earns in every trial."""
        if isinstance(env, TabularMDPs):
            return {"PSRL": play_psrl(env, seed)}
        return {name: play(make(self.length), env, seed) for name, make in RULES.items()}


PROBLEMS = (
    Problem(5, 10, 64, 2000, PPO(updates=100, rate=5e-3)),
    Problem(10, 10, 64, 2000, PPO(updates=150, rate=5e-3)),
    Problem(5, 100, 64, 500, PPO(updates=100, rate=5e-3)),
    Problem(10, 100, 64, 500, PPO(updates=150, rate=5e-3)),
    Problem(None, 10, 64, 500, PPO(updates=150, rate=3e-3)),
)
DEFAULT = ("rl2", "rules")


def updates(asked: Asked) -> int:
    """Return how many updates all trainings have together."""
    kinds = sum(name in (asked.methods or DEFAULT) for name in METHODS[:2])
    return kinds * sum(asked.steps or problem.how.updates for problem in PROBLEMS)


def rl2(settings: Settings, asked: Asked, advance: Callable[[int], None], say: Callable[[str], None]) -> list[Row]:
    """Return the mean reward of a trial, with a 95 % interval over trials, and training's steps a second.

    Trained on fresh tasks, tested on 1,000 others that all methods share; one seed of training. Trainings that were
    interrupted go on; those that were finished are kept.

    Raises:
        UserError: a method is unknown.
    """
    for method in asked.methods:
        if method not in METHODS:
            raise UserError(f"no method {method!r} in this benchmark; there are: {', '.join(METHODS)}")
    torch.set_num_threads(1)
    rows: list[Row] = []
    for problem in PROBLEMS:
        env, earned, speed = problem.env(TRIALS), {}, {}
        for method in asked.methods or DEFAULT:
            if method == "rules":
                earned |= problem.rules(env, TEST)
            else:
                policy, speed[method] = trained(settings, problem, method == "rl2", asked.steps, advance)
                earned[method] = collect(policy, env, env.steps, TEST).reward.sum(0).double().numpy()
        for method, values in earned.items():
            half = float(t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / math.sqrt(len(values)))
            row = {"suite": "rl2", "domain": problem.name, "setting": f"{TRIALS} trials", "method": method}
            rows.append(row | {"metric": "reward", "value": round(float(values.mean()), 3), "ci95": round(half, 3)})
            rows[-1] |= {"n": TRIALS, "steps_a_second": speed.get(method)}
            say(f"{problem.name} {method}: {values.mean():.2f} ± {half:.2f}")
    return rows


def trained(
    settings: Settings, problem: Problem, memory: bool, steps: int | None, advance: Callable[[int], None]
) -> tuple[RL2, int | None]:
    """Return the trained policy, and how many steps a second it learnt from, collecting included, where it did now."""
    how = problem.how if steps is None else PPO(**asdict(problem.how) | {"updates": steps})
    env = problem.env(problem.trials)
    torch.manual_seed(how.seed)
    policy = RL2(*sizes(env), problem.hidden, memory)
    about = [problem.name, problem.hidden, problem.trials, memory, asdict(how), torch.__version__]
    key = hashlib.sha256(json.dumps(about).encode()).hexdigest()[:16]
    done, started = [0], time.perf_counter()

    def count(updates: int) -> None:
        done.append(updates)
        advance(updates)

    train(policy, env, env.steps, how, settings.home_path / "bench" / f"rl2-{key}.checkpoint", count)
    now = [n for n in done if n == 1]
    seconds = time.perf_counter() - started
    return policy, round(len(now) * problem.trials * env.steps / seconds) if len(now) == how.updates else None
