"""Meta-train RL2 on sequential decisions, whose trials are made while it plays."""

from collections.abc import Sequence
from typing import Annotated, Literal

from prefect import flow
from pydantic import Field

from learners.decisions.rl2 import Memory
from tasks.base.settings import settings
from tasks.decisions.steps import plan_decisions, register, report, train
from tasks.meta_train.steps import find_finished, put_into_service
from tasks.watch import run_locks
from tasks.watch.run_locks import one_at_a_time


@flow(
    name="meta-train-decisions",
    flow_run_name="meta-train decisions",
    timeout_seconds=settings().run_seconds,
    on_running=[run_locks.mark],
)
def meta_train_decisions(
    problems: Sequence[str] = (),
    iterations: Annotated[int, Field(ge=1)] | None = None,
    memory: Literal["", Memory] = "",
    teacher: str = "",
) -> str:
    """Return the version of the family's model, trained unless an equal one exists.

    Args:
        problems: which to train RL2 on, if not those of the recipe.
        iterations: of playing and learning, if not those of the recipe.
        memory: what a policy keeps of a trial, if not as in the recipe.
        teacher: whom it imitates first, if not as in the recipe; none is nobody.
    """
    plan = plan_decisions(problems, iterations, memory, teacher)
    with one_at_a_time(plan.key):
        version = find_finished(plan)
        if version is None:
            version = register(plan, {name: train(plan, name) for name in plan.problems})
        put_into_service(plan, version)
    report(plan, version)
    return version
