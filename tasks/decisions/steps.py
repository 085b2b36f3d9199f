"""The Prefect tasks of the flow ``meta_train_decisions``. They hand on paths and names; tensors stay inside."""

import hashlib
import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from prefect import task
from prefect.cache_policies import NO_CACHE
from safetensors.torch import load_file, save_file

from domains.decisions import DECISIONS
from domains.errors import UserError
from learners.decisions.playing import Recurrent, play
from learners.decisions.policies import Policies
from learners.decisions.rl2 import RL2
from learners.decisions.rl2_train import Curve
from tasks.base.artifacts import image_artifact, table_artifact
from tasks.base.progress import progress
from tasks.base.settings import settings
from tasks.decisions.comparison import TRIALS, compare_players
from tasks.decisions.plots import plot_curve, plot_trial
from tasks.decisions.problems import DecisionProblem, find_problems, new_policy
from tasks.models import registry
from tasks.models.lineage import code_and_packages

#: A few minutes; any other of ``tasks.decisions.problems.NAMES`` can be asked for.
RECIPE = ("bandit-k5-n10", "bandit-k10-n10")
SHOWN = 3_000_003  # seed of the trial that is shown


@dataclass(frozen=True)
class DecisionPlan:
    """Which problems to train RL2 on, by name with the recipe, and the folder for checkpoints."""

    problems: Mapping[str, DecisionProblem]
    key: str
    folder: Path
    options: Mapping[str, str]

    family = DECISIONS


@task(cache_policy=NO_CACHE)
def plan_decisions(
    names: Sequence[str] = (), iterations: int | None = None, memory: str = "", teacher: str = ""
) -> DecisionPlan:
    """Resolve the problems and their recipes.

    Raises:
        UserError: there is no such problem, memory, or teacher of one, or fewer than one iteration.
    """
    if iterations is not None and iterations < 1:
        raise UserError(f"steps = {iterations}: at least 1 is needed")
    s = settings()
    asked = [problem.with_memory(memory, teacher) for problem in find_problems(names or RECIPE)]
    plans = {problem.name: problem.with_training(iterations, s.seed) for problem in asked}
    parts = "\n".join(f"{name}:{problem.key}" for name, problem in plans.items())
    key = hashlib.sha256(parts.encode()).hexdigest()[:16]
    options = {"steps": "" if iterations is None else str(iterations), "problems": ",".join(names)}
    options |= {"memory": memory, "teacher": teacher}
    return DecisionPlan(plans, key, s.home_path / "checkpoints" / key, options)


@task(cache_policy=NO_CACHE, task_run_name="train {name}")
def train(plan: DecisionPlan, name: str) -> Curve:
    """Train one policy, from its last checkpoint if it was interrupted."""
    problem = plan.problems[name]
    with progress(f"meta-train {DECISIONS} {name}", problem.how.total) as advance:
        policy, curve = problem.train(plan.folder / f"{name}.checkpoint", advance)
    save_file(policy.state_dict(), plan.folder / f"{name}.trained")
    return curve


@task(cache_policy=NO_CACHE)
def register(plan: DecisionPlan, curves: dict[str, Curve]) -> str:
    """Compare the policies with plain strategies on trials of their own, and register them as one model."""
    s, policies, about, metrics = settings(), {}, {}, {}
    with progress(f"compare {DECISIONS} strategies", len(curves)) as advance:
        for name, curve in curves.items():
            problem = plan.problems[name]
            policies[name] = new_policy(problem)
            policies[name].load_state_dict(load_file(plan.folder / f"{name}.trained"))
            scores = compare_players(problem, {"rl2": policies[name]}, TRIALS, s.seed, {})
            about[name] = {"how": asdict(problem.how), "curve": _finite(asdict(curve)), "scores": scores}
            metrics[f"{name}_reward"] = scores[0]["value"]
            advance(1)
    tags = {"key": plan.key, "family": DECISIONS, **plan.options, **code_and_packages()}
    with tempfile.TemporaryDirectory() as folder:
        Policies(policies, about).save(Path(folder))
        return registry.log_meta_model(s, DECISIONS, Path(folder), {"problems": ",".join(policies)}, metrics, tags)


@task(cache_policy=NO_CACHE)
def report(plan: DecisionPlan, version: str) -> str:
    """Leave artifacts for every problem: learning curve, one trial, and scores beside plain strategies."""
    done = Policies.load(registry.get(settings(), registry.meta_name(DECISIONS), version).folder)
    for name, policy in done.policies.items():
        about = done.about[name]
        scores = {row["method"]: row for row in about["scores"] if row["metric"] == "reward of a trial"}
        curve, title = about["curve"], f"RL2 learns {name}"
        others = {method: row["value"] for method, row in scores.items() if method not in ("rl2", "random")}
        best = max(others, key=lambda method: others[method], default="")
        lines = {method: gain for method, gain in others.items() if method in (best, "thompson")}
        picture = plot_curve(title, curve["iteration"], curve["reward"], curve["validation_reward"], lines)
        image_artifact(f"meta-train-{DECISIONS}-{name}", picture, title)
        title = f"RL2 in one trial of {name}"
        image_artifact(f"trial-{DECISIONS}-{name}", plot_trial(title, *one_trial(plan.problems[name], policy)), title)
        rows = [{"player": m, "reward": f"{row['value']:.2f} ± {row['ci95']:.2f}"} for m, row in scores.items()]
        text = f"{name}: reward of a trial, mean over {TRIALS:,} trials with its 95 % interval; version {version}"
        table_artifact(f"scores-{DECISIONS}-{name}", rows, text)
    return version


def one_trial(problem: DecisionProblem, policy: RL2) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[str]]:
    """Return the policy's probabilities [T, A], actions [T] and rewards [T] in one trial, and the actions' names."""
    envs, probabilities = problem.make(1), []

    class Recording(Recurrent):
        def act(self, observation: np.ndarray) -> np.ndarray:
            action = super().act(observation)
            probabilities.append(torch.softmax(self.logits[0], 0).numpy())
            return action

    rewards, actions = play(envs, Recording(policy), problem.steps, SHOWN)
    p = np.array(probabilities)
    chances = getattr(envs, "p", None)
    named = [f"action {a}" if chances is None else f"pays {100 * chances[0, a]:.0f} %" for a in range(p.shape[1])]
    return p, actions[:, 0], rewards[:, 0], named


def _finite(curve: dict[str, list[float]]) -> dict[str, list[float | None]]:
    """Return a curve without what JSON has no word for."""
    return json.loads(json.dumps({k: [v if np.isfinite(v) else None for v in values] for k, values in curve.items()}))
