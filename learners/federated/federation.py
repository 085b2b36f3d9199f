"""The server's side of a federation, whoever carries its questions: rounds, then the prior."""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from learners import strategies
from learners.base import Learner
from learners.choice.fallback import fallback
from learners.choice.prior import Prior
from learners.choice.prior_sums import (
    FEATURES,
    Sums,
    add,
    add_histograms,
    prior_of,
    to_arrays,
    to_sums,
    wrong_histograms,
)
from learners.federated import messages
from learners.federated.averaging import MOST_DOMAINS, Moments, Update, pool_scale, wrong
from learners.federated.messages import Arrays
from learners.federated.server import Plan, State
from learners.federated.site import Identity, make_learner, start

#: Asks sites a question, all if none are named, and returns the answers that came in time, by site.
Ask = Callable[[str, Arrays, Collection[str]], Mapping[str, Arrays]]


@dataclass(frozen=True)
class Outcome:
    """What a federation learned: weights by learner, and by strategy the sums that the prior is made of."""

    weights: Mapping[str, Mapping[str, torch.Tensor]]
    sums: Mapping[str, Sums]
    histograms: Arrays

    @property
    def prior(self) -> Prior:
        """The prior over strategies; empty where no site could learn one."""
        return prior_of(fallback(self.sums), self.sums, self.histograms) if self.sums else Prior()

    def arrays(self) -> Arrays:
        """Return it as arrays ``weights/…``, ``sums/…`` and ``histograms/…``."""
        found = {f"weights/{key}": value for key, value in messages.to_arrays(self.weights).items()}
        found |= {f"sums/{key}": value for key, value in to_arrays(self.sums).items()}
        return found | {f"histograms/{name}": value for name, value in self.histograms.items()}

    @classmethod
    def of(cls, arrays: Arrays) -> "Outcome":
        """Return what ``arrays`` was called on.

        Raises:
            ValueError: sums are missing.
        """
        parts: dict[str, Arrays] = {"weights": {}, "sums": {}, "histograms": {}}
        for key, value in arrays.items():
            part, _, name = key.partition("/")
            if part in parts:
                parts[part][name] = value
        learners = {name.partition("/")[0] for name in parts["weights"]}
        weights = messages.to_weights(parts["weights"], dict.fromkeys(learners))
        sums = to_sums(parts["sums"], {name.rpartition("/")[0] for name in parts["sums"]})
        return cls(weights, sums, {name: np.asarray(value, np.float64) for name, value in parts["histograms"].items()})


