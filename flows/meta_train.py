"""Meta-train the learners of one family on its source domains."""

from collections.abc import Sequence
from typing import Annotated

from prefect import flow
from pydantic import Field

from domains.domain import Family
from tasks.base.flow_runs import describe_run
from tasks.base.progress import say
from tasks.base.settings import settings
from tasks.meta_train.steps import (
    Nearest,
    choose_sources,
    encode_sources,
    find_finished,
    judge,
    map_domains,
    plan_meta_training,
    put_into_service,
    register,
    report,
    train,
)
from tasks.versions.watched_commit import check_faults, revision_to_read
from tasks.watch import run_locks
from tasks.watch.run_locks import one_at_a_time


@flow(
    name="meta-train",
    flow_run_name="meta-train {family}",
    timeout_seconds=settings().run_seconds,
    on_running=[run_locks.mark],
)
def meta_train(
    family: Family,
    revision: str = "HEAD",
    steps: Annotated[int, Field(ge=1)] | None = None,
    learners: Sequence[str] = (),
    near: Nearest | None = None,
    promote: bool = False,
) -> str:
    """Return the version of the family's meta-model, trained unless an equal one exists; the gate may promote it.

    Args:
        family: what the examples are.
        revision: git revision whose ``data.dvc`` is read; empty: the one that ``ACCLIMATE_WATCH`` names, and where that
            has no source domains of the family nothing is done, as on a schedule, and no version returned.
        steps: meta-updates a learner, if not those of the recipe.
        learners: which to meta-train, if not those of the recipe.
        near: only on the sources nearest to a domain, if not on all.
        promote: let the gate promote it too where steps, learners or sources are not those of the recipe.

    Raises:
        UserError: a git remote could not be reached; what is known of it was trained on.
    """
    notes: list[str] = []
    plan = plan_meta_training(family, revision_to_read(revision, notes), steps, learners)
    if not (plan.domains or revision):
        say(f"no source domain of family {family}: nothing to meta-train on")
        check_faults(notes)
        return ""
    plan = choose_sources(plan, near)
    describe_run("", plan.family)
    with one_at_a_time(plan.key):
        version = find_finished(plan)
        if version is None:
            encode_sources(plan)
            version = register(plan, {name: train(plan, name) for name in plan.recipe.training})
        put_into_service(plan, version, judge(plan, version, promote))
    report(plan, version)
    map_domains(plan, return_state=True)  # a map that fails is no reason to train again
    check_faults(notes)
    return version
