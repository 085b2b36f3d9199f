"""One-shot classification within an alphabet: the test that people and programs took on Omniglot.

B. M. Lake, R. Salakhutdinov and J. B. Tenenbaum. Human-level concept learning through probabilistic program
induction. Science 350 (6266), 2015, 1332-1338.
"""

from dataclasses import dataclass

import numpy as np

from domains.errors import UserError
from domains.reading.archives import ClassImages

WAYS = 20
RUNS = 20  # as published


@dataclass(frozen=True)
class LakeRun:
    """Twenty trials: a drawing of each of 20 characters is to be found among 20 drawings by another person.

    Attributes:
        alphabet: that all characters are of.
        support, query: [20] rows of the images; entry i of both is the same character, by two drawers.
    """

    alphabet: str
    support: np.ndarray
    query: np.ndarray


def alphabet_of(name: str) -> str:
    """Return the alphabet of a class that is called ``<alphabet>/<character>``."""
    return name.rsplit("/", 1)[0]


def draw_runs(images: ClassImages, runs: int = RUNS, seed: int = 0) -> list[LakeRun]:
    """Return runs whose alphabets take turns; a run depends on ``seed`` and its number alone.

    Characters and the two drawers are drawn at random. The published list of runs is another draw; it is not read here.

    Args:
        images: characters, drawer after drawer in every class, as ``load_omniglot`` gives them.

    Raises:
        UserError: an alphabet has fewer than 20 characters, or a character fewer than 2 drawings.
    """
    alphabets: dict[str, list[int]] = {}
    for c, name in enumerate(images.names):
        alphabets.setdefault(alphabet_of(name), []).append(c)
    start = np.searchsorted(images.y, np.arange(len(images.names) + 1))
    found = []
    for number in range(runs):
        alphabet = list(alphabets)[number % len(alphabets)]
        characters, rng = alphabets[alphabet], np.random.default_rng([seed, number])
        drawers = int(np.diff(start)[characters].min())
        if len(characters) < WAYS or drawers < 2:
            raise UserError(
                f"alphabet {alphabet} has {len(characters)} characters of {drawers} drawings; {WAYS} of 2 are needed"
            )
        drawings = start[rng.choice(characters, WAYS, replace=False)]
        one, other = rng.choice(drawers, 2, replace=False)
        found.append(LakeRun(alphabet, drawings + one, drawings + other))
    return found
