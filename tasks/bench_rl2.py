"""RL2 on problems of its paper, beside rules that know how the tasks are drawn, on the same tasks."""

import time
from collections.abc import Callable

import torch

from domains.errors import UserError
from learners.metrics import mean_interval
from learners.rl2 import RL2
from tasks.bench import Asked, Row
from tasks.problems import TRIALS, Problem, Recipe
from tasks.settings import Settings

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
        earned, speed = {}, {}
        for recipe in (recipe for recipe in todo if recipe.problem == problem):
            method = METHODS[0] if recipe.memory else METHODS[1]
            policy, speed[method] = trained(settings, recipe, advance)
            earned[method] = problem.earned(policy)
        if "rules" in (asked.methods or DEFAULT):
            earned |= problem.rules()
        for method, values in earned.items():
            mean, half = mean_interval(values)
            row = {"suite": "rl2", "domain": problem.name, "setting": f"{TRIALS} trials", "method": method}
            row |= {"metric": "reward", "value": round(mean, 3), "ci95": round(half, 3)}
            rows.append(row | {"n": TRIALS, "steps_a_second": speed.get(method)})
            say(f"{problem.name} {method}: {mean:.2f} ± {half:.2f}")
    return rows


def trained(settings: Settings, recipe: Recipe, advance: Callable[[int], None]) -> tuple[RL2, int | None]:
    """Return the trained policy, and how many steps a second it learned from, collecting included, where it did now."""
    path, started = settings.home_path / "bench" / f"rl2-{recipe.key}.checkpoint", time.perf_counter()
    begun = path.exists()
    policy, learning = recipe.train(path, advance)
    steps = len(learning.returns) * recipe.trials * recipe.problem.steps
    return policy, None if begun else round(steps / (time.perf_counter() - started))
