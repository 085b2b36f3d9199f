"""The state of an installation in one look: server, data, meta-models, champions."""

from datetime import UTC, datetime
from typing import Any

from rich.table import Table

from domains.domain import FAMILIES
from domains.errors import UserError
from tasks import registry
from tasks.data import data_revision, domains_at
from tasks.server import running
from tasks.settings import Settings


def status(settings: Settings) -> dict[str, Any]:
    """Return what is in service and where; nothing is started or changed."""
    found: dict[str, Any] = {"server": running(settings), "revision": None, "domains": {}}
    try:
        found["revision"] = data_revision(settings.root_path).commit
        found["domains"] = domains_at(settings.root_path)
    except UserError as error:
        found["data"] = str(error)
    meta = {family: registry.champion(settings, registry.meta_name(family)) for family in FAMILIES}
    found["meta_models"] = {family: describe(model) for family, model in meta.items() if model is not None}
    champions = {name: registry.champion(settings, name) for name in found["domains"]}
    found["champions"] = {name: describe(model) for name, model in champions.items() if model is not None}
    return found


def describe(model: registry.Registered) -> dict[str, Any]:
    """Return a version as JSON-able words and numbers; its age in seconds."""
    age = (datetime.now(UTC) - model.created).total_seconds()
    kept = {key: model.tags[key] for key in ("revision", "content_hash", "decision", "reason") if key in model.tags}
    return {
        "version": model.version,
        "age": round(age),
        "metrics": model.metrics,
        "params": model.params,
    } | kept


def tables(found: dict[str, Any]) -> list[Any]:
    """Return a status as tables for the terminal."""
    server = f"running at {found['server']}" if found["server"] else "not running (`acclimate up` starts it)"
    lines = [
        f"Prefect server: {server}",
        f"data: {found.get('data') or 'revision ' + found['revision'][:12]}",
    ]
    champions = Table("domain", "champion", "strategy", "K", "accuracy", "age", title="Champions", title_justify="left")
    for name, model in found["champions"].items():
        accuracy = f"{100 * model['metrics']['accuracy']:.1f} ± {100 * model['metrics']['ci95']:.1f}"
        how = model["params"]
        champions.add_row(name, model["version"], how["strategy"], how["k"], accuracy, ago(model["age"]))
    metas = Table("family", "meta-model", "age", title="Meta-models", title_justify="left")
    for family, model in found["meta_models"].items():
        metas.add_row(family, model["version"], ago(model["age"]))
    nothing = "No champions yet: run `acclimate demo`, or `acclimate adapt DOMAIN`."
    return ["\n".join(lines) + "\n", *((metas, champions) if found["champions"] else (nothing,))]


def ago(seconds: float) -> str:
    """Return an age in its largest sensible unit."""
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"
