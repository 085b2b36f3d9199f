"""Check a domain folder: what is wrong, where, and what to do about it.

``check(domain)`` gives findings; an error should stop whoever wants to use or version the domain.
"""

from domains.checks import classes, duplicates, folder, images, leakage, near, scan, schema, texts, times
from domains.checks.checking import check, size
from domains.checks.finding import Finding, Kind
from domains.checks.report import lines, summary

#: Every kind of finding there is.
KINDS: tuple[Kind, ...] = tuple(
    kind
    for module in (folder, scan, schema, classes, duplicates, near, leakage, texts, images, times)
    for kind in module.KINDS
)

__all__ = ["KINDS", "Finding", "Kind", "check", "lines", "size", "summary"]
