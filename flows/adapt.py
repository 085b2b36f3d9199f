"""Adapt a target domain: few labels and an unlabelled pool to a challenger, and past the gate into service."""

from collections.abc import Callable
from typing import Any

from prefect import flow, task
from prefect.cache_policies import NO_CACHE

from tasks.adapt import steps as tasks_of_adapt
from tasks.adapt.approval import ask
from tasks.models.adapt_result import AdaptResult
from tasks.watch import run_locks
from tasks.watch.run_locks import one_at_a_time
from tasks.watch.steps import settle


@flow(name="adapt", flow_run_name="adapt {domain} K={k}", on_running=[run_locks.mark])
def adapt(
    domain: str,
    k: int = 10,
    revision: str = "HEAD",
    draws: int = 10,
    method: str = "auto",
    meta_version: str = "",
    approval: bool | None = None,
) -> AdaptResult:
    """Adapt ``domain`` as it is at ``revision`` from ``k`` labels a class; the same work is done once.

    Args:
        domain: a target domain, for example ``hpo``.
        k: labels a class.
        revision: git revision whose ``data.dvc`` is read; never the working tree.
        draws: support draws behind the interval; the first makes the challenger.
        method: a strategy's name, or ``auto``: the portfolio chooses inside the support set.
        meta_version: version or key of the meta-model, if not the one in service.
        approval: whether a person has to approve of what passed the gate; if not said, ``ACCLIMATE_APPROVAL``.
    """
    return steps(tasks_of_adapt, domain, k, revision, draws, method, meta_version, approval)


def steps(
    do: Any,
    domain: str,
    k: int,
    revision: str,
    draws: int,
    method: str,
    meta_version: str = "",
    approval: bool | None = None,
    settle: Callable[[Any, AdaptResult], Any] = task(cache_policy=NO_CACHE)(settle),
) -> AdaptResult:
    """Do what ``adapt`` does, by the tasks of ``do`` and ``settle``; plain functions leave no trace at the server."""
    plan = do.plan_adaptation(domain, revision, k, draws, method, meta_version)
    with one_at_a_time(plan.key):
        result = do.find_finished(plan)
        if result is None:
            seconds = do.encode_examples(plan)
            result = do.adapt_and_compare(plan, seconds)
            decision, result = do.judge(plan, result)
            result = do.register(plan, result, decision)
    result = do.report(plan, do.promote(plan, ask(result, approval)))
    settle(plan, result)
    return result
