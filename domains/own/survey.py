"""The first reading of a domain's examples: a few bytes of each are kept, never the examples."""

import hashlib
import os
from array import array
from collections import Counter, deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, NamedTuple

import numpy as np

from domains.domain import Family
from domains.errors import UserError
from domains.same_example import content_key

MOST_LABELS = 10_000  # different labels; a column with more holds something else
EMPTY, UNREADABLE = -2, -3

#: Splits of an input that is divided already.
GIVEN = ("", "train", "validation", "test", "pool")


class Item(NamedTuple):
    """One example as it stands in the input. Label, group and time are texts, empty where there is none.

    ``split`` is train, validation, test or pool where the input itself is divided.
    """

    example: Any
    label: str
    group: str = ""
    time: str = ""
    split: str = ""


@dataclass(frozen=True)
class Items:
    """Examples that can be read again and again.

    Attributes:
        read: yields all of them, in the same order each time.
        where: returns the name of an example by its place, for messages: ``row 3``, ``cat/1.png``.
        prepare: returns what is written for a raw example, and in words what was changed for that; raises ValueError if
            the example cannot be used.
        sha256: returns the hash of the input; it is called after the first reading.
        columns: the columns of the input, by ``text`` or ``image``, ``label``, ``group``, ``time``.
        notes: more that belongs in ``domain.yaml``.
    """

    family: Family
    kind: str
    file: str
    size: int
    read: Callable[[], Iterator[Item]]
    where: Callable[[int], str]
    prepare: Callable[[Any], tuple[Any, tuple[str, ...]]]
    sha256: Callable[[], str]
    columns: dict[str, str | list[str]] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    notes: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Survey:
    """What the first reading found, by example [n].

    Attributes:
        key: [n] the key of what is written (``domains/same_example.py``), 0 where nothing is.
        code: [n] an index into ``labels``, or EMPTY, or UNREADABLE.
        labels: every label as it stands in the input.
        group: [n] the number of each example's group; an example without a group has one of its own.
        time: [n] seconds, or numbers as they stand.
        split: [n] an index into ``GIVEN``.
        altered: [n] whether what is written differs from the raw example.
        changes: how many examples were changed, and the place of the first of them, by the change in words.
        faults: why an example cannot be read, by its place.
    """

    key: np.ndarray
    code: np.ndarray
    labels: tuple[str, ...]
    group: np.ndarray
    time: np.ndarray
    split: np.ndarray
    altered: np.ndarray
    changes: dict[str, tuple[int, int]]
    faults: dict[int, str]


def survey_items(items: Items, name: str, grouped: bool, timed: bool, advance: Callable[[int], None]) -> Survey:
    """Read all examples once.

    Raises:
        UserError: as ``items.read``; or there are too many different labels, or a time cannot be read.
    """
    key, altered, code, group, time = array("Q"), bytearray(), array("q"), array("Q"), array("d")
    split = bytearray()
    codes: dict[str, int] = {}
    changes: Counter[str] = Counter()
    first: dict[str, int] = {}
    faults: dict[int, str] = {}
    read_time = TimeReader(f"{name}: column {items.columns.get('time')}")
    for i, (item, (found, changed)) in enumerate(prepare_all(items)):
        altered.append(bool(changed))
        split.append(GIVEN.index(item.split))
        if isinstance(found, Exception):
            faults[i] = str(found)
            code.append(UNREADABLE)
        elif found is None or (isinstance(found, str) and not found.strip()):
            code.append(EMPTY)
        else:
            code.append(codes.setdefault(item.label, len(codes)))
        key.append(content_key(found) if code[-1] >= 0 else 0)
        for word in changed:
            changes[word] += 1
            first.setdefault(word, i)
        if grouped:
            own = item.group.strip() or f"\0{i}"
            group.append(int.from_bytes(hashlib.blake2b(own.encode(), digest_size=8).digest(), "big"))
        if timed:
            time.append(read_time(item.time, items.where(i)) if code[-1] >= 0 else 0.0)
        if len(codes) > MOST_LABELS:
            raise UserError(
                f"{name}: more than {MOST_LABELS:,} different labels (column {items.columns.get('label')}), as ids or "
                "numbers to be measured have; say --label-column"
            )
        advance(1)
    return Survey(
        np.array(key, np.uint64),
        np.array(code, np.int64),
        tuple(codes),
        np.array(group, np.uint64),
        np.array(time),
        np.frombuffer(bytes(split), np.uint8),
        np.frombuffer(bytes(altered), bool),
        {word: (count, first[word]) for word, count in changes.items()},
        faults,
    )


def prepare_all(items: Items, only: np.ndarray | None = None) -> Iterator[tuple[Item, tuple[Any, tuple[str, ...]]]]:
    """Yield every example with what is written for it, or with the ValueError that says why nothing can be.

    Images are decoded on all cores, a few ahead of the one that is yielded.

    Args:
        only: [n] which examples have to be changed; None if that is not known yet.
    """
    if items.family != "vision" or (only is not None and not only.any()):
        for item in items.read():
            if items.family == "vision" and only is not None:
                yield item, (item.example, ())
            else:
                yield item, attempt(items.prepare, item.example)
        return
    cores = os.cpu_count() or 1
    running: deque[tuple[Item, Future[tuple[Any, tuple[str, ...]]]]] = deque()
    with ThreadPoolExecutor(cores) as pool:
        for i, item in enumerate(items.read()):
            keep = only is not None and not (i < len(only) and only[i])
            running.append((item, pool.submit(attempt, keep_as_is if keep else items.prepare, item.example)))
            if len(running) > 2 * cores:
                done, future = running.popleft()
                yield done, future.result()
        while running:
            done, future = running.popleft()
            yield done, future.result()


def keep_as_is(example: Any) -> tuple[Any, tuple[str, ...]]:
    """Return an example with no changes."""
    return example, ()


def attempt(prepare: Callable[[Any], tuple[Any, tuple[str, ...]]], example: Any) -> tuple[Any, tuple[str, ...]]:
    """Return what is written for an example, or the ValueError in its place."""
    try:
        return prepare(example)
    except ValueError as error:
        return error, ()


class TimeReader:
    """Reads times: ISO dates, or numbers (years, days) if the first one is a number."""

    def __init__(self, where: str) -> None:
        self.where, self.numbers = where, None

    numbers: bool | None

    def __call__(self, text: str, row: str) -> float:
        """Return a number that grows with time.

        Raises:
            UserError: the text is empty, or is not of the kind of the first.
        """
        text = text.strip()
        if self.numbers is None:
            self.numbers = parse_number(text) is not None
        value = parse_number(text) if self.numbers else parse_moment(text)
        if value is None:
            kind = "number" if self.numbers else "date"
            raise UserError(f"{self.where}: {row}: {text!r} is not a {kind}; write YYYY-MM-DD in all rows")
        return value


def parse_number(text: str) -> float | None:
    """Return a finite number, or None."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if np.isfinite(value) else None


def parse_moment(text: str) -> float | None:
    """Return the seconds since 1970 of an ISO date, in UTC where it has no time zone, or None."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
