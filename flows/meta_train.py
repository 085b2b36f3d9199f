"""Meta-train the learners of one family on its source domains."""

from collections.abc import Sequence

from prefect import flow

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
from tasks.versions.watched_commit import revision_to_read
from tasks.watch import run_locks
from tasks.watch.run_locks import one_at_a_time


@flow(
    name="meta-train",
    flow_run_name="meta-train {family}",
    timeout_seconds=settings().run_seconds,
    on_running=[run_locks.mark],
)
def meta_train(
    family: str,
    revision: str = "HEAD",
    steps: int | None = None,
    learners: Sequence[str] = (),
    near: Nearest | None = None,
    promote: bool = False,
) -> str:
    """Return the version of the family's meta-model, trained unless an equal one exists; the gate may promote it.

    Args:
        family: ``text``, ``vision`` or ``market``.
        revision: git revision whose ``data.dvc`` is read; empty: the one that ``ACCLIMATE_WATCH`` names.
        steps: meta-updates a learner, if not those of the recipe.
        learners: which to meta-train, if not those of the recipe.
        near: only on the sources nearest to a domain, if not on all.
        promote: let the gate promote it too where steps, learners or sources are not those of the recipe.
    """
    plan = plan_meta_training(family, revision_to_read(revision), steps, learners)
    plan = choose_sources(plan, near)
    with one_at_a_time(plan.key):
        version = find_finished(plan)
        if version is None:
            encode_sources(plan)
            version = register(plan, {name: train(plan, name) for name in plan.recipe.training})
        put_into_service(plan, version, judge(plan, version, promote))
    report(plan, version)
    map_domains(plan, return_state=True)  # a map that fails is no reason to train again
    return version
