"""Equal examples: copies within and across shards, and copies that carry different labels."""

from collections.abc import Iterator, Sequence

import numpy as np

from domains.checks.finding import Finding, Kind
from domains.checks.scan import Scan
from domains.domain import Domain

CONFLICT = Kind(
    "conflicting-labels",
    "error",
    "the same example with different labels",
    "nobody can say which is right: decide on one, or remove both",
)
LEAK = Kind(
    "train-in-test",
    "error",
    "an example of the training shard again in the test shard, so that its answer is known",
    "remove it from one of them",
)
POOL = Kind(
    "pool-in-test",
    "warning",
    "an unlabelled example again in the test shard",
    "remove it from pool.parquet unless the model will see new examples before it predicts them",
)
ACROSS = Kind("train-in-pool", "warning", "a labelled example again in the pool", "remove it from pool.parquet")
WITHIN = Kind("repeated", "warning", "an example twice in a shard", "keep one of them")
KINDS = (CONFLICT, LEAK, POOL, ACROSS, WITHIN)


def duplicates(domain: Domain, scans: Sequence[Scan]) -> list[Finding]:
    """Compare every example with every other one, by its hash. Shards in the order train, pool, test.

    Of market vectors the same may have different labels, for what comes after a day is not decided by it.
    """
    found = []
    place_of = {scan.file: place for place, scan in enumerate(scans)}
    for group in groups(scans):
        for place, (scan, i) in enumerate(group[1:], 1):
            before = group[:place]
            other = None if domain.family == "market" else differs(scan, i, before)
            kind = CONFLICT
            if other is None:
                kind, other = copy_of(scan, before)
            first, j = other
            about = f"also {first.where(j)}"
            if kind is CONFLICT:
                mine, theirs = (domain.labels[s.labels[k]] for s, k in ((scan, i), other))
                about = f"labelled {mine!r} here and {theirs!r} in {first.where(j)}"
            found.append(Finding(kind, scan.file, scan.shown(i), int(scan.rows[i]), about))
    return sorted(found, key=lambda finding: (place_of[finding.file], finding.row or 0))


Member = tuple[Scan, int]


def groups(scans: Sequence[Scan]) -> Iterator[list[Member]]:
    """Yield examples that are equal, in the order of shards and rows."""
    if not scans:
        return
    keys = np.concatenate([scan.parts["key"] for scan in scans])
    members = [(scan, i) for scan in scans for i in range(len(scan))]
    order = keys.argsort(kind="stable")
    for group in np.split(order, np.flatnonzero(np.diff(keys[order])) + 1):
        if len(group) > 1:
            yield [members[i] for i in group]


def differs(scan: Scan, i: int, before: Sequence[Member]) -> Member | None:
    """Return the first equal example that carries another label, or None."""
    label = scan.labels[i]
    return next(((s, j) for s, j in before if -1 != s.labels[j] != label != -1), None)


def copy_of(scan: Scan, before: Sequence[Member]) -> tuple[Kind, Member]:
    """Return what kind of copy an example is, and of which one before it."""
    first = before[0]
    across = {("train", "test"): LEAK, ("pool", "test"): POOL, ("train", "pool"): ACROSS}
    return across.get((first[0].split, scan.split), WITHIN), first
