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
    seen, chosen = envs.single_observation_space, envs.single_action_space
    if not isinstance(chosen, spaces.Discrete) or chosen.start != 0:
        raise UserError(f"environment {name}: actions are {chosen}; RL2 chooses among Discrete(n) from 0 on")
    if isinstance(seen, spaces.Discrete) and seen.start == 0:
        size = int(seen.n)
    elif isinstance(seen, spaces.Box) and len(seen.shape) == 1 and np.issubdtype(seen.dtype, np.floating):
        size = seen.shape[0]
    else:
        raise UserError(
            f"environment {name}: observations are {seen}; RL2 reads Discrete(n) from 0 on or a Box of one row of "
            "floats; gymnasium.wrappers.FlattenObservation makes one of most others"
        )
    mode = envs.metadata.get("autoreset_mode")
    if mode != AutoresetMode.SAME_STEP:
        raise UserError(f"environment {name}: autoreset mode is {mode}; make it with AutoresetMode.SAME_STEP")
    return Sizes(size, int(chosen.n))
