"""The options of a benchmark, and the form of its rows."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from domains.domain import Family
from domains.errors import UserError

SHOTS = (1, 5, 10)

#: A row: ``{suite, domain, setting, method, metric, value, ci95, n, seconds}``.
Row = dict[str, Any]


@dataclass(frozen=True)
class BenchOptions:
    """The options of the command line; each suite reads its own part."""

    draws: int | None = None  # None: 10, or 20 of the suites adapt and lake, 200 of drift
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
        """The device named, or a GPU where there is one.

        Raises:
            UserError: no such device.
        """
        import torch

        there = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
        if self.device and self.device not in there:
            raise UserError(f"no device {self.device!r} on this machine; there is: {', '.join(there)}")
        return self.device or there[-1]


def split_words(text: str) -> tuple[str, ...]:
    """Return the words between commas."""
    return tuple(word.strip() for word in text.split(",") if word.strip())


def parse_shots(text: str) -> tuple[int, ...]:
    """Return the positive numbers between commas.

    Raises:
        UserError: one is not a positive number, or there is none.
    """
    found = split_words(text)
    if not found or not all(word.isdecimal() and int(word) for word in found):
        raise UserError(f"shots = {text!r}: positive numbers with commas between them, such as 1,5,10")
    return tuple(int(word) for word in found)
