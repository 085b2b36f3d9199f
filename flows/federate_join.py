"""Take part in a federation with the domains of this project, which stay here."""

from collections.abc import Sequence
from pathlib import Path

from prefect import flow

from domains.domain import Family
from tasks.base.settings import settings
from tasks.federate.steps import encode_at_site, judge_result, plan_site, register_result, take_part
from tasks.watch import run_locks
from tasks.watch.run_locks import one_at_a_time


@flow(
    name="federate-join",
    flow_run_name="federate-join {family}",
    timeout_seconds=settings().run_seconds,
    on_running=[run_locks.mark],
)
def federate_join(
    kit: str,
    family: Family,
    share: Sequence[str] = (),
    revision: str = "HEAD",
    filters: Sequence[str] = (),
    key: str = "",
) -> str:
    """Return the version of the family's meta-model that the federation learned; the site's own gate may promote it.

    Args:
        kit: folder of the startup kit that the server's side made for this site.
        family: what the examples are.
        share: learners (their weights), prior (sums of what strategies reach); both unless said.
        revision: git revision whose ``data.dvc`` is read.
        filters: of FLARE, that changes of weights pass before they leave, as ``percentile:percentile=50,gamma=0.01``.
        key: path of the key that the sites share, where the federation is encrypted.
    """
    plan = plan_site(kit, family, share, revision, filters, key)
    with one_at_a_time(f"federation-{Path(kit).name}"):
        encode_at_site(plan)
        take_part(plan)
        version = register_result(plan)
        judge_result(plan, version)
    return version
