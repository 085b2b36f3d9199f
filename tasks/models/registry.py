"""MLflow as tracking and model registry: adapted models, meta-models, and which of them is in service.

An adapted model is a version of the registered model named after its domain, a meta-model a version of
``meta-<family>``. The alias ``champion`` says which version is in service, ``previous`` which was before it.
A version is created last, in one transaction, after its files and scores: what has a version is whole.
"""

import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import urlparse
from urllib.request import url2pathname

from domains.domain import is_name
from domains.errors import UserError
from tasks.base.settings import Settings
from tasks.base.shared_lock import shared_lock
from tasks.models.mlflow_client import AlreadyThereError, Client, NotThereError, connect
from tasks.models.mlflow_flavour import InputSpec, write_mlflow_model

CHAMPION, PREVIOUS = "champion", "previous"
ADAPT, META_TRAIN = "adapt", "meta-train"  # MLflow experiments
ANY = "any"  # whichever version is champion
META_PREFIX = "meta-"
COPIES = "models"  # folder in the home, of copies of what another machine keeps

SmokeTest = Callable[[Path], None]


class PromotionError(UserError):
    """A version could not be put into service; the one before it still is."""


@dataclass(frozen=True)
class Registered:
    """One version of a registered model.

    Attributes:
        name: the domain, or ``meta-<family>``.
        version: its number, as text.
        uri: where MLflow keeps its files.
        aliases: ``champion``, ``previous``, or none.
        params, metrics, tags: as they were logged.
        run_id: the MLflow run that made it.
        created: when, in UTC.
        copies: the folder for copies of files that MLflow keeps on another machine.
    """

    name: str
    version: str
    uri: str
    aliases: tuple[str, ...]
    params: dict[str, str]
    metrics: dict[str, float]
    tags: dict[str, str]
    run_id: str
    created: datetime
    tracking_uri: str = field(repr=False)
    copies: Path = field(default=Path(), repr=False)

    @cached_property
    def folder(self) -> Path:
        """The local folder with the model's own files; where MLflow keeps them elsewhere, a copy that is made once."""
        url = urlparse(self.uri)
        if url.scheme in ("file", ""):
            model = Path(url2pathname(url.path))
        else:
            model = _copy_here(self.uri, self.tracking_uri, self.copies)
        return model / "data" / "files"


def meta_name(family: str) -> str:
    """Return the registered name of a family's meta-models."""
    return META_PREFIX + family


def log_adapted(
    settings: Settings,
    name: str,
    folder: Path,
    params: Mapping[str, Any],
    metrics: Mapping[str, float],
    tags: Mapping[str, str],
) -> str:
    """Store and register an adapted model, and return its version.

    Args:
        settings: where MLflow is.
        name: the domain.
        folder: holds what ``Classifier.save`` wrote, and any file to be kept beside it.
        params: what it was made with.
        metrics: its scores.
        tags: its lineage; ``key`` is what :func:`find_by_key` finds it by, ``family`` and ``encoder`` what it reads.

    Raises:
        UserError: the disk is full, or the database stays locked. Nothing is registered then.
    """
    if name.startswith(META_PREFIX):
        raise UserError(f"domain name {name!r}: names that begin with '{META_PREFIX}' are kept for meta-models")
    with _disk_errors(name), tempfile.TemporaryDirectory() as stage:
        files = write_mlflow_model(folder, InputSpec.from_tags(tags), Path(stage))
        return _log(settings, ADAPT, name, files, params, metrics, tags)


def log_meta_model(
    settings: Settings,
    family: str,
    folder: Path,
    params: Mapping[str, Any],
    metrics: Mapping[str, float],
    tags: Mapping[str, str],
) -> str:
    """Store and register a meta-model as a version of ``meta-<family>``; as :func:`log_adapted` otherwise."""
    with _disk_errors(meta_name(family)), tempfile.TemporaryDirectory() as stage:
        shutil.copytree(folder, Path(stage) / "data" / "files")
        return _log(settings, META_TRAIN, meta_name(family), Path(stage), params, metrics, tags)


def champion(settings: Settings, name: str) -> Registered | None:
    """Return the version in service, or None."""
    version = _aliases(settings, name).get(CHAMPION)
    return get(settings, name, version) if version else None


def get(settings: Settings, name: str, version: str) -> Registered:
    """Return one version, or raise UserError."""
    with suppress(NotThereError):
        if version.isdecimal():
            found = _client(settings).get_model_version(name, version)
            return _registered(settings, found, found.aliases)
    raise UserError(f"{name} has no version {version}; see: acclimate models show {name}")


def versions(settings: Settings, name: str) -> list[Registered]:
    """Return all versions, newest first."""
    found = _client(settings).search_model_versions(f"name = '{name}'")
    return _all_registered(settings, name, sorted(found, key=lambda v: -int(v.version)))


def names(settings: Settings) -> list[str]:
    """Return the names of all registered models that are of our form, sorted."""
    return sorted(str(model.name) for model in _registered_models(settings))


