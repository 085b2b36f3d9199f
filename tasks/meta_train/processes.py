"""Meta-train learners of a family in several processes, here or on several machines; ``acclimate meta-train`` goes on.

    torchrun --nproc-per-node 2 -m tasks.meta_train.processes --family vision --learner reference

Each process takes its share of every batch of episodes, and all end with the same parameters. The first one writes the
checkpoint, in the place where the flow looks for it: what is trained here, the flow does not train again.
"""

import os
from collections.abc import Sequence
from typing import Annotated

import torch
import typer
from torch import distributed

from domains.errors import UserError, check_known
from tasks.base.settings import settings
from tasks.meta_train.steps import plan_meta_training
from tasks.meta_train.training import load_piles, train_learner


def train_together(family: str, learners: Sequence[str], revision: str = "HEAD") -> None:
    """Train learners of a family's recipe inside a process group of ``torch.distributed``.

    Raises:
        UserError: no learner of the recipe has such a name.
    """
    plan = plan_meta_training.fn(family, revision, None)
    check_known(learners, plan.recipe.training, "learner of this family")
    first = distributed.get_rank() == 0
    if first:
        plan.folder.mkdir(parents=True, exist_ok=True)
        load_piles(settings(), plan.domains, plan.recipe)  # encodes what is new, which the others then find
    distributed.barrier()
    piles = load_piles(settings(), plan.domains, plan.recipe)
    device = torch.device("cuda", int(os.environ["LOCAL_RANK"])) if torch.cuda.is_available() else torch.device("cpu")
    for name in learners or plan.recipe.training:
        path = plan.folder / f"{name}.checkpoint"
        _, history = train_learner(name, piles, plan.recipe.training[name], path, device=device)
        if first:
            print(f"{family} {name}: validation loss {min(history.validation_loss):.4f} after {history.step[-1]} steps")


def main(
    family: Annotated[str, typer.Option(help="text, vision or market.")],
    learner: Annotated[list[str] | None, typer.Option(help="Of the recipe; all unless named.")] = None,
    rev: Annotated[str, typer.Option(help="Git revision whose data is read.")] = "HEAD",
) -> None:
    """Meta-train learners of a family in the processes that torchrun starts."""
    distributed.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
    try:
        train_together(family, learner or [], rev)
    except UserError as error:
        raise SystemExit(f"error: {error}") from error
    finally:
        distributed.destroy_process_group()


if __name__ == "__main__":
    typer.run(main)
