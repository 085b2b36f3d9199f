"""Build the quick start's domains, and prove that ``data/`` is what the committed ``data.dvc`` names."""

from prefect import flow

from tasks.base.settings import settings
from tasks.ingest.steps import build_missing, report, verify_data
from tasks.watch import run_locks


@flow(name="ingest", flow_run_name="ingest", timeout_seconds=settings().run_seconds, on_running=[run_locks.mark])
def ingest(force: bool = False, whole: bool = False) -> str:
    """Return the git revision whose data is in place.

    Args:
        force: build again what is there.
        whole: build all of the quick start, though HEAD names a part or nothing of it.
    """
    built = build_missing(force, whole)
    verified = verify_data()
    return report(built, verified)
