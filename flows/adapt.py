"""Adapt a target domain: its labels and an unlabelled pool to a challenger, and past the gate into service."""

from collections.abc import Callable
from functools import partial
from typing import Annotated, Literal, ParamSpec, Protocol, TypeVar

from prefect import flow, task
from prefect.cache_policies import NO_CACHE
from prefect.runtime import flow_run
from pydantic import Field

from domains.objective import Objective
from tasks.adapt.adaptation import tuning_budget
from tasks.adapt.approval import as_asked, wait_for_approval
from tasks.adapt.plan import plan_adaptation
from tasks.adapt.steps import (
    adapt_and_compare,
    encode_examples,
    find_finished,
    judge,
    register,
    report,
)
from tasks.adapt.tuning import tune_encoder
from tasks.base.flow_runs import describe_run
from tasks.base.retries import RETRIES
from tasks.base.settings import settings
from tasks.models.adapt_result import AdaptResult
from tasks.versions.revisions import short_commit
from tasks.watch import run_locks
from tasks.watch.run_locks import one_at_a_time
from tasks.watch.steps import bring_back, promote, settle

P = ParamSpec("P")
R = TypeVar("R")


class Run(Protocol):
    """A way to run a step: call it with its arguments and return what it returns."""

    def __call__(self, step: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R: ...


def as_task(step: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
    """Run a step as a task run, which the Prefect UI shows under the step's name."""
    return task(cache_policy=NO_CACHE, **RETRIES)(step)(*args, **kwargs)


def directly(step: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
    """Call a step: a task run costs its server a dozen writes, as much as the work on a small domain."""
    return step(*args, **kwargs)


def run_name() -> str:
    """Return the name of the flow run that begins."""
    asked = flow_run.parameters
    few = "" if asked.get("k") is None else f", K={asked['k']}"
    return f"adapt {asked['domain']} @ {short_commit(settings().root_path, asked.get('revision', 'HEAD'))}{few}"


@flow(name="adapt", flow_run_name=run_name, timeout_seconds=settings().run_seconds, on_running=[run_locks.mark])
def adapt(
    domain: str,
    k: Annotated[int, Field(ge=1)] | None = None,
    revision: str = "HEAD",
    draws: Annotated[int, Field(ge=1)] = 10,
    method: str = "auto",
    meta_version: str = "",
    approval: bool | None = None,
    objective: Literal["", Objective] = "",
    budget: Annotated[str, Field(pattern=r"^(\d{1,6}[smh]?)?$", examples=["90s", "10m", "1h"])] = "",
) -> AdaptResult:
    """Adapt ``domain`` as it is at ``revision`` from all its labels; the same work is done once.

    Args:
        domain: a target domain, for example ``hpo``.
        k: at most so many labels a class are used, an experiment; None: all labels.
        revision: git revision whose ``data.dvc`` is read; never the working tree.
        draws: with ``k``, support draws behind the interval; the first makes the challenger.
        method: a strategy's name, or ``auto``: the portfolio chooses inside the support set.
        meta_version: version or key of the meta-model, if not the one in service.
        approval: whether a person has to approve of what passed the gate; if not said, ``ACCLIMATE_APPROVAL``.
        objective: ``accuracy``, ``balanced_accuracy`` or ``macro_f1``; if not said, what the domain says.
        budget: how long tuning an encoder to the labels may take, as 90s, 10m or 1h; if not said, ``ACCLIMATE_BUDGET``.
    """
    return adapt_in_order(as_task, domain, k, revision, draws, method, meta_version, approval, objective, budget)


def adapt_in_order(
    run: Run,
    domain: str,
    k: int | None,
    revision: str,
    draws: int,
    method: str,
    meta_version: str = "",
    approval: bool | None = None,
    objective: str = "",
    budget: str = "",
    hand_over: Callable[[AdaptResult], str] | None = None,
) -> AdaptResult:
    """Run the steps of an adaptation; the arguments after ``run`` are those of ``adapt``.

    Args:
        hand_over: starts a run that asks a person in place of this one (``wait_for_approval``).
    """
    revision, meta_version = as_asked(domain, revision, meta_version)
    plan = run(plan_adaptation, domain, revision, k, draws, method, meta_version, objective, budget)
    describe_run("", plan.domain.name, plan.domain.family)
    with one_at_a_time(plan.key):
        run(bring_back, plan)
        result = run(find_finished, plan)
        if result is None:
            seconds = run(encode_examples, plan)
            tuning = run(tune_encoder, plan) if tuning_budget(plan.domain, plan.how) else 0.0
            result = run(adapt_and_compare, plan, seconds, tuning)
            decision, result = run(judge, plan, result)
            result = run(register, plan, result, decision)
    result = wait_for_approval(result, approval, partial(settle, plan), hand_over)
    result = run(promote, plan, result)
    result = run(report, plan, result)
    run(settle, plan, result)
    return result