@dataclass
class Federation:
    """A federation as its server sees it.

    Args:
        ask: carries questions; say: hears in one line of every site that is not used, and why.
        dim, last: as for ``make``.
        episodes: of the prior, over all sites.
        path: of the checkpoint; None: none is kept.
        secret: generator of the noise.
    """

    plan: Plan
    identity: Identity
    dim: int
    ask: Ask
    episodes: int = 100
    last: int | None = None
    path: Path | None = None
    say: Callable[[str], None] = lambda line: None
    secret: torch.Generator | None = None

    def run(self) -> Outcome:
        """Return what the sites learn, going on from the checkpoint if there is one.

        Raises:
            ValueError: no site can be used.
        """
        counts = self._greet()
        weights = self._train(set(counts)) if self.plan.training else {}
        return Outcome(weights, *self._measure(counts, weights))

    def _greet(self) -> dict[str, int]:
        """Return the sites that can be used, with how many domains each has for the prior."""
        found = {}
        for site, answer in self._ask("hello", self._hello()).items():
            if why := self._differs(site, answer):
                self.say(f"{site}: not used: {why}")
                continue
            found[site] = self._number(site, answer, "prior")
        if not found:
            raise ValueError("no site can be used; see the lines above")
        return found

    def _hello(self) -> Arrays:
        return self.identity.arrays()

    def _differs(self, site: str, answer: Arrays) -> str | None:
        """Return in one line why a site that answered this is not of the federation; None: it is."""
        return self.identity.differs(answer, "the federation", "this site")

    def _train(self, sites: set[str]) -> Mapping[str, Mapping[str, torch.Tensor]]:
        state = self._restore()
        if state is None:
            state = self._start(sites)
            if state is None:
                self.say("no site shares what learners are trained with; there are none")
                return {}
            self._keep(state)
        while state.rounds < self.plan.rounds:
            validate = self.plan.validates(state.rounds)
            state = self._round(state, sites, validate)
            self._keep(state)
        answers = self._ask("validate", messages.to_arrays(state.weights), sites)
        losses = {name: self._losses(name, answers) for name in state.weights}
        return state.validated(losses).finished()

    def _start(self, sites: set[str]) -> State | None:
        """Return the weights before the first round, with the scale of all sites' features; None: no site trains."""
        moments = {}
        for site, answer in self._ask("scale", {}, sites).items():
            if {"mean", "square", "domains"} - answer.keys():
                continue
            mean, square = (torch.from_numpy(np.array(answer[name], np.float64)) for name in ("mean", "square"))
            found = Moments(mean, square, self._number(site, answer, "domains"))
            if why := found.wrong(self.dim):
                self.say(f"{site}: not used: {why}")
                sites.discard(site)
                continue
            moments[site] = found
        if not moments:
            return None
        mean, scale = pool_scale(moments)
        return State.start({name: start(self._learner(name), mean, scale) for name in self.plan.training})

    def _round(self, state: State, sites: set[str], validate: bool) -> State:
        turn = {"number": state.rounds, "rounds": self.plan.rounds, "steps": self.plan.steps, "validate": validate}
        told = messages.to_arrays(state.weights) | {name: np.array(int(value)) for name, value in turn.items()}
        answers = {site: answer for site, answer in self._ask("round", told, sites).items() if answer}
        return self._average(state, answers, validate)

    def _average(self, state: State, answers: Mapping[str, Arrays], validate: bool) -> State:
        updates: dict[str, dict[str, Update]] = {name: {} for name in state.weights}
        for site, answer in answers.items():
            domains = self._number(site, answer, "domains")
            for name, weights in messages.to_weights(answer, state.weights).items():
                updates[name][site] = Update(weights, domains)
        losses = {}
        for name, last in state.weights.items() if validate else ():
            right = {site: answers[site] for site, update in updates[name].items() if not wrong(update, last)}
            losses[name] = self._losses(name, right)
        state, lines = state.validated(losses).averaged(self.plan, updates, self.secret)
        for line in lines:
            self.say(line)
        return state

    def _losses(self, name: str, answers: Mapping[str, Arrays]) -> dict[str, tuple[float, int]]:
        """Return a learner's validation losses by site, with how many domains the site counts for."""
        found = {}
        for site, answer in answers.items():
            loss = answer.get(f"loss.{name}")
            if loss is not None and loss.size == 1:
                found[site] = float(loss.reshape(())), min(self._number(site, answer, "domains"), MOST_DOMAINS)
        return found

    def _measure(
        self, counts: Mapping[str, int], weights: Mapping[str, Mapping[str, torch.Tensor]]
    ) -> tuple[dict[str, Sums], Arrays]:
        able, each = self._episodes(counts)
        if not able:
            return {}, {}
        told = messages.to_arrays(weights) | {"each": np.array(each)}
        every = self._strategies(weights)
        sums = {}
        for site, answer in self._ask("prior", told, set(able)).items():
            if answer and (found := self._sums(site, answer, each * able[site], every)):
                sums[site] = found
        if not sums:
            self.say("no site sent a prior that can be used; strategies are chosen without one")
            return {}, {}
        total = add(sums.values())
        histograms = []
        for site, answer in self._ask("thresholds", to_arrays(total), set(sums)).items():
            if why := wrong_histograms(answer, 2 * each * able[site]):
                self.say(f"{site}: thresholds not used: {why}")
            else:
                histograms.append(answer)
        return total, add_histograms(histograms)

    def _learner(self, name: str) -> Learner:
        return make_learner(name, self.plan.training[name], self.dim, self.last)

    def _strategies(self, names: Iterable[str]) -> Mapping[str, Learner]:
        """Return the strategies that sites compare, with these learners among them."""
        return strategies({name: self._learner(name) for name in names}, self.dim, self.last)

    def _episodes(self, counts: Mapping[str, int]) -> tuple[dict[str, int], int]:
        """Return how many domains each site measures the prior on, and on how many episodes a domain."""
        able = {site: min(n, MOST_DOMAINS) for site, n in counts.items() if n > 0}
        if not able:
            self.say("no site has domains to learn the prior on, or shares it; strategies are chosen without one")
        return able, max(2, round(self.episodes / max(1, sum(able.values()))))

    def _sums(self, site: str, answer: Arrays, episodes: int, every: Mapping[str, object]) -> dict[str, Sums]:
        """Return the sums of a site by strategy, if all of them can be used; else nothing."""
        try:
            found = to_sums(answer, every)
        except ValueError as error:
            self.say(f"{site}: its prior is not used: {error}")
            return {}
        for name, sums in found.items():
            if why := sums.wrong(FEATURES, episodes, bounded=True):
                self.say(f"{site}: its prior is not used: {name}: {why}")
                return {}
        return found

    def _ask(self, question: str, told: Arrays, sites: Collection[str] = ()) -> dict[str, Arrays]:
        """Return the answers of sites in use that are arrays of numbers."""
        found = {}
        for site, answer in sorted(self.ask(question, told, sites).items()):
            if sites and site not in sites:
                continue
            try:
                found[site] = messages.check(answer)
            except ValueError as error:
                self.say(f"{site}: not used for {question}: {error}")
        return found

    def _number(self, site: str, answer: Arrays, name: str) -> int:
        try:
            return int(messages.number(answer, name))
        except ValueError as error:
            self.say(f"{site}: {error}")
            return 0

    def _keep(self, state: State) -> None:
        if self.path is not None:
            state.save(self.path, self._about())

    def _about(self) -> dict[str, Any]:
        return {"identity": vars(self.identity)}

    def _restore(self) -> State | None:
        found = None if self.path is None else State.load(self.path)
        if found is None:
            return None
        state, about = found
        if about != self._about():
            self.say("the checkpoint is of another encoder, version or recipe; the federation begins anew")
            return None
        return state
