"""Versions of ``data/`` as lines for people and as JSON for programs."""

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from tasks.versions.commit import CommitResult
from tasks.versions.diff import DataDiff, DomainDiff, Side
from tasks.versions.push import PushResult

SIGNS = {"added": "+", "removed": "-", "changed": "~"}
NAMED = 5  # labels that a line names; it counts the others


def commit_lines(done: CommitResult, pushed: PushResult | None) -> Iterator[str]:
    """Say what a commit did, a line a domain."""
    if done.commit is None:
        yield "nothing to commit: HEAD names data/ as it is"
    elif done.diff is None:
        yield f"committed {done.commit[:12]}; what changed is unknown: the former list of files is not at hand"
    else:
        yield f"committed {done.commit[:12]}"
        yield from _changes(done.diff)
    yield from done.notes
    if pushed:
        yield push_line(pushed)


def push_line(done: PushResult) -> str:
    """Say what was pushed where."""
    made = " (made now: no DVC remote was configured)" if done.made else ""
    return f"{done.objects} files pushed to the DVC remote {done.remote}, {done.url}{made}"


def diff_lines(diff: DataDiff) -> Iterator[str]:
    """Say what differs, a line a domain."""
    if not diff.domains and not diff.others:
        yield "no difference"
    yield from _changes(diff)


def diff_json(diff: DataDiff) -> dict[str, Any]:
    """Return a diff for a program; null is unknown, or the side on which a domain does not exist."""
    domains = [asdict(d) | {"labels_added": d.labels_added, "labels_removed": d.labels_removed} for d in diff.domains]
    for domain in domains:
        for side in filter(None, (domain["before"], domain["after"])):
            side["labels"] = None if side["labels"] is None else len(side["labels"])
    return asdict(diff) | {"domains": domains}


def commit_json(done: CommitResult, pushed: PushResult | None, failed: Exception | None) -> dict[str, Any]:
    """Return what a commit did for a program."""
    diff = {"domains": None, "others": None} if done.diff is None else diff_json(done.diff)
    return {
        "commit": done.commit,
        "domains": diff["domains"],
        "others": diff["others"],
        "notes": done.notes,
        "pushed": pushed and asdict(pushed),
        "push_error": failed and str(failed),
    }


def _changes(diff: DataDiff) -> Iterator[str]:
    for domain in diff.domains:
        yield f"{SIGNS[domain.change]} {domain.name}: {_domain_text(domain)}"
    for name in diff.others:
        yield f"~ {name}: no domain"


def _domain_text(domain: DomainDiff) -> str:
    if domain.before is None or domain.after is None:
        (side,) = filter(None, (domain.before, domain.after))
        labels = "labels unknown" if side.labels is None else f"{len(side.labels)} labels"
        return ", ".join([*_counts(side), labels, _bytes(side.size)])
    before, after = domain.before, domain.after
    parts = [*_count_changes(before, after)]
    if domain.labels_added is None or domain.labels_removed is None:
        parts.append("labels unknown")
    else:
        parts += [f"label {sign}{name}" for sign, name in _label_changes(domain.labels_added, domain.labels_removed)]
    return ", ".join([*parts, f"{_bytes(before.size)} → {_bytes(after.size)}"])


def _counts(side: Side) -> list[str]:
    return ["counts unknown"] if side.counts is None else [f"{split} {n:,}" for split, n in side.counts.items()]


def _count_changes(before: Side, after: Side) -> Iterator[str]:
    if before.counts is None or after.counts is None:
        yield "counts unknown"
        return
    for split in sorted(before.counts.keys() | after.counts.keys()):
        a, b = before.counts.get(split, 0), after.counts.get(split, 0)
        yield f"{split} {b:,}" if a == b else f"{split} {a:,} → {b:,} ({b - a:+,})"


def _label_changes(added: tuple[str, ...], removed: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    for sign, names in (("+", added), ("-", removed)):
        yield from ((sign, name) for name in names[:NAMED])
        if len(names) > NAMED:
            yield sign, f"{len(names) - NAMED} more"


def _bytes(size: int | None) -> str:
    if size is None:
        return "size unknown"
    amount = float(size)
    for unit in ("bytes", "kB", "MB"):
        if amount < 1000:
            return f"{amount:.0f} {unit}" if unit == "bytes" or amount >= 10 else f"{amount:.1f} {unit}"
        amount /= 1000
    return f"{amount:.1f} GB"
