"""The Prefect tasks of the flow ``ingest``."""

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from prefect import task
from prefect.cache_policies import NO_CACHE

from domains import catalogue
from domains.domain import Domain
from domains.errors import UserError
from tasks.base.artifacts import table_artifact
from tasks.base.retries import RETRIES
from tasks.base.settings import settings
from tasks.ingest.building import build_named
from tasks.versions.revisions import data_revision
from tasks.versions.snapshots import domains_at
from tasks.versions.verify import Verification, describe_difference, verify


@task(cache_policy=NO_CACHE, **RETRIES)
def build_missing(force: bool = False, whole: bool = True) -> list[str]:
    """Build the domains of the quick start that ``data/`` lacks (all with ``force``); return their names.

    Each folder appears whole or not at all, so an interrupted build goes on where it stopped. Two at once take turns.

    Args:
        whole: all of the quick start; else those that HEAD names, where its list of files is at hand.
    """
    names = list(catalogue.quick_start())
    if not whole:
        with suppress(UserError):
            named = domains_at(settings().root_path)
            names = [name for name in names if name in named]
    return build_named(settings(), names, force)


@task(cache_policy=NO_CACHE, **RETRIES)
def verify_data() -> Verification:
    """Prove that ``data/`` is what ``data.dvc`` names.

    Raises:
        UserError: it is not; the message names what differs where DVC can tell.
    """
    found = verify(settings().root_path)
    if not found.ok:
        raise UserError(describe_difference(found))
    return found


@task(cache_policy=NO_CACHE)
def report(built: list[str], found: Verification) -> str:
    """Leave a table of the domains; return the revision."""
    s = settings()
    show_domains(s.data_path, built, found.actual)
    return data_revision(s.root_path).commit


def show_domains(data: Path, built: Sequence[str], data_hash: str) -> None:
    """Leave a table of the domains in ``data/``, those just built marked."""
    rows = []
    for path in sorted(data.glob("*/domain.yaml")):
        domain = Domain.read(path.parent)
        counts = {split: domain.counts.get(split, 0) for split in ("train", "pool", "test")}
        new = "built" if domain.name in built else "already there"
        about = {
            "domain": domain.name,
            "family": domain.family,
            "role": domain.role,
            "labels": len(domain.labels),
        }
        rows.append(about | counts | {"this run": new})
    table_artifact("ingest-domains", rows, f"data/ is what data.dvc names: {data_hash}")
