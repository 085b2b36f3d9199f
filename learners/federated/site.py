"""A site: its domains stay with it; it answers the server's questions with weights and sums."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from domains.episode import Pile, Shape, draw
from learners import make, strategies
from learners.base import Learner
from learners.choice.harder import draw_harder
from learners.choice.prior import Measured, measure_strategies
from learners.choice.prior_sums import Arrays, histograms_of, prior_of, sums_of, to_arrays, to_sums
from learners.federated import messages
from learners.federated.averaging import MOST_DOMAINS, Moments, Weights
from learners.meta_train import Training, draw_batch, make_optimiser, meta_update, validate, validation_episodes


@dataclass(frozen=True)
class Round:
    """One round of a federation: which it is of how many, and how many meta-updates each site makes."""

    number: int
    rounds: int
    steps: int


def train_round(
    learner: Learner, piles: Sequence[Pile], training: Training, turn: Round, weights: Weights
) -> dict[str, Tensor]:
    """Return what meta-updates on a site's own piles make of given weights.

    The optimiser starts anew, and the episodes depend on the training's seed and the round alone: a site that died does
    the round again to the same bits, and has nothing to keep.

    Raises:
        Diverged: the loss or its gradient is not finite.
    """
    learner.load_state_dict(dict(weights))
    learner.train()
    generator = torch.Generator().manual_seed(hash_seed(training.seed, turn.number))
    optimiser = make_optimiser(learner, training)
    for step in range(turn.steps):
        done = (turn.number + step / turn.steps) / turn.rounds
        meta_update(learner, optimiser, training, done, draw_batch(piles, training, generator))
    return {name: value.clone() for name, value in learner.state_dict().items()}


def hash_seed(seed: int, number: int) -> int:
    """Return a seed of its own for every round."""
    return int(torch.randint(2**62, (number + 1,), generator=torch.Generator().manual_seed(seed))[-1])


@dataclass(frozen=True)
class Identity:
    """What has to be the same at all sites: encoder, version of this program, learners and their recipe."""

    encoder: str
    version: str
    learners: str = ""

    def arrays(self) -> Arrays:
        return {name: messages.words(value) for name, value in vars(self).items()}

    def differs(self, other: Arrays, here: str, there: str) -> str | None:
        """Return in one line what is another ``there`` than ``here``, where this is from; None: all is the same."""
        for name, value in vars(self).items():
            theirs, ours = messages.read_words(other.get(name)), messages.read_words(messages.words(value))
            if theirs != ours:
                return f"{name} of {there}: {theirs or 'none'}; of {here}: {ours or 'none'}"
        return None


@dataclass
class Site:
    """One site of a federation.

    Args:
        train, validation, prior: its piles, as ``divide_piles`` divides them; the latter two may be empty.
        training: by learner; last: as for ``make``.
        shapes: of the prior's episodes, in turn.
        share: what it is willing to send: ``learners``, ``prior``.
        say: hears of all that it sends.
    """

    identity: Identity
    train: Sequence[Pile]
    validation: Sequence[Pile]
    prior: Sequence[Pile]
    training: Mapping[str, Training]
    shapes: Sequence[Shape]
    seed: int = 0
    last: int | None = None
    share: tuple[str, ...] = ("learners", "prior")
    say: Callable[[str], None] = lambda line: None
    _measured: Measured | None = field(default=None, init=False)

    @property
    def dim(self) -> int:
        """The length of a feature vector."""
        return self.train[0].x.shape[1]

    def answer(self, question: str, told: Arrays) -> Arrays:
        """Return what the server asks for, as far as the site shares it; say what is sent.

        Raises:
            ValueError: no such question, or the federation is of another encoder, version or recipe.
        Diverged: training came to no finite loss.
        """
        found = self._reply(question, told)
        self.say(f"sent for {question}: {len(found)} arrays, {messages.size(found):,} bytes")
        return found

    def _reply(self, question: str, told: Arrays) -> Arrays:
        asked = {
            "hello": self.hello,
            "scale": self.scale,
            "round": self.round,
            "validate": self.validate,
            "prior": self.measure,
            "thresholds": self.histograms,
        }
        if question not in asked:
            raise ValueError(f"the server asks for {question!r}, which this version does not know")
        return asked[question](told)

    def hello(self, told: Arrays) -> Arrays:
        """Return who this is, and how many domains it has for each purpose."""
        if messages.KEY in told:
            raise ValueError("the federation is encrypted; join with the key that its sites share: --key FILE")
        if why := self.identity.differs(told, "this site", "the federation"):
            raise ValueError(f"{why}; make them the same and join again")
        counts = {
            "train": len(self.train) * ("learners" in self.share),
            "prior": len(self.prior) * ("prior" in self.share),
        }
        return self.identity.arrays() | {name: np.array(n) for name, n in counts.items()}

    def scale(self, told: Arrays) -> Arrays:
        """Return the moments of the features that it trains on."""
        if "learners" not in self.share:
            return {}
        found = Moments.of(torch.cat([pile.x for pile in self.train]), len(self.train))
        return {"mean": found.mean.numpy(), "square": found.square.numpy(), "domains": np.array(found.domains)}

    def round(self, told: Arrays) -> Arrays:
        """Return the weights after some meta-updates, and where it is asked the loss before them."""
        if "learners" not in self.share:
            return {}
        turn = Round(*(int(messages.number(told, name)) for name in ("number", "rounds", "steps")))
        rest = self.validate(told) if messages.number(told, "validate") else {}
        weights, after = messages.to_weights(told, self.training), {}
        for name, training in self.training.items():
            after[name] = train_round(self._learner(name), self.train, training, turn, weights[name])
        return messages.to_arrays(after) | rest | {"domains": np.array(len(self.train))}

    def validate(self, told: Arrays) -> Arrays:
        """Return the loss of every learner with the weights that are told."""
        if "learners" not in self.share or not self.validation:
            return {}
        found = {"domains": np.array(len(self.train))}
        for name, weights in messages.to_weights(told, self.training).items():
            learner = self._learner(name)
            learner.load_state_dict(weights)
            held_out = validation_episodes(self.validation, self.training[name])
            found[f"loss.{name}"] = np.array(validate(learner, held_out)[0])
        return found

    def measure(self, told: Arrays) -> Arrays:
        """Return the prior's sums of every strategy; the learners have the weights that are told."""
        if "prior" not in self.share or not self.prior:
            return {}
        learners = {}
        for name, weights in messages.to_weights(told, self.training).items():
            if weights:
                learners[name] = self._learner(name)
                learners[name].load_state_dict(weights)
        every, piles = strategies(learners, self.dim, self.last), self.prior[:MOST_DOMAINS]
        generator = torch.Generator().manual_seed(self.seed + 2)
        domains = [i % len(piles) for i in range(int(messages.number(told, "each")) * len(piles))]
        drawn = [
            draw([piles[domain]], self.shapes[i // len(piles) % len(self.shapes)], generator)
            for i, domain in enumerate(domains)
        ]
        harder = draw_harder(piles, self.shapes[0], len(drawn), generator)
        self._measured = measure_strategies(every, drawn, domains, None, generator, harder=harder)
        return to_arrays(sums_of(self._measured))

    def histograms(self, told: Arrays) -> Arrays:
        """Return what ``histograms_of`` does by the sums of all sites that are told, of what was measured last.

        Raises:
            ValueError: sums are missing.
        """
        if self._measured is None:
            return {}
        safe = self._measured.safe
        return histograms_of(self._measured, prior_of(safe, to_sums(told, self._measured.scores)))

    def _learner(self, name: str) -> Learner:
        return make_learner(name, self.training[name], self.dim, self.last)


def make_learner(name: str, training: Training, dim: int, last: int | None) -> Learner:
    """Return a learner as training begins with it, the same wherever it is made."""
    with torch.random.fork_rng():
        torch.manual_seed(training.seed)
        return make(name, dim, None, last)


def start(learner: Learner, mean: Tensor, scale: Tensor) -> dict[str, Tensor]:
    """Return the weights before the first round: the learner's own, with mean and scale [D] of all sites' features."""
    ours = {"mean": mean, "scale": scale}
    state = {name: value.clone() for name, value in learner.state_dict().items()}
    return {n: ours.get(n.rpartition(".")[2], v) if v.shape == mean.shape else v for n, v in state.items()}
