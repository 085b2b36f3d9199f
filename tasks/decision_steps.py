"""The Prefect tasks of the flow ``meta_train_decisions``."""

import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from prefect import task
from prefect.cache_policies import NO_CACHE

from domains.decisions import FAMILY
from domains.errors import UserError
from learners.ppo import Learning, Rollout, collect
from learners.rl2 import RL2
from tasks import registry
from tasks.artifacts import image_artifact
from tasks.lineage import made_by
from tasks.plots import plot_returns, plot_trial
from tasks.problems import TEST, Problem, Recipe
from tasks.progress import progress
from tasks.settings import settings


@dataclass(frozen=True)
class Plan:
    """One policy to train."""

    recipe: Recipe
    steps: str  # as asked, or empty

    family = FAMILY

    @property
    def key(self) -> str:
        return self.recipe.key

    @property
    def folder(self) -> Path:
        return settings().home_path / "checkpoints" / self.key


@task(cache_policy=NO_CACHE)
def plan_training(problem: str, updates: int | None) -> Plan:
    """Resolve the problem and how its policy is trained."""
    if updates is not None and updates < 1:
        raise UserError(f"steps = {updates}: at least 1 is needed")
    recipe = Recipe.of(Problem.parse(problem), updates, seed=settings().seed)
    return Plan(recipe, "" if updates is None else str(updates))


@task(cache_policy=NO_CACHE)
def train_and_register(plan: Plan) -> str:
    """Train the policy, from its last checkpoint if it was interrupted, and store it as a version."""
    torch.set_num_threads(1)
    recipe = plan.recipe
    with progress(f"meta-train {FAMILY} {recipe.problem.name}", recipe.how.updates) as advance:
        policy, learning = recipe.train(plan.folder / "rl2.checkpoint", advance)
    show_learning(recipe, learning)
    reward = {"reward": float(recipe.problem.earned(policy).mean())}
    tags = {"key": plan.key, "family": FAMILY, "problem": recipe.problem.name, "steps": plan.steps, **made_by()}
    with tempfile.TemporaryDirectory() as folder:
        policy.save(Path(folder))
        return registry.log_meta_model(settings(), FAMILY, Path(folder), {}, reward, tags)


@task(cache_policy=NO_CACHE)
def report(plan: Plan, version: str) -> str:
    """Leave a picture of what the policy does in one trial."""
    policy = RL2.load(registry.get(settings(), registry.meta_name(FAMILY), version).folder)
    env = plan.recipe.problem.env(1)
    trial = collect(policy, env, env.steps, TEST)
    title = f"{plan.recipe.problem.name}: one trial of version {version}"
    image_artifact(f"meta-train-{FAMILY}-trial", plot_trial(title, chances(policy, trial), *taken(trial)), title)
    return version


def chances(policy: RL2, trial: Rollout) -> np.ndarray:
    """Return the policy's probabilities of the actions at every step [T, A] of the first trial."""
    with torch.no_grad():
        return policy(trial.x)[0][:, 0].softmax(-1).numpy()


def taken(trial: Rollout) -> tuple[np.ndarray, np.ndarray]:
    """Return the actions and rewards [T] of the first trial."""
    return trial.action[:, 0].numpy(), trial.reward[:, 0].numpy()


def show_learning(recipe: Recipe, learning: Learning) -> None:
    """Leave the learning curve: the mean return of a trial, batch by batch."""
    title = f"Meta-training of rl2, {recipe.problem.name}"
    image_artifact(f"meta-train-{FAMILY}-rl2", plot_returns(title, learning.returns), title)
