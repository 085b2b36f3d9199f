"""Equal examples: copies within and across shards, and copies that carry different labels."""

from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np

from domains.checks.finding import Finding, Kind
from domains.checks.scan import Scan
from domains.domain import Domain
from domains.same_example import contradict, may_contradict

CONFLICT = Kind(
    "conflicting-labels",
    "error",
    "the same example with different labels",
    "it is unclear which is right: decide on one, or remove both",
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
SAME_ASSET = Kind(
    "same-asset",
    "warning",
    "an asset that moves as another does, day after day, as one series in two currencies",
    "leave one of them out",
)
KINDS = (CONFLICT, LEAK, POOL, ACROSS, WITHIN, SAME_ASSET)

Member = tuple[Scan, int]


def find_duplicates(domain: Domain, scans: Sequence[Scan]) -> list[Finding]:
    """Compare every example with every other one, as ``domains/same_example.py`` has it; shards in their order."""
    found, together = [], Counter[tuple[str, ...]]()
    place_of = {scan.file: place for place, scan in enumerate(scans)}
    for group in group_copies(scans):
        for place, (scan, i) in enumerate(group[1:], 1):
            before = group[:place]
            if (other_asset := asset_of_same_day(scan, i, before)) is not None:
                together[tuple(sorted((str(scan.parts["asset"][i]), other_asset)))] += 1
                continue
            other = first_contradiction(scan, i, before) if may_contradict(domain.family) else None
            kind = CONFLICT
            if other is None:
                kind, other = kind_of_copy(scan, before)
            first, j = other
            about = f"also {first.where(j)}"
            if kind is CONFLICT:
                mine, theirs = (domain.labels[s.labels[k]] for s, k in ((scan, i), other))
                about = f"labelled {mine!r} here and {theirs!r} in {first.where(j)}"
            found.append(Finding(kind, scan.file, scan.excerpt(i), int(scan.rows[i]), about))
    found.sort(key=lambda finding: (place_of[finding.file], finding.row or 0))
    for (other_asset, asset), days in together.items():
        found.append(Finding(SAME_ASSET, domain.name, asset, about=f"as {other_asset} on {days:,} dates"))
    return found


def asset_of_same_day(scan: Scan, i: int, before: Sequence[Member]) -> str | None:
    """Return another asset that a market has the same example of on the same day, or None."""
    if "asset" not in scan.parts:
        return None
    same = (s.parts["asset"][j] for s, j in before if s.parts["day"][j] == scan.parts["day"][i])
    return next((str(asset) for asset in same if asset != scan.parts["asset"][i]), None)


def group_copies(scans: Sequence[Scan]) -> Iterator[list[Member]]:
    """Yield examples that are equal, in the order of shards and rows."""
    if not scans:
        return
    keys = np.concatenate([scan.parts["key"] for scan in scans])
    members = [(scan, i) for scan in scans for i in range(len(scan))]
    order = keys.argsort(kind="stable")
    for group in np.split(order, np.flatnonzero(np.diff(keys[order])) + 1):
        if len(group) > 1:
            yield [members[i] for i in group]


def first_contradiction(scan: Scan, i: int, before: Sequence[Member]) -> Member | None:
    """Return the first copy whose label contradicts that of an example, or None."""
    return next(((s, j) for s, j in before if contradict(s.labels[j], scan.labels[i])), None)


def kind_of_copy(scan: Scan, before: Sequence[Member]) -> tuple[Kind, Member]:
    """Return what kind of copy an example is, and of which one before it."""
    first = before[0]
    across = {("train", "test"): LEAK, ("pool", "test"): POOL, ("train", "pool"): ACROSS}
    return across.get((first[0].split, scan.split), WITHIN), first
