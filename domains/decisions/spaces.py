"""What a recurrent policy has to read and to choose from, taken from an environment's spaces."""

from dataclasses import dataclass

import numpy as np
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, VectorEnv

from domains.errors import UserError


@dataclass(frozen=True)
class Sizes:
    """Sizes of a policy's input and output.

    Attributes:
        observations: states of a discrete space, which are read one-hot, or numbers of a box.
        actions: choices.
    """

    observations: int
    actions: int


def sizes(envs: VectorEnv) -> Sizes:
    """Return the sizes that a policy needs for an environment.

    Observations are ``Discrete`` or a ``Box`` [D], actions are ``Discrete``, both from 0 on. An episode that ends must
    be followed by the first observation of the next in the same step (gymnasium's ``AutoresetMode.SAME_STEP``).

    Raises:
        UserError: one of them is otherwise; says which environment, and what it has.
    """
    name = getattr(envs.spec, "id", None) or type(getattr(envs, "envs", [envs])[0]).__name__
    observed, actions = envs.single_observation_space, envs.single_action_space
    if not isinstance(actions, spaces.Discrete) or actions.start != 0:
        raise UserError(f"environment {name}: actions are {actions}; RL2 chooses among Discrete(n) from 0 on")
    if isinstance(observed, spaces.Discrete) and observed.start == 0:
        size = int(observed.n)
    elif isinstance(observed, spaces.Box) and len(observed.shape) == 1 and np.issubdtype(observed.dtype, np.floating):
        size = observed.shape[0]
    else:
        raise UserError(
            f"environment {name}: observations are {observed}; RL2 reads Discrete(n) from 0 on or a Box of one row of "
            "floats; gymnasium.wrappers.FlattenObservation makes one of most others"
        )
    mode = envs.metadata.get("autoreset_mode")
    if mode != AutoresetMode.SAME_STEP:
        raise UserError(f"environment {name}: autoreset mode is {mode}; make it with AutoresetMode.SAME_STEP")
    return Sizes(size, int(actions.n))
