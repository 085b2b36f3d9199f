"""What was predicted, by what and where it was written; and a part of the examples, for a look at drift."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel, Field, ValidationError

from domains.domain import EXAMPLE_COLUMN, Family
from domains.whole_file import whole_file, write_whole
from tasks.base.settings import Settings

SAMPLES = 5  # of the last inputs of a domain that are kept
MOST: dict[str, int] = {"text": 1000, "vision": 300}  # examples of each


class Scored(BaseModel):
    """An input that was predicted.

    Attributes:
        key: of the same bytes, champion and options.
        source: the input; version: of the champion; output: the file of the predictions.
        rows, predicted: rows of the input, and those that have a prediction.
        labels: how often each was named; ask: rows for a person; outside: None where the champion does not know.
        drift: whether a part of the examples is kept.
        at: when, UTC; reused: it had been predicted before.
    """

    key: str
    domain: str
    source: str
    content_hash: str
    version: str
    output: str
    rows: int
    predicted: int
    labels: dict[str, int] = Field(default_factory=dict)
    ask: int = 0
    outside: int | None = None
    warnings: list[str] = Field(default_factory=list)
    at: str = ""
    reused: bool = False

    def line(self) -> str:
        """Say it in one line."""
        name = Path(self.source).name
        if self.reused:
            return f"{name}: predicted before by version {self.version}, in {self.output}"
        outside = "" if self.outside is None else f", {self.outside:,} outside"
        return f"{name}: {self.predicted:,} predictions{outside}, {self.ask:,} for a person, in {self.output}"


def folder_of(settings: Settings, domain: str) -> Path:
    """Return where the records of a domain are, and its predictions where no other folder is named."""
    return settings.home_path / "predictions" / domain


def read_record(settings: Settings, domain: str, key: str) -> Scored | None:
    """Return the record of a key whose predictions still are there, or None."""
    found = _read(folder_of(settings, domain) / f"{key}.json")
    return found if found is not None and Path(found.output).is_file() else None


def write_record(settings: Settings, scored: Scored) -> None:
    """Keep a record; it comes last, so that what has one is whole."""
    write_whole(folder_of(settings, scored.domain) / f"{scored.key}.json", scored.model_dump_json(indent=1))


def output_name(source: str, content_hash: str, version: str) -> str:
    """Return the name of the file of predictions: no other input and no other version has the same."""
    stem = re.sub(r"[^A-Za-z0-9._-]+", "-", Path(source).name).strip(".-")[:60] or "input"
    return f"{stem}-{content_hash[:8]}-v{version}.csv"


class Sample:
    """A part of the examples of an input, each as likely to be in it as another (Vitter's algorithm R)."""

    def __init__(self, most: int, seed: int) -> None:
        self.most, self.seen, self.kept = most, 0, list[Any]()
        self._rng = np.random.default_rng(seed)

    def add(self, examples: Sequence[Any]) -> None:
        """See more examples."""
        for example in examples:
            self.seen += 1
            if len(self.kept) < self.most:
                self.kept.append(example)
            elif (at := int(self._rng.integers(self.seen))) < self.most:
                self.kept[at] = example


def write_sample(settings: Settings, domain: str, key: str, family: Family, examples: Sequence[Any]) -> None:
    """Keep a part of the examples of an input, and forget those of all but the last inputs."""
    folder = folder_of(settings, domain)
    with whole_file(folder / f"{key}.parquet") as stream:
        pq.write_table(pa.table({EXAMPLE_COLUMN[family]: list(examples)}), stream)
    for old in _newest_first(folder.glob("*.parquet"))[SAMPLES:]:
        old.unlink(missing_ok=True)


def last_scored(settings: Settings, domain: str, most: int) -> tuple[list[Any], list[str]]:
    """Return examples that were predicted last, at most so many, those of the newest inputs first, and these inputs."""
    folder, examples, sources = folder_of(settings, domain), list[Any](), list[str]()
    for path in _newest_first(folder.glob("*.parquet")):
        record = _read(path.with_suffix(".json"))
        if record is None or len(examples) >= most:
            continue
        try:
            (column,) = pq.read_table(path).columns
        except (OSError, ValueError, pa.ArrowInvalid):  # damaged, or forgotten meanwhile
            continue
        examples += column.to_pylist()
        sources.append(record.source)
    return examples[:most], sources


def _newest_first(paths: Any) -> list[Path]:
    times = {}
    for path in paths:
        try:
            times[path] = path.stat().st_mtime_ns
        except FileNotFoundError:
            continue
    return sorted(times, key=lambda path: (times[path], path.name), reverse=True)


def _read(path: Path) -> Scored | None:
    try:
        return Scored.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return None
