"""Where a domain comes from, and how its examples are divided."""

from collections.abc import Callable
from dataclasses import dataclass, field

import pandas as pd

from domains.domain import Family, Role
from domains.fetch import Fetch, PinnedFile, Wheel


@dataclass(frozen=True)
class SplitRule:
    """How many examples of each class go where; the rest of a target becomes its unlabelled pool.

    Args:
        test: test examples of a class (targets only); never used for a choice.
        train: labelled examples of a class, from which support sets are drawn.
        shots: so many examples of a small class stay labelled before any goes to the pool.
        pool: unlabelled examples in all, drawn from what is left, with the classes as frequent as they are there.
        seed: of the one shuffle that makes the split.
    """

    train: int = 50
    test: int = 50
    shots: int = 10
    pool: int = 2000
    seed: int = 0

    def __str__(self) -> str:
        return (
            f"{self.test} test and {self.train} labelled examples a class (a small class gives a third to the test and "
            f"keeps {self.shots} labelled), the rest, at most {self.pool}, unlabelled; one shuffle, seed {self.seed}"
        )


@dataclass(frozen=True)
class Source:
    """A domain of the catalogue: how to read it, and all that has to be said about it.

    ``read(fetch)`` returns a frame with the family's example column (``text`` str; ``image`` PNG bytes;
    ``x`` float32 array with ``date``, ``asset``), ``label`` (str) and, where the source itself splits
    (markets split by time), ``split``; a row of split ``pool`` has no label that is written. A column ``group`` names
    what examples share that must not lie on both sides of a test (a slide, a patient).

    Args:
        where: where the data is published, and in which form it is read.
        classes, examples: how many a build of it has; examples of all splits.
        medical_labels: labels that are medical; they are left out of a source that is not medical itself.
        overlaps: other domains with some of the same examples; neither may be a source where the other is the target.
        quick: whether it belongs to the quick start, which ``acclimate data build`` builds and ``data.dvc`` names.
    """

    name: str
    family: Family
    role: Role
    title: str
    read: Callable[[Fetch], pd.DataFrame]
    licence: str
    citation: str
    where: str
    wheels: tuple[Wheel, ...] = ()
    medical: bool = False
    split: SplitRule = field(default_factory=SplitRule)
    labels: tuple[str, ...] | None = None  # fixed order where it has a meaning; else sorted
    own_split: str = ""  # how ``read`` splits, where it does
    classes: int = 0
    examples: int = 0
    medical_labels: tuple[str, ...] = ()
    overlaps: tuple[str, ...] = ()
    quick: bool = True

    @property
    def files(self) -> tuple[PinnedFile, ...]:
        """The files of a mirror, or of addresses, that it is read from."""
        return tuple(getattr(self.read, "files", ()))
