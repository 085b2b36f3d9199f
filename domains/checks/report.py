"""Findings in lines for people."""

from collections.abc import Iterator, Sequence

from domains.checks.finding import Finding, Kind
from domains.words import quantity

#: Findings of a kind that are listed.
LISTED = 5


def report_lines(findings: Sequence[Finding]) -> Iterator[str]:
    """Yield a line a kind, what to do, and the first places; errors first."""
    by_kind: dict[Kind, list[Finding]] = {}
    for finding in findings:
        by_kind.setdefault(finding.kind, []).append(finding)
    for kind in sorted(by_kind, key=lambda kind: kind.level):
        places = by_kind[kind]
        yield f"{kind.level}: {kind.what} [{kind.name}]"
        yield from (f"  {finding}" for finding in places[:LISTED])
        if len(places) > LISTED:
            yield f"  … and {len(places) - LISTED:,} more"
        yield f"  → {kind.remedy}"


def report_summary(findings: Sequence[Finding]) -> str:
    """Return how many errors and warnings there are."""
    errors = sum(finding.is_error for finding in findings)
    return f"{quantity(errors, 'error')}, {quantity(len(findings) - errors, 'warning')}"
