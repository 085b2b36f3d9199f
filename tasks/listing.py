"""What domains there are and what they look like, for the command line."""

from typing import Any

from domains import catalogue
from domains.domain import Domain, check_name
from domains.errors import UserError
from tasks import registry
from tasks.data import snapshot
from tasks.settings import Settings

SHOWN = 3  # examples of a domain


def listing(settings: Settings) -> list[dict[str, Any]]:
    """Return a row a domain: the built-in ones, and others found in ``data/``."""
    here = {path.parent.name: Domain.read(path.parent) for path in sorted(settings.data_path.glob("*/domain.yaml"))}
    rows = []
    for name, source in catalogue.catalogue().items():
        row = {"domain": name, "family": source.family, "role": source.role, "title": source.title}
        rows.append(row | _facts(here.pop(name, None)))
    for name, domain in here.items():
        row = {
            "domain": name,
            "family": domain.family,
            "role": domain.role,
            "title": domain.meta.get("title", ""),
        }
        rows.append(row | _facts(domain))
    return rows


def show(settings: Settings, name: str) -> dict[str, Any]:
    """Return all that is known of a domain, with three examples where it is built.

    Raises:
        UserError: no such domain.
    """
    path = settings.data_path / check_name(name)
    if not path.exists():
        if name not in catalogue.catalogue():
            raise UserError(f"no domain {name!r}; see `acclimate domains list`")
        source = catalogue.source(name)
        keys = ("name", "family", "role", "title", "licence", "citation", "where")
        return {key: getattr(source, key) for key in keys} | {"here": "no: `acclimate data build` builds it"}
    domain = Domain.read(path)
    found = {"name": name, "family": domain.family, "role": domain.role, "labels": list(domain.labels)}
    found |= domain.meta | {"counts": domain.counts}
    column, y = domain.column("train"), domain.targets("train")
    chosen = range(0, len(column), max(1, len(column) // SHOWN))[:SHOWN]
    found["nearest sources"] = _nearest_sources(settings, domain)
    found["examples"] = [{"label": domain.labels[y[i]], "example": _shown(column[i])} for i in chosen]
    return found


def model_versions(settings: Settings, name: str) -> list[dict[str, Any]]:
    """Return a row a version of a registered model, newest first.

    Raises:
        UserError: nothing is registered under that name.
    """
    found = registry.versions(settings, name if name.startswith(registry.META_PREFIX) else check_name(name))
    if not found:
        raise UserError(f"no model of {name!r} yet; see `acclimate status`")
    return [_version(model) for model in found]


def _version(model: registry.Registered) -> dict[str, Any]:
    accuracy = model.metrics.get("accuracy")
    return {
        "version": model.version,
        "in service": ", ".join(model.aliases),
        "strategy": model.params.get("strategy", ""),
        "k": model.params.get("k", ""),
        "accuracy": "" if accuracy is None else f"{100 * accuracy:.1f}",
        "decision": model.tags.get("decision", ""),
        "created": f"{model.created:%Y-%m-%d %H:%M}",
    }


def target(settings: Settings, name: str, revision: str = "HEAD") -> Domain:
    """Return a target domain as it is at a revision.

    Raises:
        UserError: as ``snapshot``; or the domain is a source.
    """
    found = snapshot(settings.root_path, settings.home_path, name, revision)
    if found.role != "target":
        raise UserError(f"domain {name} is a source: it is meta-trained on; choose a target (`acclimate domains list`)")
    return found


def _shown(example: Any) -> str:
    if isinstance(example, bytes):
        return f"{len(example)} bytes"
    return example[:160] if isinstance(example, str) else " ".join(f"{value:.2f}" for value in example)


def _nearest_sources(settings: Settings, domain: Domain) -> dict[str, float] | str:
    """Return how far the nearest sources lie, if their features are at hand, or how they come to be known."""
    from tasks.similarity import known_map

    known = known_map(settings, domain)
    if known is None:
        return f"unknown until meta-training or `acclimate domains map --family {domain.family}` has read them"
    return {name: round(apart, 3) for name, apart in known.nearest_sources(domain.name).items()}


def _facts(domain: Domain | None) -> dict[str, Any]:
    if domain is None:
        return {"here": False, "labels": [], "counts": {}}
    return {"here": True, "labels": list(domain.labels), "counts": domain.counts}
