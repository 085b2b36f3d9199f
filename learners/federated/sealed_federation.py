"""The server of an encrypted federation: it adds what sites sealed, and never reads it."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from learners.choice.prior_sums import Sums, histogram_shapes, sum_shapes
from learners.federated import messages
from learners.federated.averaging import MOST_DOMAINS
from learners.federated.encryption import add, count
from learners.federated.federation import Federation
from learners.federated.messages import KEY, Arrays
from learners.federated.sealed_site import SEALED
from learners.federated.server import State

Weighed = Mapping[str, tuple[Arrays, int]]  # by site an answer, and how many domains it is of


@dataclass
class SealedFederation(Federation):
    """A federation whose state is ciphertext: of every learner the sum of the last round, and of how many domains.

    Sites send their weights times their domains, so that the sum of a round is the mean of all when it is opened and
    divided, and every round adds fresh ciphertexts. The mean is of the sites that answered; each clips its own update.
    """

    key: str = field(default="", init=False)
    _others: set[str] = field(default_factory=set, init=False)

    def _greet(self) -> dict[str, int]:
        found = None if self.path is None else State.load(self.path)
        self.key = "" if found is None else found[1].get(KEY, "")
        counts = super()._greet()
        if self._others:
            self._ask("hello", self._hello(), self._others)  # which each refuses, for its people to read
        return counts

    def _hello(self) -> Arrays:
        return super()._hello() | {KEY: messages.words(self.key)}

    def _differs(self, site: str, answer: Arrays) -> str | None:
        if why := super()._differs(site, answer):
            return why
        theirs = messages.read_words(answer.get(KEY))
        self.key = self.key or theirs
        if theirs == self.key:
            return None
        self._others.add(site)
        return "its key is another one than that of the first site" if theirs else "it has no key"

    def _about(self) -> dict[str, Any]:
        return super()._about() | {KEY: self.key}

    def _start(self, sites: set[str]) -> State | None:
        moments, of, _ = self._add(self._weighed(self._ask("scale", {}, sites)), SEALED, 2 * self.dim)
        if moments is None:
            return None
        table = {"moments": moments, "moments_of": torch.tensor(of), "rounds": torch.tensor(0)}
        tables = {}
        for name in self.plan.training:
            bound = self.plan.bound(name, self._learner(name).state_dict())
            tables[name] = table | {"bound": torch.tensor(bound, dtype=torch.float64)}
        return State.start(tables)

    def _average(self, state: State, answers: Mapping[str, Arrays], validate: bool) -> State:
        weights, losses, known = {}, {}, self._weighed(answers)
        for name, last in state.weights.items():
            size = sum(tensor.numel() for tensor in self._learner(name).state_dict().values())
            total, of, right = self._add(known, f"{name}/{SEALED}", size, f" in round {state.rounds}")
            new = {} if total is None else {"sum": total, "of": torch.tensor(of)}
            weights[name] = {**last, **new, "rounds": torch.tensor(state.rounds + 1)}
            if validate:
                losses[name] = self._losses(name, right)
        return replace(state.validated(losses), rounds=state.rounds + 1, weights=weights)

    def _measure(
        self, counts: Mapping[str, int], weights: Mapping[str, Mapping[str, Tensor]]
    ) -> tuple[dict[str, Sums], Arrays]:
        able, each = self._episodes(counts)
        if not able:
            return {}, {}
        told = messages.to_arrays(weights) | {"each": np.array(each)}
        every = self._strategies(weights)
        answers = {site: (a, able[site]) for site, a in self._ask("prior", told, set(able)).items() if a}
        sums, of, right = self._add(answers, SEALED, count(sum_shapes(every)))
        if sums is None:
            self.say("no site sent a prior that can be used; strategies are chosen without one")
            return {}, {}
        total = {"prior": sums.numpy(), "episodes": np.array(each * of)}
        answers = {site: (a, able[site]) for site, a in self._ask("thresholds", total, set(right)).items() if a}
        thresholds, _, _ = self._add(answers, SEALED, count(histogram_shapes(every)))
        return {}, total | ({} if thresholds is None else {"thresholds": thresholds.numpy()})

    def _weighed(self, answers: Mapping[str, Arrays]) -> Weighed:
        """Return the answers of sites that have domains, with how many each counts for."""
        found = {site: (a, min(self._number(site, a, "domains"), MOST_DOMAINS)) for site, a in answers.items() if a}
        return {site: (answer, domains) for site, (answer, domains) in found.items() if domains > 0}

    def _add(
        self, answers: Weighed, name: str, size: int, when: str = ""
    ) -> tuple[Tensor | None, int, dict[str, Arrays]]:
        """Return the sum of what sites sealed, of how many domains it is, and the answers that are in it."""
        nothing = np.zeros(0, np.uint8)
        total, refused = add({site: answer.get(name, nothing) for site, (answer, _) in answers.items()}, size)
        for site, why in refused.items():
            self.say(f"{site}: {name} not used{when}: {why}")
        right = {site: answer for site, (answer, _) in answers.items() if site not in refused}
        of = sum(answers[site][1] for site in right)
        return None if total is None else torch.from_numpy(total), of, right
