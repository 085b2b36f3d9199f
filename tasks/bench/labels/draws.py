"""Which examples of a random half are labelled, which are the pool, and what is tested on: functions of a seed."""

from collections.abc import Sequence

import numpy as np

from domains.labelled_examples import sample_rows
from tasks.adapt.adaptation import shuffle_rows
from tasks.bench.labels.names import EVEN, NONE, POOLS
from tasks.bench.options import ALL

MOST_POOL = 2000
QUANTILE = 0.25  # of the sizes of classes: as many of each are in an even draw


def halve(n: int, groups: Sequence[str] | None, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return two random halves of n rows, sorted; what has one group is in one of them."""
    rng = np.random.default_rng(seed)
    if groups is None:
        order = rng.permutation(n)
        return np.sort(order[: n // 2]), np.sort(order[n // 2 :])
    names, member = np.unique(np.asarray(groups), return_inverse=True)
    place = rng.permutation(len(names))[member]  # of an example's group, in a random order of groups
    order = np.argsort(place, kind="stable")
    first = place < place[order[n // 2]]
    return np.flatnonzero(first), np.flatnonzero(~first)


def labelled_rows(y: np.ndarray, k: int, frequencies: str, seed: int) -> np.ndarray | None:
    """Return which examples are labelled, sorted; None where K labels a class would be all there are.

    ``even``: K of every class; a class with fewer gives what it has. ``natural``: as many in all as K times the classes
    that there are, one of each class first and the rest at random. The rows of a K are among those of the next.

    Args:
        y: [n] labels; k: ALL for every row.
    """
    counts = np.bincount(y)
    if k == ALL:
        return np.arange(len(y))
    if frequencies == EVEN:
        return None if counts.max() <= k else np.array(sample_rows(y, len(counts), k, seed=seed))
    size = k * int((counts > 0).sum())
    return None if size >= len(y) else np.sort(shuffle_rows(y, seed)[:size])


def draw_pool(y: np.ndarray, rows: np.ndarray, kind: str, seed: int) -> np.ndarray:
    """Return at most MOST_POOL of the rows without a label: ``natural`` at random, ``even`` by ``draw_even``."""
    rng = np.random.default_rng((seed, POOLS.index(kind)))
    if kind == NONE:
        return rows[:0]
    return draw_even(y, rows, MOST_POOL, rng) if kind == EVEN else rng.permutation(rows)[:MOST_POOL]


def draw_even(y: np.ndarray, rows: np.ndarray, most: int, rng: np.random.Generator) -> np.ndarray:
    """Return as many rows of every class that is among them: so many as three classes in four have.

    A class with fewer gives what it has; ``most`` is kept to.
    """
    classes, sizes = np.unique(y[rows], return_counts=True)
    if not len(classes):
        return rows[:0]
    each = max(1, min(int(np.quantile(sizes, QUANTILE)), most // len(classes)))
    return rng.permutation(np.concatenate([rng.permutation(rows[y[rows] == c])[:each] for c in classes]))
