"""What differs between two versions of ``data/``, domain by domain, read from DVC's cache and never from ``data/``."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import yaml

from domains.errors import UserError
from tasks.versions.cache import is_sound, listing_at, usual_path
from tasks.versions.revisions import DataRevision, Listing, changed_names, data_revision, domain_files

#: Where an object of DVC's cache would be, by its name.
Locate = Callable[[str], Path]


@dataclass(frozen=True)
class Side:
    """A domain in one of the two versions; None where it is unknown, as the object is not in the cache.

    Attributes:
        counts: examples by split.
        labels: label names.
        size: bytes of its files.
    """

    counts: dict[str, int] | None
    labels: tuple[str, ...] | None
    size: int | None


@dataclass(frozen=True)
class DomainDiff:
    """A domain that differs, before and after; None is the side on which it does not exist."""

    name: str
    change: Literal["added", "removed", "changed"]
    before: Side | None
    after: Side | None

    @property
    def labels_added(self) -> tuple[str, ...] | None:
        return _labels_beyond(self.after, self.before)

    @property
    def labels_removed(self) -> tuple[str, ...] | None:
        return _labels_beyond(self.before, self.after)


@dataclass(frozen=True)
class DataDiff:
    """What differs between two versions.

    Attributes:
        before, after: commits; empty before the first version, and for what is being committed.
        domains: those that differ, by name.
        others: names directly under ``data/`` that differ and are no domain.
    """

    before: str
    after: str
    domains: tuple[DomainDiff, ...]
    others: tuple[str, ...]


def data_diff(root: Path, before: str, after: str = "HEAD") -> DataDiff:
    """Compare ``data/`` at two git revisions.

    Raises:
        UserError: as ``data_revision``; the versions differ and the list of files of one is neither in the
            cache nor at the remote, so that what differs is unknown.
    """
    a, b = data_revision(root, before), data_revision(root, after)
    if a.data_hash == b.data_hash:  # the same bytes, whether or not their list is at hand
        return DataDiff(a.commit, b.commit, (), ())
    files = _listing_at(root, a), _listing_at(root, b)
    return DataDiff(a.commit, b.commit, *compare_listings(*files, lambda name: usual_path(root, name)))


def compare_listings(before: Listing, after: Listing, locate: Locate) -> tuple[tuple[DomainDiff, ...], tuple[str, ...]]:
    """Return the domains that differ between two lists of files, and the other names that do."""
    a, b, names = domain_files(before), domain_files(after), changed_names(before, after)
    differing = tuple(_domain_diff(name, a.get(name), b.get(name), locate) for name in names if name in a or name in b)
    return differing, tuple(name for name in names if name not in a and name not in b)


def _listing_at(root: Path, at: DataRevision) -> Listing:
    try:
        return listing_at(root, at)
    except UserError as error:
        raise UserError(f"what changed is unknown: {error}") from error


def _domain_diff(name: str, before: Listing | None, after: Listing | None, locate: Locate) -> DomainDiff:
    change: Any = "added" if before is None else "removed" if after is None else "changed"
    sides = [None if files is None else _side(files, locate) for files in (before, after)]
    return DomainDiff(name, change, *sides)


def _side(files: Listing, locate: Locate) -> Side:
    about = _about(dict(files)["domain.yaml"], locate)
    labels = about.get("labels")
    try:
        size = sum(locate(md5).stat().st_size for _, md5 in files)
    except OSError:
        size = None
    shards = {path.removesuffix(".parquet"): locate(md5) for path, md5 in files if path.endswith(".parquet")}
    return Side(_counts(shards, about), None if labels is None else tuple(map(str, labels)), size)


def _about(md5: str, locate: Locate) -> dict[str, Any]:
    """Return what a ``domain.yaml`` says, or nothing where it is not at hand or cannot be read."""
    if not is_sound(locate(md5), md5):
        return {}
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # ten times as fast where PyYAML was built with it
    try:
        about = yaml.load(locate(md5).read_text("utf-8"), loader)
    except (OSError, ValueError, yaml.YAMLError):
        return {}
    return about if isinstance(about, dict) else {}


def _counts(shards: dict[str, Path], about: dict[str, Any]) -> dict[str, int] | None:
    """Return examples by split from the ends of the shards; where one is not at hand, as ``domain.yaml`` has them."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return {split: pq.read_metadata(path).num_rows for split, path in sorted(shards.items())}
    except (OSError, pa.ArrowException):
        counts = about.get("counts")
        return {str(split): int(n) for split, n in counts.items()} if isinstance(counts, dict) else None


def _labels_beyond(one: Side | None, other: Side | None) -> tuple[str, ...] | None:
    """Return the labels of one side that the other lacks."""
    mine, theirs = (() if side is None else side.labels for side in (one, other))
    return None if mine is None or theirs is None else tuple(label for label in mine if label not in set(theirs))
