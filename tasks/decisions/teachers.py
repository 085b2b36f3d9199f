"""Who may teach a policy, by name: players that know what kind of environment they play."""

from collections.abc import Callable, Mapping
from typing import Any

from domains.decisions.bandit import Bandits
from domains.decisions.mdp import TabularMDPs
from domains.errors import check_known
from learners.decisions.bandits import UCB1, Gittins, Thompson
from learners.decisions.bonuses import BonusPlanner
from learners.decisions.playing import Player
from learners.decisions.psrl import PSRL

NOBODY = "none"


def find_teacher(name: str, envs: Any) -> Player | None:
    """Return a new player by name, or None for ``none``.

    Raises:
        UserError: there is none of that name for such environments.
    """
    known = teachers(envs)
    check_known([name], [NOBODY, *known], "teacher")
    return known[name]() if name in known else None


def teachers(envs: Any) -> Mapping[str, Callable[[], Player]]:
    """Return what makes each player that can teach in environments of a kind, by name; of others nobody can."""
    if isinstance(envs, Bandits):
        k = envs.arms
        return {"gittins": lambda: Gittins(k), "ucb1": lambda: UCB1(k, 0.3), "thompson": lambda: Thompson(k)}
    if isinstance(envs, TabularMDPs):
        about = envs.states, envs.actions, envs.horizon
        return {"planner": lambda: BonusPlanner(*about, stepwise=True, beta=1.0), "psrl": lambda: PSRL(*about)}
    return {}
