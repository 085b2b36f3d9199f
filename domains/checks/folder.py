"""Check what domain.yaml says, and which files there are."""

import json
from collections import Counter
from collections.abc import Iterator

import pyarrow as pa
import pyarrow.parquet as pq

from domains.checks.finding import Finding, Kind, short_value
from domains.domain import ROLES, Domain, Split
from domains.names import LETTERS

ROLE = Kind("bad-role", "error", "a role that is neither source nor target", "write `role: source` or `role: target`")
TWICE = Kind("label-twice", "error", "a label name twice in `labels`", "give every label a name of its own")
ALIKE = Kind(
    "labels-alike",
    "warning",
    "label names that differ by case or space only",
    "make them one label if they mean the same",
)
MISSING = Kind(
    "missing-shard",
    "error",
    "no train.parquet, or no test.parquet of a target",
    "add the domain again from its source: it needs labelled examples, and a target needs some kept apart as test",
)
EMPTY = Kind("empty-shard", "error", "a shard without rows", "remove the file, or write its examples")
STRAY = Kind(
    "stray-file",
    "warning",
    "a file that is no part of a domain; it would be versioned with it",
    "move it out of the folder",
)
COUNTS = Kind(
    "wrong-counts",
    "error",
    "`counts` in domain.yaml that differ from the rows of the shards",
    "if the shards are right write their counts, else add the domain again",
)
NAMES = Kind(
    "other-labels",
    "error",
    "label names inside a shard that are not `labels` of domain.yaml: its numbers mean something else",
    "add the domain again, so that both are written from one list",
)
KINDS = (ROLE, TWICE, ALIKE, MISSING, EMPTY, STRAY, COUNTS, NAMES)

SPLITS: tuple[Split, ...] = ("train", "pool", "test")


def check_folder(domain: Domain) -> list[Finding]:
    """Return what is wrong apart from the examples. A shard that cannot be read is left to ``scan``."""
    about = f"{domain.name}/domain.yaml"
    found = []
    if domain.role not in ROLES:
        found.append(Finding(ROLE, about, short_value(domain.role)))
    found += label_findings(domain, about)
    wanted: tuple[Split, ...] = ("train", "test") if domain.role == "target" else ("train",)
    found += [
        Finding(MISSING, f"{domain.name}/{split}.parquet", "no such file") for split in wanted if not domain.has(split)
    ]
    known = {"domain.yaml", *(f"{split}.parquet" for split in SPLITS)}
    for path in sorted(domain.path.iterdir()):
        if path.name not in known or path.is_symlink():
            value = "a link" if path.is_symlink() else "a folder" if path.is_dir() else f"{path.stat().st_size:,} bytes"
            found.append(Finding(STRAY, f"{domain.name}/{path.name}", value))
    return found + shard_findings(domain)


def label_findings(domain: Domain, file: str) -> Iterator[Finding]:
    """Yield label names that are there twice, or that hardly differ."""
    exact = Counter(domain.labels)
    yield from (Finding(TWICE, file, short_value(name)) for name, n in exact.items() if n > 1)
    seen: dict[str, str] = {}
    for name in filter(LETTERS.search, exact):  # of single letters the case is meant
        other = seen.setdefault(" ".join(name.split()).casefold(), name)
        if other != name:
            yield Finding(ALIKE, file, short_value(name), about=f"and {short_value(other)}")


def shard_findings(domain: Domain) -> list[Finding]:
    """Return where counts and label names differ from those of the shards."""
    found, counts = [], {}
    for split in SPLITS:
        file = f"{domain.name}/{split}.parquet"
        try:
            schema, counts[split] = _footer(domain, split)
        except (pa.ArrowException, OSError):
            continue
        if not counts[split]:
            found.append(Finding(EMPTY, file, "0 rows"))
        names = label_names(schema)
        if names is not None and names != domain.labels:
            odd = next((f"{a!r} for {b!r}" for a, b in zip(names, domain.labels, strict=False) if a != b), "")
            found.append(Finding(NAMES, file, odd or f"{len(names)} names for {len(domain.labels)}"))
    stated = domain.meta.get("counts")
    for split, rows in counts.items() if stated is not None else ():
        expected = stated.get(split) if isinstance(stated, dict) else stated
        if expected != rows:
            found.append(Finding(COUNTS, f"{domain.name}/domain.yaml", f"{split}: {expected}", about=f"{rows} rows"))
    return found


def count_rows(domain: Domain, split: Split) -> int:
    """Return how many rows a shard says that it has; 0 if it is absent or cannot be read."""
    try:
        return _footer(domain, split)[1]
    except (pa.ArrowException, OSError):
        return 0


def label_names(schema: pa.Schema) -> tuple[str, ...] | None:
    """Return the names of labels in the metadata that ``datasets`` reads, or None."""
    try:
        features = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
        return tuple(map(str, features["label"]["names"]))
    except (KeyError, TypeError, ValueError):
        return None


def _footer(domain: Domain, split: Split) -> tuple[pa.Schema, int]:
    with pq.ParquetFile(domain.path / f"{split}.parquet") as shard:
        return shard.schema_arrow, shard.metadata.num_rows
