"""Which versions of models may go, and how they do: what is in service and what that needs never does."""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlparse
from urllib.request import url2pathname

from tasks.base.settings import Settings
from tasks.base.shared_lock import shared_lock
from tasks.models import registry
from tasks.models.adapt_result import AWAITING, PROMOTED
from tasks.models.mlflow_client import NotThereError, connect
from tasks.models.registry import ADAPT, META_PREFIX, META_TRAIN, Registered, meta_name, promotion_lock
from tasks.models.verdicts import BY_A_PERSON, WITHDRAWN

PRUNED = "pruned"  # tag of an MLflow run whose version was deleted
IN_SERVICE = (PROMOTED, BY_A_PERSON)  # decisions on what came into service
KEY = re.compile(r"[0-9a-f]{16}")  # of work, which is also the name of its lock
PAGE = 500


def disposable(
    models: Mapping[str, Sequence[Registered]],
    before: datetime,
    keys: Collection[str] = (),
    metas: Collection[str] = (),
) -> list[Registered]:
    """Return the versions that nothing needs.

    Never: a champion, the one before it, any version that a person gave an alias or took out of service, one that waits
    for approval or was not promoted yet, the newest of each model, what is not of ours; and the meta-models of all that
    is kept.

    Args:
        models: all versions of each registered model, newest first.
        before: what was made, decided on or replaced since then is kept.
        keys: of work that is asked for (open rows of the ledger).
        metas: versions or keys of meta-models that such work reads.
    """
    going = {name: [v for v in versions[1:] if _may_go(v, versions, before, keys)] for name, versions in models.items()}
    read = {
        (meta_name(v.tags["family"]), v.tags.get(tag))
        for name, versions in models.items()
        for v in versions
        if not name.startswith(META_PREFIX) and "family" in v.tags and v not in going[name]
        for tag in ("meta_version", "meta_key")
    }

    def is_read(meta: Registered) -> bool:
        names = meta.version, meta.tags["key"]
        return any((meta.name, name) in read for name in names) or not set(metas).isdisjoint(names)

    return [v for name, some in going.items() for v in some if not (name.startswith(META_PREFIX) and is_read(v))]


def _last_wanted(v: Registered, versions: Sequence[Registered]) -> datetime:
    """Return when a version was made, decided on, or left service, whichever was last."""
    times = [v.created, _time(v.tags.get("decided"))]
    others = [other for other in versions if other.tags.get("decision") in IN_SERVICE]
    after = [other for other in others if int(other.version) > int(v.version)][-1:]
    if v.tags.get("decision") in IN_SERVICE:
        for other in (*after, *(other for other in others if other.tags.get("replaced") == v.version)):
            times.append(_time(other.tags.get("decided")) or other.created)
    return max(time for time in times if time is not None)


def _may_go(v: Registered, versions: Sequence[Registered], before: datetime, keys: Collection[str]) -> bool:
    """Whether a version, by itself, is needed no more."""
    if v.aliases or v.tags.get("key", "") in ("", *keys) or WITHDRAWN in v.tags or v.tags.get("decision") == AWAITING:
        return False
    champion = next((int(other.version) for other in versions if registry.CHAMPION in other.aliases), 0)
    if v.tags.get("decision") == PROMOTED and int(v.version) > champion:
        return False  # its promotion may be what comes next
    return _last_wanted(v, versions) < before


def _time(text: str | None) -> datetime | None:
    """Return a time that a tag holds; None where it holds none."""
    with suppress(ValueError):
        found = datetime.fromisoformat(text or "")
        return found if found.tzinfo else found.replace(tzinfo=UTC)
    return None


def delete_version(settings: Settings, model: Registered) -> bool:
    """Take a version out of the registry, so that nobody finds it, then its run; return whether it was taken out.

    It stays where it came into service meanwhile, or a run of the same work is on its way. A process that dies after
    the first step leaves a run without a version, which :func:`leftover_runs` finds.
    """
    client = connect(settings.tracking_uri)
    with ExitStack() as stack:
        if KEY.fullmatch(key := model.tags["key"]):
            try:
                stack.enter_context(shared_lock(settings, key, seconds=0))
            except TimeoutError:
                return False
        stack.enter_context(promotion_lock(settings, model.name))
        with suppress(NotThereError):  # another clean was faster
            if client.get_model_version(model.name, model.version).aliases:
                return False
            client.delete_model_version(model.name, model.version)
    delete_run(settings, model.run_id)
    return True


def delete_run(settings: Settings, run_id: str) -> None:
    """Delete a run of MLflow with its files; where that is a server it is only marked, for its ``mlflow gc``.

    Two may do so at once: what another clean has done already is left.
    """
    from mlflow.exceptions import MlflowException
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
    from mlflow.tracking._tracking_service.utils import _get_store

    client, store = connect(settings.tracking_uri), _get_store(settings.tracking_uri)
    try:
        run = client.get_run(run_id)
    except NotThereError:
        return
    if run.info.lifecycle_stage == "active":
        with suppress(MlflowException):
            client.set_tag(run_id, PRUNED, "true")
            client.delete_run(run_id)
    if not hasattr(store, "_hard_delete_run"):
        return
    url = urlparse(run.info.artifact_uri)
    folder = Path(url2pathname(url.path)) if url.scheme in ("", "file") else None
    if folder is not None and (folder.parts[-2:] != (run_id, "artifacts") or folder.is_symlink()):
        return  # not a place that MLflow gives a run
    with suppress(FileNotFoundError):
        get_artifact_repository(run.info.artifact_uri).delete_artifacts()
    if folder is not None:
        with suppress(OSError):
            folder.parent.rmdir()
    with suppress(MlflowException):
        store._hard_delete_run(run_id)


def leftover_runs(settings: Settings, before: datetime) -> list[str]:
    """Return our runs of before then that no version names: a process died, or their version was deleted."""
    from mlflow.entities import ViewType

    client = connect(settings.tracking_uri)
    found = [client.get_experiment_by_name(name) for name in (ADAPT, META_TRAIN)]
    ids = [experiment.experiment_id for experiment in found if experiment is not None]
    if not ids:
        return []
    until = f"attributes.start_time < {int(before.timestamp() * 1000)}"
    half = _runs(client, ids, f"tags.{PRUNED} = 'true'", ViewType.DELETED_ONLY)
    old = {run.info.run_id: run.data.tags.get("model", "") for run in _runs(client, ids, until, ViewType.ACTIVE_ONLY)}
    named = {
        v.run_id for name in set(old.values()) - {""} for v in client.search_model_versions(f"name = '{_plain(name)}'")
    }
    return [run.info.run_id for run in half] + [run for run, name in old.items() if name and run not in named]


def _plain(name: str) -> str:
    """Return the name of a model, which goes into a query; one that could end its quotes is none of ours."""
    return name if name.replace("-", "").replace("_", "").isalnum() else ""


def _runs(client: Any, experiments: list[str], query: str, view: Any) -> Iterator[Any]:
    token = None
    while True:
        page = client.search_runs(experiments, query, run_view_type=view, max_results=PAGE, page_token=token)
        yield from page
        token = page.token
        if not token:
            return