def champions(settings: Settings) -> dict[str, str]:
    """Return which version of each model is in service, of those that have one; in one query, as it is asked often."""
    aliases = {str(model.name): model.aliases.get(CHAMPION) for model in _registered_models(settings)}
    return {name: str(version) for name, version in aliases.items() if version}


def tag(settings: Settings, name: str, version: str, tags: Mapping[str, object]) -> None:
    """Write tags of a version; those of the same name are replaced, one that is None is taken away."""
    for key, value in tags.items():
        if value is None:
            with suppress(NotThereError):
                _client(settings).delete_model_version_tag(name, version, key)
        else:
            _client(settings).set_model_version_tag(name, version, key, str(value))


def newest(settings: Settings, name: str, count: int) -> list[Registered]:
    """Return at most so many versions, newest first."""
    order = ["version_number DESC"]
    found = _client(settings).search_model_versions(f"name = '{name}'", max_results=count, order_by=order)
    return _all_registered(settings, name, found)


def find_by_key(settings: Settings, key: str) -> Registered | None:
    """Return the newest version with the tag ``key``: the same work was done and needs no doing again."""
    return find_by_tag(settings, "key", key)


def find_by_tag(settings: Settings, tag: str, value: str) -> Registered | None:
    """Return the newest version, of whichever model, with a tag of this value."""
    found = _client(settings).search_model_versions(f"tags.{tag} = '{value}'")
    newest = max(found, key=lambda version: version.creation_timestamp, default=None)
    return _all_registered(settings, newest.name, [newest])[0] if newest else None


def promote(
    settings: Settings, name: str, version: str, smoke_test: SmokeTest, expected: str | None = ANY
) -> Registered | None:
    """Put a version into service by moving the alias ``champion`` to it in one step.

    It is smoke-tested before the move, so that a process killed at any moment leaves a champion that loads,
    and once more after it, as readers find it; if that fails, the alias goes back. Promotions of one name wait
    for each other (``tasks/base/shared_lock.py``). Promoting the champion changes nothing.

    Args:
        settings: where MLflow is.
        name: the domain, or ``meta-<family>``.
        version: the version to put into service.
        smoke_test: takes the folder with the model's files, makes a prediction, and raises if it is no good.
        expected: the version the gate compared with (None: there was none); if another is champion by now,
            the comparison no longer holds.

    Returns:
        The version that was in service before, or None.

    Raises:
        PromotionError: the smoke test failed, or another version became champion meanwhile.
    """
    with promotion_lock(settings, name):
        client, aliases = _client(settings), _aliases(settings, name)
        old = aliases.get(CHAMPION)
        if old == version:
            return get(settings, name, version)
        if expected not in (ANY, old):
            now = f"version {old}" if old else "none"
            raise PromotionError(f"{name}: the champion is {now}, not version {expected} any more; run the gate again")
        challenger = get(settings, name, version)
        try:
            smoke_test(challenger.folder)
        except Exception as error:
            message = f"{name} version {version} fails its smoke test ({error}) and was not promoted"
            raise PromotionError(message) from error
        if old:
            client.set_registered_model_alias(name, PREVIOUS, old)
        client.set_registered_model_alias(name, CHAMPION, version)
        try:
            smoke_test(get(settings, name, _aliases(settings, name)[CHAMPION]).folder)
        except BaseException as error:
            for alias in (CHAMPION, PREVIOUS):
                if alias in aliases:
                    client.set_registered_model_alias(name, alias, aliases[alias])
                else:
                    client.delete_registered_model_alias(name, alias)
            if not isinstance(error, Exception):
                raise
            back = f"version {old} is back in service" if old else "no version is in service"
            message = f"{name} version {version} fails its smoke test in service ({error}); {back}"
            raise PromotionError(message) from error
        return get(settings, name, old) if old else None


def previous(settings: Settings, name: str) -> Registered:
    """Return the champion before the one in service, or raise PromotionError."""
    aliases = _aliases(settings, name)
    version = aliases.get(PREVIOUS)
    if version is None or version == aliases.get(CHAMPION):
        raise PromotionError(f"{name} has no previous champion; choose one: acclimate models show {name}")
    return get(settings, name, version)


def _log(
    settings: Settings,
    experiment: str,
    name: str,
    files: Path,
    params: Mapping[str, Any],
    metrics: Mapping[str, float],
    tags: Mapping[str, str],
) -> str:
    from mlflow.entities import Metric, Param

    client, now = _client(settings), int(time.time() * 1000)
    tags = {tag: str(value) for tag, value in tags.items()}
    run = client.create_run(_experiment_id(settings, experiment), tags=tags | {"model": name}, run_name=name)
    run_id = run.info.run_id
    try:
        client.log_batch(
            run_id,
            params=[Param(param, str(value)) for param, value in params.items()],
            metrics=[Metric(metric, value, now, 0) for metric, value in metrics.items()],
        )
        _log_data(client, run_id, name, tags)
        client.log_artifacts(run_id, str(files), "model")
        with suppress(AlreadyThereError):
            client.create_registered_model(name)
        source = f"{run.info.artifact_uri}/model"
        version = client.create_model_version(name, source=source, run_id=run_id, tags=tags, await_creation_for=0)
    except BaseException:
        with suppress(Exception):
            client.set_terminated(run_id, "FAILED")
        raise
    client.set_terminated(run_id)
    return str(version.version)


