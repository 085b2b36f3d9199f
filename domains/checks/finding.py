"""What a check finds: a kind, which is written down once, and the place where it was found."""

from dataclasses import dataclass
from typing import Any, Literal

Level = Literal["error", "warning"]

#: Characters of a value that are shown.
SHOWN = 60


@dataclass(frozen=True)
class Kind:
    """A kind of finding.

    Attributes:
        name: what a program knows it by.
        level: an ``error`` stops a commit, a ``warning`` does not.
        what: what is wrong, without a place.
        remedy: what to do about it.
    """

    name: str
    level: Level
    what: str
    remedy: str


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong in one place.

    Attributes:
        file: the file, relative to ``data/``.
        value: what stands there, shortened.
        row: the row of the shard, counted from 0; None where the whole file is meant.
        about: what else there is to say: which other row, how much.
    """

    kind: Kind
    file: str
    value: str
    row: int | None = None
    about: str = ""

    @property
    def is_error(self) -> bool:
        """Whether it stops a commit."""
        return self.kind.level == "error"

    @property
    def where(self) -> str:
        """File and row in words."""
        return self.file if self.row is None else f"{self.file} row {self.row}"

    def __str__(self) -> str:
        return f"{self.where}: {self.value}" + (f" ({self.about})" if self.about else "")

    def record(self) -> dict[str, Any]:
        """Return the finding for a program to read."""
        place = {"file": self.file, "row": self.row, "value": self.value, "about": self.about}
        return {"kind": self.kind.name, "level": self.kind.level, **place} | {
            "what": self.kind.what,
            "remedy": self.kind.remedy,
        }


def short_value(value: object) -> str:
    """Return a value in one line of at most ``SHOWN`` characters, quoted if it is a text."""
    line = " ".join(str(value)[: 4 * SHOWN].split())
    line = line if len(line) <= SHOWN and len(str(value)) <= 4 * SHOWN else f"{line[: SHOWN - 1]}…"
    return f"'{line}'" if isinstance(value, str) else line
