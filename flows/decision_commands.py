"""What ``acclimate meta-train`` does for the family decisions, which reads no data."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

from domains.decisions import DECISIONS
from flows.terminal import flows_running, print_json
from tasks.base.settings import settings

if TYPE_CHECKING:
    from learners.decisions.rl2 import Memory


def meta_train(problems: Sequence[str], steps: int | None, memory: str, teacher: str, as_json: bool) -> None:
    """Train RL2 on problems, or on those of the recipe; what is wrong is said before a server is started."""
    from tasks.decisions.steps import plan_decisions

    plan = plan_decisions.fn(problems, steps, memory, teacher)
    with flows_running(settings()):
        from flows.meta_train_decisions import meta_train_decisions

        version = meta_train_decisions(problems, steps, cast("Memory", memory), teacher)
    if as_json:
        return print_json({"family": DECISIONS, "model_version": version, "problems": list(plan.problems)})
    print(f"policies for {', '.join(plan.problems)}: version {version} of meta-{DECISIONS}")
    return None
