"""The main job in one go: ingest, meta-train every family, adapt every target, report."""

from collections.abc import Sequence
from typing import Annotated

from prefect import flow
from pydantic import Field

from domains import catalogue
from domains.domain import FAMILIES, Family
from flows.adapt import adapt
from flows.ingest import ingest
from flows.meta_train import meta_train
from tasks.adapt.demo_steps import encode_ahead
from tasks.adapt.pages import show_summary
from tasks.adapt.tables import result_line
from tasks.base.apart import run_apart
from tasks.base.device import at_once
from tasks.base.progress import say
from tasks.base.settings import settings
from tasks.models.adapt_result import AdaptResult
from tasks.watch import run_locks

READY_FIRST = ("market", "text", "vision")  # market examples are vectors already, so nothing has to be waited for


@flow(
    name="demo-family",
    flow_run_name="demo {family} K={k}",
    timeout_seconds=settings().run_seconds,
    on_running=[run_locks.mark],
)
def demo_family(family: Family, revision: str, k: int, draws: int, steps: int | None) -> list[AdaptResult]:
    """Return one result a quick-start target of a family, meta-trained first. The arguments are those of ``demo``."""
    meta_train(family, revision, steps)
    targets = [s.name for s in catalogue.quick_start().values() if s.family == family and s.role == "target"]
    results = []
    for name in targets:
        results.append(adapt(name, k, revision, draws))
        say(result_line(results[-1]))
    return results


@flow(name="demo", flow_run_name="demo K={k}", timeout_seconds=settings().run_seconds, on_running=[run_locks.mark])
def demo(
    families: Sequence[Family] = FAMILIES,
    k: Annotated[int, Field(ge=1)] = 10,
    draws: Annotated[int, Field(ge=1)] = 10,
    steps: Annotated[int, Field(ge=1)] | None = None,
) -> list[AdaptResult]:
    """Return one result a quick-start target; the last of several families runs beside the others.

    Args:
        families: which to show.
        k: at most so many labels a class are used, so that it shows what few labels are worth.
        draws: support draws behind each interval.
        steps: meta-updates a learner, if not those of the recipes.
    """
    revision = ingest(whole=True)
    *here, last = sorted(families, key=READY_FIRST.index)
    given = revision, k, draws, steps
    beside = run_apart(demo_family, last, *given) if here and at_once(settings().processes) > 1 else None
    encoding = encode_ahead.submit(here or [last], revision, k)
    results = [result for family in here for result in demo_family(family, *given)]
    results += beside.result() if beside else demo_family(last, *given)
    encoding.result()
    return show_summary(results)
