"""Meta-train the learners of one family on its source domains."""

from collections.abc import Sequence

from prefect import flow

from tasks.meta_train import steps as do
from tasks.versions.watched_commit import revision_to_read
from tasks.watch import run_locks
from tasks.watch.run_locks import one_at_a_time


@flow(name="meta-train", flow_run_name="meta-train {family}", on_running=[run_locks.mark])
def meta_train(
    family: str,
    revision: str = "HEAD",
    steps: int | None = None,
    learners: Sequence[str] = (),
    near: do.Nearest | None = None,
) -> str:
    """Return the version of the family's meta-model, trained unless an equal one exists.

    Args:
        family: ``text``, ``vision`` or ``market``.
        revision: git revision whose ``data.dvc`` is read; empty: the one that ``ACCLIMATE_WATCH`` names.
        steps: meta-updates a learner, if not those of the recipe.
        learners: which to meta-train, if not those of the recipe.
        near: only on the sources nearest to a domain, if not on all.
    """
    revision = revision_to_read(revision)
    plan = do.choose_sources(do.plan_meta_training(family, revision, steps, learners), near, revision)
    with one_at_a_time(plan.key):
        version = do.find_finished(plan)
        if version is None:
            do.encode_sources(plan)
            version = do.register(plan, {name: do.train(plan, name) for name in plan.recipe.training})
        do.promote(plan, version)
    do.report(plan, version)
    do.map_domains(plan, revision, return_state=True)  # a map that fails is no reason to train again
    return version
