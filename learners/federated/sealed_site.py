"""A site of an encrypted federation: what is added up leaves it sealed, and what comes back is opened and checked."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
import torch

from learners import strategies
from learners.choice.prior_sums import (
    FEATURES,
    Sums,
    histogram_shapes,
    round_histograms,
    sum_shapes,
    to_arrays,
    to_sums,
    wrong_histograms,
)
from learners.federated import messages
from learners.federated.averaging import MOST_DOMAINS, Moments, Weights, pool_scale
from learners.federated.encryption import Key, count, flatten, unflatten
from learners.federated.federation import Outcome
from learners.federated.messages import KEY, Arrays
from learners.federated.site import Site, start

SEALED = "sealed"  # what a site adds to a sum
ROUNDING = 1e-6  # of weights that were sealed as sums and opened again, over their norm
TABLE = {"moments", "moments_of", "rounds", "bound"}  # what the server tells of a learner, and then ``sum`` and ``of``


@dataclass
class SealedSite(Site):
    """One site of an encrypted federation; the server adds what it seals, and says nothing that is used unchecked.

    It does itself what the server of another federation does: clips its update, and looks whether the mean of all is
    one that clipped updates can have. By that much a site or the server that is not honest can move the weights.

    Args:
        key: that all sites have.
    """

    key: Key = field(kw_only=True)
    _known: dict[str, tuple[int, Weights]] = field(default_factory=dict, init=False)
    _bounds: dict[str, float] = field(default_factory=dict, init=False)

    def hello(self, told: Arrays) -> Arrays:
        """Return also the name of the key.

        Raises:
            ValueError: the server does not encrypt, or the other sites have another key.
        """
        if KEY not in told:
            raise ValueError(
                "the server asks for what is not encrypted; start it with --encrypted, or join without --key"
            )
        theirs = messages.read_words(told[KEY])
        if theirs not in ("", self.key.name):
            raise ValueError("--key is not the key of the other sites; ask for theirs and join again")
        rest = {name: value for name, value in told.items() if name != KEY}
        return super().hello(rest) | {KEY: messages.words(self.key.name)}

    def reveal(self, told: Arrays) -> Arrays:
        """Return the result that the server handed over as ``Outcome.arrays``, with what it says that it is of.

        Raises:
            ValueError: it is none that honest sites could come to.
        """
        told = {name: value for name, value in told.items() if name.startswith(("weights/", "histograms/", "about/"))}
        parts = {name.partition("/")[2]: value for name, value in told.items()}
        weights = self._open_weights(parts)
        sums, histograms = {}, {}
        if "prior" in parts:
            names = strategies({name: self._learner(name) for name in weights}, self.dim, self.last)
            sums = self._open_sums(parts, names)
        if "thresholds" in parts:
            shapes = histogram_shapes(sums)
            found = unflatten(self.key.open(parts["thresholds"], count(shapes)), shapes)
            histograms = round_histograms(found)
            if why := wrong_histograms(histograms, 2 * int(messages.number(parts, "episodes"))):
                raise ValueError(f"thresholds of all are not used: {why}")
        found = Outcome(weights, sums, histograms).arrays()
        return found | {name: value for name, value in told.items() if name.startswith("about/")}

    def _reply(self, question: str, told: Arrays) -> Arrays:
        if question == "hello":
            return super()._reply(question, told)
        if question == "thresholds":
            return self._seal_histograms(told)
        weights = self._open_weights(told)
        rest = {name: value for name, value in told.items() if name.partition("/")[0] not in self.training}
        found = super()._reply(question, rest | messages.to_arrays(weights))
        if not found:
            return {}
        if question == "prior":
            return {SEALED: self.key.seal(flatten(found))}
        own = min(len(self.train), MOST_DOMAINS)
        if question == "scale":
            sealed = {SEALED: self.key.seal(own * flatten({name: found.pop(name) for name in ("mean", "square")}))}
            return found | sealed
        if question == "round":
            moved = messages.to_weights(found, self.training)
            found = {name: value for name, value in found.items() if name.partition("/")[0] not in self.training}
            for name, after in moved.items():
                bound = messages.number(told, f"{name}/bound")
                found[f"{name}/{SEALED}"] = self.key.seal(own * _clipped(weights[name], after, bound))
        return found

    def _seal_histograms(self, told: Arrays) -> Arrays:
        if self._measured is None:
            return {}
        sums = self._open_sums(told, self._measured.scores)
        shapes = histogram_shapes(sums)
        found = super()._reply("thresholds", to_arrays(sums))
        return {SEALED: self.key.seal(flatten({n: found.get(n, np.zeros(shape)) for n, shape in shapes.items()}))}

    def _open_weights(self, told: Arrays) -> dict[str, Weights]:
        """Return the weights of every learner that are told.

        Raises:
            ValueError: they are further from those that it knows than honest sites could move them.
        """
        found = {}
        for name, table in messages.to_weights(told, self.training).items():
            if not table:
                continue
            if TABLE - table.keys():
                raise ValueError(f"{name}: {', '.join(sorted(TABLE - table.keys()))} are missing")
            rounds, bound, first = int(table["rounds"]), float(table["bound"]), self._first(name, table)
            if self._bounds.get(name) != bound:
                self.say(f"{name}: an update is {bound:.3g} long at most, says the server")
                self._bounds[name] = bound
            before, last = self._known.get(name, (0, first))
            found[name] = weights = self._mean(table, first) if "sum" in table else first
            allowed = abs(rounds - before) * bound + ROUNDING * _norm(flatten(_numbers(weights)))
            far = _norm(flatten(_numbers(weights)) - flatten(_numbers(last)))
            if not far <= allowed:
                raise ValueError(
                    f"{name}: the weights of all are {far:.3g} from those of round {before}, in round {rounds} "
                    f"{allowed:.3g} is the most: the server or a site changed them"
                )
            self._known[name] = rounds, weights
        return found

    def _first(self, name: str, table: Weights) -> Weights:
        """Return the weights before the first round, by the moments of all sites."""
        both = torch.from_numpy(self._open_mean(table, "moments", "moments_of", 2 * self.dim))
        moments = Moments(both[: self.dim], both[self.dim :], 1)
        if why := moments.wrong(self.dim):
            raise ValueError(f"of all sites, {why}")
        return start(self._learner(name), *pool_scale({"all": moments}))

    def _mean(self, table: Weights, like: Weights) -> Weights:
        shapes = {name: tuple(tensor.shape) for name, tensor in like.items()}
        values = unflatten(self._open_mean(table, "sum", "of", count(shapes)), shapes)
        return {name: torch.from_numpy(value.copy()).to(like[name].dtype) for name, value in values.items()}

    def _open_mean(self, table: Weights, name: str, of: str, size: int) -> np.ndarray:
        return self.key.open(table[name].numpy(), size) / max(1, int(table.get(of, torch.tensor(1))))

    def _open_sums(self, told: Arrays, names: Iterable[str]) -> dict[str, Sums]:
        """Return the prior's sums of these strategies over all sites.

        Raises:
            ValueError: no episodes have these sums.
        """
        names, nothing = list(names), np.zeros(0, np.uint8)
        shapes = sum_shapes(names)
        opened = to_sums(unflatten(self.key.open(told.get("prior", nothing), count(shapes)), shapes), names)
        found = {name: sums.rounded() for name, sums in opened.items()}
        for name, sums in found.items():
            if why := sums.wrong(FEATURES, int(messages.number(told, "episodes")), bounded=True):
                raise ValueError(f"sums of all are not used: {name}: {why}")
        return found


def _numbers(weights: Weights) -> Arrays:
    return {name: tensor.numpy() for name, tensor in weights.items()}


def _norm(values: np.ndarray) -> float:
    return math.sqrt(float(values @ values))


def _clipped(last: Weights, after: Weights, bound: float) -> np.ndarray:
    """Return weights as one vector, their difference to the last ones scaled down to norm ``bound``."""
    begun = flatten(_numbers(last))
    moved = flatten(_numbers(after)) - begun
    return begun + min(1.0, bound / max(_norm(moved), 1e-30)) * moved
