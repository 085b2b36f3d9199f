"""Divide labelled examples into train and test once: class by class, by time (a temporal split), or by group."""

from dataclasses import dataclass

import numpy as np

from domains.errors import UserError
from domains.own.survey import GIVEN

TRAIN, POOL, TEST, OUT = 0, 1, 2, 3
SPLITS = ("train", "pool", "test")


@dataclass(frozen=True)
class Division:
    """The split of every example [n] as TRAIN, POOL, TEST or OUT, and how it came about, in words."""

    split: np.ndarray
    rule: str
    warnings: tuple[str, ...] = ()


def choose_test_sizes(sizes: np.ndarray, share: float, most: int) -> np.ndarray:
    """Return how many of the examples of each class become test: a share of them, of a small class a third up to five.

    At least one where there are two, and at most ``most``; one is always left for train.

    Args:
        sizes: [C] number of examples of each class.
    """
    wanted = np.maximum(np.rint(share * sizes), np.minimum(sizes // 3, 5)) if share < 1 / 3 else np.rint(share * sizes)
    return np.clip(wanted, np.minimum(1, sizes - 1), np.maximum(np.minimum(most, sizes - 1), 0)).astype(np.int64)


def divide_as_given(y: np.ndarray, given: np.ndarray, group: np.ndarray | None) -> Division:
    """Divide as the input is divided: its test is the test, or its validation where no test has labels.

    Args:
        given: [n] indices into ``GIVEN``.
        group: [n] the number of each example's group, if there are groups.
    """
    labelled, tested = y >= 0, given == GIVEN.index("test")
    validated = given == GIVEN.index("validation")
    if not (tested & labelled).any():
        tested, rule = validated, "as the input is divided: its validation is the test, what is labelled else train"
    else:
        joined = " and validation" if (validated & labelled).any() else ""
        rule = f"as the input is divided: its test is the test, its train{joined} train"
    split = np.where(labelled, np.where(tested, TEST, TRAIN), POOL).astype(np.int8)
    shared = () if group is None else np.intersect1d(group[split == TEST], group[split == TRAIN])
    warnings = (f"{len(shared):,} groups are in the test and in train, as the input has it",) if len(shared) else ()
    return Division(split, f"{rule}, the unlabelled ones pool", warnings)


def divide_by_class(y: np.ndarray, classes: int, share: float, most: int, seed: int) -> Division:
    """Divide every class alike by one shuffle.

    Args:
        y: [n] classes; an example with a number under 0 is unlabelled and becomes pool.
    """
    shuffled = np.random.default_rng(seed).permutation(len(y))
    order = shuffled[np.argsort(y[shuffled], kind="stable")]
    sizes = np.bincount(y[y >= 0], minlength=classes)
    test = choose_test_sizes(sizes, share, most)
    order = order[int((y < 0).sum()) :]
    starts = np.repeat(np.cumsum(sizes) - sizes, sizes)
    split = np.where(y < 0, POOL, TRAIN).astype(np.int8)
    split[order[np.arange(len(order)) - starts < np.repeat(test, sizes)]] = TEST
    rule = (
        f"{share:.0%} of the labelled examples of every class are test (of a small class a third up to 5; at most "
        f"{most}), the other labelled ones train, the unlabelled ones pool; one shuffle, seed {seed}"
    )
    return Division(split, rule)


def divide_by_time(y: np.ndarray, time: np.ndarray, classes: int, share: float, most: int, column: str) -> Division:
    """Make a temporal split: the newest labelled examples are test, the older ones train.

    Examples of one time stay together. Unlabelled examples of all times are pool.

    Args:
        time: [n] numbers that grow with time.

    Raises:
        UserError: all examples are of one time.
    """
    labelled = y >= 0
    times, counts = np.unique(time[labelled], return_counts=True)
    if len(times) < 2:
        raise UserError(f"column {column}: all labelled examples are of one time; leave out --time-column")
    newer = np.cumsum(counts[::-1])[::-1][1:]  # examples from each time on, but the first
    wanted = min(share * labelled.sum(), most * classes)
    cut = times[1 + int(np.argmin(np.abs(newer - wanted)))]
    split = np.where(labelled, np.where(time >= cut, TEST, TRAIN), POOL).astype(np.int8)
    late = int((~labelled & (time >= cut)).sum())
    rule = (
        f"by time ({column}): the newest labelled examples, {share:.0%} of them or at most {most} times the classes, "
        "are test, the older ones train, the unlabelled ones of all times pool"
    )
    return Division(split, rule, (f"{late:,} of the pool are as new as the test",) if late else ())


def divide_by_group(
    y: np.ndarray, group: np.ndarray, classes: int, share: float, most: int, seed: int, column: str
) -> Division:
    """Make whole groups test, in shuffled order, if at least half of a group's examples are wanted in the test.

    No class loses its last group in train. Unlabelled examples of a test group are left out.

    Args:
        group: [n] the number of each example's group.

    Raises:
        UserError: no group can be spared.
    """
    rows = np.flatnonzero(y >= 0)
    _, member = np.unique(group[rows], return_inverse=True)
    order = np.argsort(member, kind="stable")
    groups = np.split(rows[order], np.flatnonzero(np.diff(member[order])) + 1)
    left = np.bincount(y[rows], minlength=classes)
    wanted = choose_test_sizes(left, share, most)
    split = np.where(y >= 0, TRAIN, POOL).astype(np.int8)
    taken = []
    for i in np.random.default_rng(seed).permutation(len(groups)):
        found, counts = np.unique(y[groups[i]], return_counts=True)
        useful = np.minimum(counts, wanted[found]).sum()
        if useful > 0 and 2 * useful >= counts.sum() and (left[found] > counts).all():
            left[found] -= counts
            wanted[found] = np.maximum(wanted[found] - counts, 0)
            split[groups[i]] = TEST
            taken.append(group[groups[i][0]])
    if not taken:
        raise UserError(
            f"column {column}: no group can become test without leaving a class empty; label more groups, or leave out "
            "--group-column"
        )
    near = (split == POOL) & np.isin(group, np.array(taken))
    split[near] = OUT
    rule = (
        f"by group ({column}): whole groups, about {share:.0%} of the labelled examples of every class and at most "
        f"{most}, are test, the other groups train, unlabelled examples of other groups pool; one shuffle, seed {seed}"
    )
    lost = int(near.sum())
    return Division(
        split, rule, (f"{lost:,} unlabelled examples share a {column} with the test: left out",) if lost else ()
    )
