"""The options of a benchmark, and the form of its rows."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from domains.domain import Family
from domains.errors import UserError

SHOTS = (1, 5, 10)
ALL = sys.maxsize  # labels a class: all that there are
LABEL_SHOTS = (3, 5, 10, 20, 50, 100, ALL)  # of the suite labels

#: A row: ``{suite, domain, setting, method, metric, value, ci95, n, seconds}``.
Row = dict[str, Any]


@dataclass(frozen=True)
class BenchOptions:
    """The options of the command line; each suite reads its own part."""

    draws: int | None = None  # None: 10, or 5 of the suites labels and published, 20 of adapt and lake, 200 of drift
    methods: tuple[str, ...] = ()
    shots: tuple[int, ...] = SHOTS
    ways: int = 5
    steps: int | None = None
    pixels: int | None = None
    episodes: int | None = None
    device: str = ""
    family: Family = "text"
    pools: tuple[str, ...] = ()  # all of the suite
    sources: str = "non-medical"
    domains: tuple[str, ...] = ()
    tune_draws: int = 3
    export: Path | None = None

    @property
    def torch_device(self) -> str:
        """The device named, or that of the setting.

        Raises:
            UserError: no such device.
        """
        from tasks.base.device import torch_device

        return torch_device(self.device).type


def split_words(text: str) -> tuple[str, ...]:
    """Return the words between commas."""
    return tuple(word.strip() for word in text.split(",") if word.strip())


def parse_shots(text: str, or_all: bool = False) -> tuple[int, ...]:
    """Return the positive numbers between commas; ``all`` is ALL, where that may be said.

    Raises:
        UserError: one is not a positive number, or there is none.
    """
    found = ["" if or_all and word == "all" else word for word in split_words(text)]
    if not found or not all(word.isdecimal() and int(word) for word in found if word):
        such = "1,5,10 or 5,all" if or_all else "1,5,10"
        raise UserError(f"shots = {text!r}: positive numbers with commas between them, such as {such}")
    return tuple(int(word) if word else ALL for word in found)
