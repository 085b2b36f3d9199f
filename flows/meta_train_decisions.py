"""Meta-train a policy that learns inside a trial (RL2)."""

from prefect import flow

from tasks import alive
from tasks import decision_steps as do
from tasks.meta_train_steps import find_finished, promote
from tasks.problems import DEFAULT


@flow(name="meta-train-decisions", flow_run_name="meta-train decisions {problem}", on_running=[alive.mark])
def meta_train_decisions(problem: str = DEFAULT, steps: int | None = None) -> str:
    """Return the version of the policy, trained unless an equal one exists.

    Args:
        problem: ``bandit-ARMSxPULLS`` or ``mdp-EPISODES``.
        steps: updates of PPO, if not those of the recipe.
    """
    plan = do.plan_training(problem, steps)
    version = find_finished(plan)
    if version is None:
        version = do.train_and_register(plan)
    promote(plan, version)
    do.report(plan, version)
    return version
