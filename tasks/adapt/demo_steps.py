"""The Prefect tasks of the flow ``demo`` that no other flow has."""

import os
from collections.abc import Sequence

from prefect import task
from prefect.cache_policies import NO_CACHE

from tasks.adapt.adaptation import Adaptation, encode_domain, examples_used
from tasks.base.apart import BEHIND
from tasks.base.progress import progress
from tasks.base.retries import RETRIES
from tasks.base.settings import settings
from tasks.meta_train.recipes import RECIPES
from tasks.meta_train.training import divide_rows, load_piles
from tasks.versions.snapshots import snapshots


@task(cache_policy=NO_CACHE, **RETRIES)
def encode_ahead(families: Sequence[str], revision: str, k: int | None) -> None:
    """Encode what the flows will need, sources first, while they train on what is encoded already.

    It is nicer than they are, to start with (on Linux this thread and its processes alone).
    """
    os.nice(BEHIND)
    s, how = settings(), Adaptation(k=k)
    every = snapshots(s.root_path, s.home_path, revision)
    sources = {f: [d for d in every if d.family == f and d.role == "source"] for f in families}
    targets = [d for d in every if d.family in families and d.role == "target"]
    divided = [divide_rows(sources[f], RECIPES[f]) for f in families if sources[f]]  # type: ignore[index]
    total = sum(len(pile.x) for rows in divided for part in rows.parts for pile in part)
    total += sum(examples_used(d, how) for d in targets)
    with progress("encode ahead", total) as advance:
        for family in families:
            if sources[family]:
                load_piles(s, sources[family], RECIPES[family], advance)  # type: ignore[index]
        for domain in targets:
            encode_domain(s, domain, how, advance)
