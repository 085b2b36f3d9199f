"""What domains there are and what they look like, for the command line."""

from collections.abc import Callable
from typing import Any

from domains import catalogue
from domains.domain import Domain, check_name
from domains.errors import UserError
from domains.source import Source
from tasks.base.downloads import fetcher
from tasks.base.settings import Settings

SHOWN = 3  # examples of a domain


def list_domains(settings: Settings) -> list[dict[str, Any]]:
    """Return a row a domain: those of the catalogue, and others found in ``data/``.

    ``state`` is ``built`` (it is in ``data/``), ``can build`` (its files are here or can be fetched) or ``mirror`` (a
    user has to bring a file: ACCLIMATE_MIRROR).
    """
    here = {path.parent.name: Domain.read(path.parent) for path in sorted(settings.data_path.glob("*/domain.yaml"))}
    order = sorted(catalogue.catalogue().values(), key=lambda entry: not entry.quick)  # the quick start first
    rows = [_row(settings, entry, here.pop(entry.name, None)) for entry in order]
    for name, domain in here.items():
        row = {"domain": name, "family": domain.family, "role": domain.role, "title": domain.meta.get("title", "")}
        counts = {"classes": len(domain.labels), "total": sum(domain.counts.values())}
        rows.append(row | {"state": "built"} | counts | {"quick": False} | _facts(domain))
    return rows


def _row(settings: Settings, entry: Source, domain: Domain | None) -> dict[str, Any]:
    """Return the row of an entry of the catalogue, built or not."""
    keys = ("family", "role", "title", "classes", "medical", "quick", "licence", "citation", "where")
    row = {"domain": entry.name} | {key: getattr(entry, key) for key in keys} | {"total": entry.examples}
    files: list[dict[str, Any]] = [{"file": f.path, "bytes": f.size, "sha256": f.sha256} for f in entry.files]
    files += [{"file": w.file, "bytes": w.size, "sha256": w.sha256} for w in entry.wheels]
    state = "built" if domain else "mirror" if missing_files(settings, entry) else "can build"
    return row | {"state": state, "files": files, "overlaps": list(catalogue.overlaps(entry.name))} | _facts(domain)


def missing_files(settings: Settings, entry: Source) -> list[str]:
    """Return the files, as a mirror has them, that have to be brought before an entry can be built."""
    return [file.path for file in entry.files if not fetcher(settings).has(file)]


def describe_domain(
    settings: Settings, name: str, nearest: Callable[[Settings, Domain], dict[str, float] | str]
) -> dict[str, Any]:
    """Return all that is known of a domain, with three examples where it is built.

    Args:
        nearest: returns the sources that lie nearest to a domain and how far, or why they are unknown.

    Raises:
        UserError: no such domain.
    """
    path = settings.data_path / check_name(name)
    if not path.exists():
        if name not in catalogue.catalogue():
            raise UserError(f"no domain {name!r}; see `acclimate domains list`")
        entry = catalogue.find_source(name)
        row = _row(settings, entry, None)
        about = {key: value for key, value in row.items() if key not in ("domain", "here", "labels", "counts")}
        command = "acclimate data build" + ("" if entry.quick else f" --domain {name}")
        absent = ", ".join(missing_files(settings, entry))
        first = f"put {absent} into a folder, set ACCLIMATE_MIRROR to it, then " if absent else ""
        return {"name": name} | about | {"here": f"no: {first}`{command}` builds it"}
    domain = Domain.read(path)
    found = {"name": name, "family": domain.family, "role": domain.role, "labels": list(domain.labels)}
    found |= domain.meta | {"counts": domain.counts}
    if name in catalogue.catalogue():
        found["overlaps"] = list(catalogue.overlaps(name))
    column, y = domain.column("train"), domain.targets("train")
    rows = range(0, len(column), max(1, len(column) // SHOWN))[:SHOWN]
    found["nearest sources"] = nearest(settings, domain)
    found["examples"] = [{"label": domain.labels[y[i]], "example": _example_text(column[i])} for i in rows]
    return found


def _example_text(example: Any) -> str:
    if isinstance(example, bytes):
        return f"{len(example)} bytes"
    return example[:160] if isinstance(example, str) else " ".join(f"{value:.2f}" for value in example)


def _facts(domain: Domain | None) -> dict[str, Any]:
    if domain is None:
        return {"here": False, "labels": [], "counts": {}}
    return {"here": True, "labels": list(domain.labels), "counts": domain.counts}
