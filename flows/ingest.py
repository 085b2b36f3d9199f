"""Build the domains of the quick start and prove that they are what the committed ``data.dvc`` names."""

from prefect import flow

from tasks.ingest import steps as do
from tasks.watch import run_locks


@flow(name="ingest", flow_run_name="ingest", on_running=[run_locks.mark])
def ingest(force: bool = False) -> str:
    """Return the git revision whose data is in place.

    Args:
        force: build again what is there.
    """
    built = do.build_missing(force)
    verified = do.verify_data()
    return do.report(built, verified)
