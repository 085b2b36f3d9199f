"""Check a domain folder: what is wrong, where, and what to do about it.

``run_checks(domain)`` gives findings; an error should stop whoever wants to use or version the domain.
"""

from domains.checks import classes, duplicates, folder, images, leakage, near, prices, scan, schema, texts, times
from domains.checks.checking import count_rows_to_check, run_checks
from domains.checks.finding import Finding, Kind
from domains.checks.report import report_lines, report_summary

#: Every kind of finding there is.
KINDS: tuple[Kind, ...] = tuple(
    kind
    for module in (folder, scan, schema, classes, duplicates, near, leakage, texts, images, times, prices)
    for kind in module.KINDS
)

__all__ = ["KINDS", "Finding", "Kind", "count_rows_to_check", "report_lines", "report_summary", "run_checks"]
