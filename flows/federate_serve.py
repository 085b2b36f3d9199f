"""Serve a federation: sites meta-train together and keep their examples."""

from collections.abc import Sequence
from typing import Annotated

from prefect import flow
from pydantic import Field

from domains.domain import Family
from tasks.base.settings import settings
from tasks.federate.steps import plan_server, serve
from tasks.watch import run_locks
from tasks.watch.run_locks import one_at_a_time


@flow(
    name="federate-serve",
    flow_run_name="federate-serve {name}",
    timeout_seconds=settings().run_seconds,
    on_running=[run_locks.mark],
)
def federate_serve(
    name: str,
    family: Family,
    sites: Sequence[str],
    host: str,
    port: Annotated[int, Field(ge=1, le=65535)],
    learners: Sequence[str] = (),
    rounds: Annotated[int, Field(ge=1)] = 50,
    steps: Annotated[int, Field(ge=1)] = 4,
    noise: Annotated[float, Field(ge=0)] = 0.0,
    clip: Annotated[float, Field(gt=0)] | None = None,
    segment: Annotated[int, Field(ge=1)] = 10,
    least: Annotated[int, Field(ge=1)] | None = None,
    patience: Annotated[int, Field(ge=1)] = 30,
    encrypted: bool = False,
) -> str:
    """Return the folder of the federation when every site has its result; a run that died goes on where it was.

    Args:
        name: of the federation, and of its folder; sites: the names of all sites.
        host, port: where sites find the server.
        learners: which to meta-train, if not those of the family's recipe.
        rounds: of averaging; steps: meta-updates of each learner that a site makes a round.
        noise: standard deviation of noise on the sum of updates over the norm that each is clipped to.
        clip: that norm, if not what honest steps can reach.
        segment: rounds between which a site may come in.
        least: sites without which nothing begins, and for whose answers a round waits; half of all unless said.
        patience: seconds to wait for the others then.
        encrypted: sites seal what is added up, with a key of their own.
    """
    how: dict[str, float | None] = {"rounds": rounds, "steps": steps, "noise": noise, "clip": clip}
    how |= {"segment": segment, "least": least, "patience": patience, "encrypted": encrypted}
    plan = plan_server(name, family, sites, learners, (host, port), how)
    with one_at_a_time(f"federation-{name}"):
        return str(serve(plan, (host, port)))