def _log_data(client: Client, run_id: str, name: str, tags: Mapping[str, str]) -> None:
    """Log the data that a model was made from as MLflow's input of its run, by what names its bytes: none are read."""
    if "revision" not in tags:  # decisions have no data
        return
    from mlflow.entities import Dataset, DatasetInput, InputTag

    source = {key: tags[key] for key in ("revision", "content_hash") if key in tags} | {"path": f"data/{name}"}
    if name.startswith(META_PREFIX):
        source["path"] = "data"
    digest = tags.get("content_hash", tags.get("key", tags["revision"]))[:36]  # no more fits into MLflow's table
    dataset = Dataset(name=name, digest=digest, source_type="dvc", source=json.dumps(source))
    context = InputTag("mlflow.data.context", "meta-training" if name.startswith(META_PREFIX) else "adaptation")
    client.log_inputs(run_id, [DatasetInput(dataset, [context])])


def _registered_models(settings: Settings) -> Iterator[Any]:
    """Yield the registered models whose names are of our form: a registry may hold others."""
    token = None
    while True:
        page = _client(settings).search_registered_models(max_results=500, page_token=token)
        yield from (model for model in page if is_name(str(model.name).removeprefix(META_PREFIX)))
        token = page.token
        if not token:
            return


@contextmanager
def _disk_errors(name: str) -> Iterator[None]:
    """Raise UserError where a model cannot be written."""
    try:
        yield
    except OSError as error:
        message = f"cannot store the model of {name}: {error.strerror or error}; free some space, then run again"
        raise UserError(message) from error


def _all_registered(settings: Settings, name: str, found: Iterable[Any]) -> list[Registered]:
    """Return what a search found of one name; it finds no aliases."""
    aliases = _aliases(settings, name)
    return [_registered(settings, v, [a for a, number in aliases.items() if number == str(v.version)]) for v in found]


def _registered(settings: Settings, version: Any, aliases: Iterable[str]) -> Registered:
    run = _client(settings).get_run(version.run_id)
    return Registered(
        name=version.name,
        version=str(version.version),
        uri=version.source,
        aliases=tuple(sorted(aliases)),
        params=dict(run.data.params),
        metrics=dict(run.data.metrics),
        tags=dict(version.tags),
        run_id=version.run_id,
        created=datetime.fromtimestamp(version.creation_timestamp / 1000, UTC),
        tracking_uri=settings.tracking_uri,
        copies=settings.home_path / COPIES,
    )


def _copy_here(uri: str, tracking_uri: str, folder: Path) -> Path:
    """Return a copy of a model's files, under a name of our making; where it is absent it is fetched, whole."""
    from mlflow.artifacts import download_artifacts

    copy = folder / hashlib.sha256(uri.encode()).hexdigest()[:32]
    with _disk_errors(uri):
        if not copy.exists():
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=folder, prefix=".making-") as made:
                fetched = download_artifacts(artifact_uri=uri, tracking_uri=tracking_uri, dst_path=made)
                with suppress(OSError):  # another process was faster
                    Path(fetched).rename(copy)
        os.utime(copy)  # it is in use: `acclimate clean`
    return copy


def _aliases(settings: Settings, name: str) -> dict[str, str]:
    try:
        aliases = _client(settings).get_registered_model(name).aliases
    except NotThereError:
        return {}
    return {alias: str(version) for alias, version in aliases.items()}


def _experiment_id(settings: Settings, experiment: str) -> str:
    client = _client(settings)
    found = client.get_experiment_by_name(experiment)
    if found is None:
        # A tracking server knows itself where artifacts go; a database does not.
        served = urlparse(settings.tracking_uri).scheme in ("http", "https")
        location = None if served else (settings.home_path / "mlartifacts" / experiment).as_uri()
        with suppress(AlreadyThereError):
            client.create_experiment(experiment, artifact_location=location)
        found = client.get_experiment_by_name(experiment)
    return str(found.experiment_id)


@contextmanager
def promotion_lock(settings: Settings, name: str) -> Iterator[None]:
    """Let one promotion of a name run at a time; the lock dies with the process that holds it.

    Raises:
        PromotionError: another one has held it for two minutes.
    """
    with ExitStack() as stack:
        try:
            stack.enter_context(shared_lock(settings, f"promote-{name}", seconds=120))
        except TimeoutError as error:
            raise PromotionError(f"{name}: another promotion has been running for two minutes; try later") from error
        yield


def _client(settings: Settings) -> Client:
    return connect(settings.tracking_uri)
