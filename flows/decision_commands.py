"""What ``acclimate meta-train`` does for the family decisions, which reads no data."""

from collections.abc import Sequence

from domains.decisions import DECISIONS
from domains.errors import UserError
from flows.terminal import flows_running, print_json
from tasks.settings import settings


def meta_train(steps: int | None, games: Sequence[str], sources: str, target: str, as_json: bool) -> None:
    """Train RL2 on games, or on those of the recipe; what is wrong is said before a server is started."""
    if sources != "all" or target:
        raise UserError(f"--sources and --for choose among domains; family {DECISIONS} has none, choose by --learner")
    from tasks.decision_steps import plan_decisions

    plan = plan_decisions.fn(games, steps)
    with flows_running(settings()):
        from flows.meta_train_decisions import meta_train_decisions as flow

        version = flow(games, steps)
    if as_json:
        return print_json({"family": DECISIONS, "model_version": version, "games": list(plan.games)})
    print(f"policies of family {DECISIONS}: version {version}")
    return None
