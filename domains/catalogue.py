"""All built-in domains: every ``SOURCES`` of the modules under text/, vision/ and market/."""

from functools import cache
from importlib import import_module
from pkgutil import iter_modules

import domains
from domains.domain import FAMILIES
from domains.errors import UserError
from domains.source import Source


@cache
def catalogue() -> dict[str, Source]:
    """Return the built-in sources by name, families in order."""
    found: dict[str, Source] = {}
    for family in FAMILIES:
        folder = f"{domains.__path__[0]}/{family}"
        for module in sorted(m.name for m in iter_modules([folder])):
            for source in getattr(import_module(f"domains.{family}.{module}"), "SOURCES", ()):
                found[source.name] = source
    return found


def source(name: str) -> Source:
    """Return one built-in source, or raise UserError naming those there are."""
    if name not in catalogue():
        raise UserError(f"no built-in domain {name!r}; there are: {', '.join(catalogue())}")
    return catalogue()[name]
