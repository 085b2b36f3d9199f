"""Hold out whole groups, so that what examples share (a slide, a patient) is on one side only."""

from collections.abc import Sequence

import numpy as np


def hold_out_groups(y: np.ndarray, groups: Sequence[str], wanted: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return which examples are held out, bool [n].

    Groups are taken in a random order, each if no class then has more examples than are wanted of it.

    Args:
        y: [n] classes 0..C-1; groups: [n] names.
        wanted: [C] the most examples of each class.
    """
    names, member = np.unique(np.asarray(groups), return_inverse=True)
    held, taken = np.zeros(len(y), bool), np.zeros(len(wanted), int)
    for group in rng.permutation(len(names)):
        rows = member == group
        counts = np.bincount(y[rows], minlength=len(wanted))
        if (taken + counts <= wanted).all(where=counts > 0):
            held |= rows
            taken += counts
    return held
