"""The Prefect tasks of the flow ``ingest``."""

from filelock import FileLock
from prefect import task
from prefect.cache_policies import NO_CACHE

from domains import catalogue
from domains.build import build
from domains.errors import UserError
from tasks import reports
from tasks.data import Verification, data_revision, verify
from tasks.encoding import fetcher
from tasks.progress import progress
from tasks.settings import settings


@task(cache_policy=NO_CACHE)
def build_missing(force: bool = False) -> list[str]:
    """Build the built-in domains that ``data/`` lacks (all with ``force``); return their names.

    Each folder appears whole or not at all, so an interrupted build goes on where it stopped. Runs at once take turns.
    """
    s = settings()
    s.home_path.mkdir(parents=True, exist_ok=True)
    with FileLock(s.home_path / "build.lock"):
        todo = [name for name in catalogue.catalogue() if force or not (s.data_path / name).exists()]
        with progress("build domains", len(todo)) as advance:
            for name in todo:
                build(catalogue.source(name), fetcher(s), s.data_path)
                advance(1)
    return todo


@task(cache_policy=NO_CACHE)
def verify_data() -> Verification:
    """Prove that ``data/`` is what ``data.dvc`` names.

    Raises:
        UserError: it is not; the message names what differs where DVC can tell.
    """
    found = verify(settings().root_path)
    if not found.ok:
        what = ", ".join(found.changed or ()) or "unknown which domain"
        raise UserError(
            f"data/ is not what data.dvc names (differs: {what}): `acclimate data build --force` builds the built-in "
            "domains again; to keep your changes, version them with `dvc add data` and a git commit"
        )
    return found


@task(cache_policy=NO_CACHE)
def report(built: list[str], found: Verification) -> str:
    """Leave a table of the domains; return the revision."""
    s = settings()
    reports.ingestion(s.data_path, built, found.actual)
    return data_revision(s.root_path).commit
