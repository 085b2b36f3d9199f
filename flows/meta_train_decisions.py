"""Meta-train RL2 on sequential decisions, whose trials are made while it plays."""

from collections.abc import Sequence

from prefect import flow

from tasks import alive
from tasks import decision_steps as do


@flow(name="meta-train-decisions", flow_run_name="meta-train decisions", on_running=[alive.mark])
def meta_train_decisions(games: Sequence[str] = (), iterations: int | None = None) -> str:
    """Return the version of the family's model, trained unless an equal one exists.

    Args:
        games: which to train RL2 on, if not those of the recipe.
        iterations: of playing and learning, if not those of the recipe.
    """
    plan = do.plan_decisions(games, iterations)
    version = do.find_finished(plan)
    if version is None:
        version = do.register(plan, {name: do.train(plan, name) for name in plan.games})
    do.promote(plan, version)
    do.report(plan, version)
    return version
