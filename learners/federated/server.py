"""What a server knows of a federation between two rounds, and keeps so that it can die."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from learners import checkpoint
from learners.federated.averaging import Update, average, honest_bound
from learners.meta_train import Training


@dataclass(frozen=True)
class Plan:
    """How a federation trains its learners.

    Args:
        training: by learner; a site makes ``steps`` meta-updates of each a round.
        sites: the number of all sites.
        every: rounds between validations.
        noise: of DP-FedAvg, see ``average``; 0: none. clip: norm that differences are clipped to; None: what honest
            steps can reach.
    """

    training: Mapping[str, Training]
    rounds: int
    steps: int
    sites: int
    every: int = 5
    noise: float = 0.0
    clip: float | None = None

    def bound(self, name: str, weights: Mapping[str, Tensor]) -> float:
        """Return the norm that differences of a learner are clipped to."""
        return honest_bound(weights, self.training[name].rate, self.steps) if self.clip is None else self.clip

    def validates(self, number: int) -> bool:
        """Whether sites validate the weights that a round begins with."""
        return number % self.every == 0


@dataclass(frozen=True)
class State:
    """The weights by learner after so many rounds, the best so far by the sites' validation, and its losses."""

    rounds: int
    weights: Mapping[str, Mapping[str, Tensor]]
    best: Mapping[str, Mapping[str, Tensor]]
    losses: Mapping[str, tuple[float, ...]] = field(default_factory=dict)

    @classmethod
    def start(cls, weights: Mapping[str, Mapping[str, Tensor]]) -> "State":
        """Return the state before the first round."""
        return cls(0, weights, weights, dict.fromkeys(weights, ()))

    def validated(self, losses: Mapping[str, Mapping[str, tuple[float, int]]]) -> "State":
        """Return the state that knows the validation losses of its weights: by learner and site, with its domains.

        What is not finite does not count. A site that reports falsely low losses can choose among the weights of
        rounds; it cannot change them.
        """
        best, kept = dict(self.best), dict(self.losses)
        for name, by_site in losses.items():
            known = [(loss, domains) for loss, domains in by_site.values() if math.isfinite(loss) and domains > 0]
            if not known:
                continue
            mean = sum(loss * domains for loss, domains in known) / sum(domains for _, domains in known)
            if mean <= min(kept[name], default=math.inf):
                best[name] = self.weights[name]
            kept[name] = (*kept[name], mean)
        return replace(self, best=best, losses=kept)

    def averaged(
        self, plan: Plan, updates: Mapping[str, Mapping[str, Update]], secret: torch.Generator | None = None
    ) -> tuple["State", list[str]]:
        """Return the state after a round, and a line for every site whose update was clipped or refused."""
        weights, lines = dict(self.weights), []
        for name, by_site in updates.items():
            last = self.weights[name]
            found = average(last, by_site, plan.bound(name, last), plan.noise, plan.sites, secret)
            weights[name] = found.weights
            lines += [f"{site}: {name} not used in round {self.rounds}: {why}" for site, why in found.refused.items()]
            lines += [
                f"{site}: {name} clipped in round {self.rounds}: norm {found.norms[site]:.3g}, "
                f"{plan.bound(name, last):.3g} is the most"
                for site in found.clipped
            ]
        return replace(self, rounds=self.rounds + 1, weights=weights), lines

    def finished(self) -> Mapping[str, Mapping[str, Tensor]]:
        """Return the weights to use: the best by validation, or the last where no site could validate."""
        return {name: self.best[name] if self.losses[name] else self.weights[name] for name in self.weights}

    def save(self, path: Path, about: Mapping[str, Any]) -> None:
        """Write the state whole or not at all; see ``checkpoint.save``."""
        tensors = {f"now/{n}/{k}": v.clone() for n, of in self.weights.items() for k, v in of.items()}
        tensors |= {f"best/{n}/{k}": v.clone() for n, of in self.best.items() for k, v in of.items()}
        checkpoint.save(path, tensors, {"rounds": self.rounds, "losses": dict(self.losses), "about": dict(about)})

    @classmethod
    def load(cls, path: Path) -> tuple["State", dict[str, Any]] | None:
        """Return what was saved last, with its description; None: nothing was."""
        found = checkpoint.load(path)
        if found is None:
            return None
        tensors, known = found
        parts: dict[str, dict[str, dict[str, Tensor]]] = {"now": {}, "best": {}}
        for key, tensor in tensors.items():
            part, learner, name = key.split("/", 2)
            parts[part].setdefault(learner, {})[name] = tensor
        losses = {name: tuple(values) for name, values in known["losses"].items()}
        return cls(known["rounds"], parts["now"], parts["best"], losses), known["about"]
