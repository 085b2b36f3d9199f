"""What environments share: the check of the actions they are given, and the credit they may give besides a reward."""

import numpy as np

from domains.errors import UserError

#: Key of a step's ``info``: what a learner takes for the reward [E], though no policy reads it. An environment that can
#: be solved gives Q*(s, a) - V*(s) of itself, the reward shaped by the potential V* (Ng, Harada & Russell 1999):
#: what a policy does best stays the same, and of the noise only what the policy is to blame for is left.
CREDIT = "credit"


def check_actions(actions: np.ndarray, trials: int, choices: int) -> np.ndarray:
    """Return actions [E] as an array.

    Raises:
        UserError: there is not one for every trial, or one is not within 0..choices-1.
    """
    actions = np.asarray(actions)
    if actions.shape != (trials,) or actions.dtype.kind not in "iu":
        raise UserError(f"actions: {trials} whole numbers are needed, found {actions.dtype} {list(actions.shape)}")
    if actions.min() < 0 or actions.max() >= choices:
        raise UserError(f"actions must be within 0..{choices - 1}, found {actions.min()} to {actions.max()}")
    return actions
