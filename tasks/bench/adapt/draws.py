"""Who is in the test, the support and the pool of the benchmark of adaptation: every draw is a function of its seed."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from domains.errors import UserError
from domains.groups import hold_out_groups

TEST_SHARE, MOST_TEST = 0.3, 2000
MOST_POOL = 2000
NATURAL = "natural"
POOLS = ("balanced", "imbalanced", "none", NATURAL)  # their order is part of the seed of a draw
CONCENTRATION = 1.0  # of the Dirichlet that the classes of an imbalanced pool follow


@dataclass(frozen=True)
class Split:
    """Rows of a domain for training (supports and pools) and for the test, each sorted."""

    train: np.ndarray
    test: np.ndarray


@dataclass(frozen=True)
class DrawProblem:
    """A domain at K labels a class.

    Attributes:
        classes: labels that take part, as they are in the domain: those with K + 1 training and 1 test example.
        train, test: rows of those classes.
        y: [n] labels of all rows of the domain, counted anew from 0 in the order of ``classes``; -1: takes no part.
    """

    k: int
    classes: np.ndarray
    train: np.ndarray
    test: np.ndarray
    y: np.ndarray


def split(y: np.ndarray, groups: Sequence[str] | None = None, seed: int = 0) -> Split:
    """Hold out 30 % of every class for the test, scaled down where that were more than 2,000 examples.

    Where there are groups, whole groups are held out: in a random order, each that leaves no class above its share; so
    no group is on both sides.
    """
    rng = np.random.default_rng(seed)
    sizes = np.bincount(y)
    share = min(TEST_SHARE, MOST_TEST / len(y))
    wanted = np.floor(share * sizes + 0.5).astype(int)
    held = np.zeros(len(y), bool)
    if groups is None:
        for label, most in enumerate(wanted):
            held[rng.permutation(np.flatnonzero(y == label))[:most]] = True
    else:
        held = hold_out_groups(y, groups, wanted, rng)
    return Split(np.flatnonzero(~held), np.flatnonzero(held))


def problem_at(name: str, y: np.ndarray, parts: Split, k: int) -> DrawProblem:
    """Return the problem of a domain at K labels a class.

    Raises:
        UserError: fewer than two classes can take part.
    """
    train, test = (np.bincount(y[rows], minlength=int(y.max()) + 1) for rows in (parts.train, parts.test))
    classes = np.flatnonzero((train > k) & (test > 0))
    if len(classes) < 2:
        raise UserError(f"{name}: fewer than 2 classes have the {k + 1} training examples that K = {k} needs; ask less")
    fresh = np.full(len(train), -1)
    fresh[classes] = np.arange(len(classes))
    now = fresh[y]
    return DrawProblem(k, classes, parts.train[now[parts.train] >= 0], parts.test[now[parts.test] >= 0], now)


def draw_support_rows(task: DrawProblem, seed: int, number: int) -> np.ndarray:
    """Return the rows [K * N] of the support of a draw: K of every class, sorted by class.

    The draws of K and of K + 1 share their first K of a class, where the same classes take part.
    """
    rng = np.random.default_rng((seed, number))
    own = task.y[task.train]
    return np.concatenate([rng.permutation(task.train[own == c])[: task.k] for c in range(len(task.classes))])


def draw_pool_rows(task: DrawProblem, support: np.ndarray, kind: str, seed: int, number: int) -> np.ndarray:
    """Return the rows of a draw's pool: at most 2,000 training examples outside the support, as far as there are any.

    ``balanced``: the same number of every class; ``imbalanced``: shares of classes from a Dirichlet distribution with
    concentration 1; a class that has fewer gives what it has. ``natural``: a uniform sample. ``none``: no rows.
    """
    rest = task.train[~np.isin(task.train, support)]
    ways = len(task.classes)
    rng = np.random.default_rng((seed, number, 1 + POOLS.index(kind)))
    if kind == "none":
        return rest[:0]
    if kind == NATURAL:
        return rng.permutation(rest)[:MOST_POOL]
    share = np.full(ways, 1 / ways) if kind == "balanced" else rng.dirichlet(np.full(ways, CONCENTRATION))
    size = np.floor(share * min(MOST_POOL, len(rest)) + 1e-9).astype(int)
    own = task.y[rest]
    pool = np.concatenate([rng.permutation(rest[own == c])[:n] for c, n in enumerate(size)])
    return rng.permutation(pool)  # its order tells nothing
