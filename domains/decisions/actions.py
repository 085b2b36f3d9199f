"""The check that every environment makes of the actions it is given."""

import numpy as np

from domains.errors import UserError


def checked(actions: np.ndarray, trials: int, choices: int) -> np.ndarray:
    """Return actions [E] as they are.

    Raises:
        UserError: there is not one for every trial, or one is not within 0..choices-1.
    """
    actions = np.asarray(actions)
    if actions.shape != (trials,) or actions.dtype.kind not in "iu":
        raise UserError(f"actions: {trials} whole numbers are needed, found {actions.dtype} {list(actions.shape)}")
    if actions.min() < 0 or actions.max() >= choices:
        raise UserError(f"actions must be within 0..{choices - 1}, found {actions.min()} to {actions.max()}")
    return actions
