"""What the models of a domain are to be best in."""

from typing import Literal, cast, get_args

from domains.errors import check_known

Objective = Literal["accuracy", "balanced_accuracy", "macro_f1"]
OBJECTIVES: tuple[Objective, ...] = get_args(Objective)
ACCURACY: Objective = "accuracy"


def check_objective(name: str) -> Objective:
    """Return what a model is to be best in, or raise UserError."""
    check_known([name], OBJECTIVES, "objective")
    return cast(Objective, name)
