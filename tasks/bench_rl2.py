"""RL2 on problems of its paper, beside rules that know how the tasks are drawn, on the same tasks."""

import math
import time
from collections.abc import Callable

import torch
from scipy.stats import t

from domains.errors import UserError
from learners.ppo import collect
from learners.rl2 import RL2
from tasks.bench import Asked, Row
from tasks.problems import Problem, Recipe
from tasks.settings import Settings

TRIALS = 1000  # that everyone is tested on
TEST = 1_000_003  # their seed; training draws from others
PROBLEMS = ("bandit-5x10", "bandit-10x10", "bandit-5x100", "bandit-10x100", "mdp-10")
METHODS = ("rl2", "without memory", "rules")
DEFAULT = ("rl2", "rules")


def recipes(asked: Asked) -> list[Recipe]:
    """Return what is to be trained.

    Raises:
        UserError: a method or problem is unknown.
    """
    methods = asked.methods or DEFAULT
    for method in methods:
        if method not in METHODS:
            raise UserError(f"no method {method!r} in this benchmark; there are: {', '.join(METHODS)}")
    problems = [Problem.parse(name) for name in asked.domains or PROBLEMS]
    kinds = [memory for method, memory in (("rl2", True), ("without memory", False)) if method in methods]
    return [Recipe.of(problem, asked.steps, memory) for problem in problems for memory in kinds]


def rl2(settings: Settings, asked: Asked, advance: Callable[[int], None], say: Callable[[str], None]) -> list[Row]:
    """Return the mean reward of a trial, with a 95 % interval over trials, and training's steps a second.

    Trained on fresh tasks, tested on 1,000 others that all methods share; one seed of training. Trainings that were
    interrupted go on, those that were finished are kept.

    Raises:
        UserError: a method or problem is unknown.
    """
    todo = recipes(asked)
    torch.set_num_threads(1)
    rows: list[Row] = []
    for problem in [Problem.parse(name) for name in asked.domains or PROBLEMS]:
        env, earned, speed = problem.env(TRIALS), {}, {}
        for recipe in (recipe for recipe in todo if recipe.problem == problem):
            method = METHODS[0] if recipe.memory else METHODS[1]
            policy, speed[method] = trained(settings, recipe, advance)
            earned[method] = collect(policy, env, env.steps, TEST).reward.sum(0).double().numpy()
        if "rules" in (asked.methods or DEFAULT):
            earned |= problem.rules(env, TEST)
        for method, values in earned.items():
            half = float(t.ppf(0.975, TRIALS - 1) * values.std(ddof=1) / math.sqrt(TRIALS))
            row = {"suite": "rl2", "domain": problem.name, "setting": f"{TRIALS} trials", "method": method}
            row |= {"metric": "reward", "value": round(float(values.mean()), 3), "ci95": round(half, 3)}
            rows.append(row | {"n": TRIALS, "steps_a_second": speed.get(method)})
            say(f"{problem.name} {method}: {values.mean():.2f} ± {half:.2f}")
    return rows


def trained(settings: Settings, recipe: Recipe, advance: Callable[[int], None]) -> tuple[RL2, int | None]:
    """Return the trained policy, and how many steps a second it learned from, collecting included, where it did now."""
    path, started = settings.home_path / "bench" / f"rl2-{recipe.key}.checkpoint", time.perf_counter()
    begun = path.exists()
    policy, learning = recipe.train(path, advance)
    steps = len(learning.returns) * recipe.trials * recipe.problem.steps
    return policy, None if begun else round(steps / (time.perf_counter() - started))
