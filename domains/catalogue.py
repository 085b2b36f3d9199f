"""The catalogue: every ``SOURCES`` of the modules under text/, vision/ and market/.

Domains of the quick start are fetched from a package index; the others are read from a mirror or an address.
"""

from functools import cache
from importlib import import_module
from pkgutil import iter_modules

import domains
from domains.domain import FAMILIES
from domains.errors import UserError
from domains.source import Source


@cache
def catalogue() -> dict[str, Source]:
    """Return all sources by name, families in order."""
    found: dict[str, Source] = {}
    for family in FAMILIES:
        folder = f"{domains.__path__[0]}/{family}"
        for module in sorted(m.name for m in iter_modules([folder])):
            for source in getattr(import_module(f"domains.{family}.{module}"), "SOURCES", ()):
                found[source.name] = source
    return found


@cache
def quick_start() -> dict[str, Source]:
    """Return the sources that ``data.dvc`` of the project names."""
    return {name: find_source for name, find_source in catalogue().items() if find_source.quick}


def find_source(name: str) -> Source:
    """Return one source, or raise UserError that says where they are listed."""
    if name not in catalogue():
        raise UserError(f"no domain {name!r} in the catalogue; see `acclimate domains list`")
    return catalogue()[name]


def overlaps(name: str) -> tuple[str, ...]:
    """Return the domains that share examples with one, whichever of the two names the other, in order."""
    naming = {other for other, entry in catalogue().items() if name in entry.overlaps}
    return tuple(other for other in catalogue() if other in naming or other in find_source(name).overlaps)


def catalogue_table() -> str:
    """Return the catalogue as the markdown table of ``docs/catalogue.md``, the quick start first."""
    lines = ["| domain | family | role | classes | examples | to fetch | licence |", "|---|---|---|---|---|---|---|"]
    for entry in sorted(catalogue().values(), key=lambda entry: not entry.quick):
        size = sum(file.size for file in entry.files) + sum(wheel.size for wheel in entry.wheels)
        role = f"medical {entry.role}" if entry.medical else entry.role
        fetched = f"{size / 1e6:.1f} MB" if size else "nothing"
        if entry.files:
            fetched += ", address" if all(file.url for file in entry.files) else ", mirror"
        cells = (f"`{entry.name}`", entry.family, role, f"{entry.classes:,}", f"{entry.examples:,}", fetched)
        lines.append(f"| {' | '.join((*cells, entry.licence))} |")
    return "\n".join(lines)
