"""Build the domains of the quick start and prove that they are what the committed ``data.dvc`` names."""

from prefect import flow

from tasks import alive
from tasks import ingest_steps as do


@flow(name="ingest", flow_run_name="ingest", on_running=[alive.mark])
def ingest(force: bool = False) -> str:
    """Return the git revision whose data is in place.

    Args:
        force: build again what is there.
    """
    built = do.build_missing(force)
    verified = do.verify_data()
    return do.report(built, verified)
