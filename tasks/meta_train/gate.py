"""The gate of meta-models: whether a new one may take the place of the one in service.

Both adapt to the same source episodes, which neither was trained on, as the portfolio would adapt to a new domain.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np
import torch
from safetensors import SafetensorError

from domains.domain import Family
from domains.episode import Episode, Pile, draw
from domains.errors import UserError
from learners import metrics
from learners.choice.portfolio import choose
from learners.choice.prior import score_examples
from learners.meta_model import MetaModel
from learners.support import Support
from tasks.features.encoders import encoder_identity
from tasks.meta_train.recipes import Recipe
from tasks.meta_train.training import Piles, check_pile
from tasks.models.adapt_result import PROMOTED, REFUSED
from tasks.models.registry import Registered

#: Episodes of a comparison: 20 s on one core for texts, 25 s for images and 5 s for markets, by the recipes' models.
EPISODES: dict[Family, int] = {"text": 60, "vision": 15, "market": 400}


class UnusableError(Exception):
    """A meta-model that cannot be read, or that cannot adapt; the message says why."""


@dataclass(frozen=True)
class Comparison:
    """What two meta-models reach on the same episodes.

    The score of an episode is the accuracy of its queries, for markets their mean log-likelihood in nats.

    Attributes:
        against: version of the incumbent.
        challenger, incumbent: mean score by domain.
        difference: challenger minus incumbent, mean over domains; low, high: its 95 % interval.
        episodes: how many there were.
        unseen: whether neither meta-model was trained on the classes (or markets) they were drawn from.
    """

    against: str
    challenger: dict[str, float]
    incumbent: dict[str, float]
    difference: float
    low: float
    high: float
    episodes: int
    in_time: bool
    unseen: bool = True

    @classmethod
    def from_json(cls, text: str) -> "Comparison":
        """Return what ``to_json`` was called on."""
        return cls(**json.loads(text))

    def to_json(self) -> str:
        """Return the comparison as a line of JSON."""
        return json.dumps(asdict(self))

    @property
    def finding(self) -> str:
        """Say in words which is better."""
        if self.high < 0:
            return "significantly worse"
        return "significantly better" if self.low > 0 else "not significantly worse"

    def __str__(self) -> str:
        ours, theirs = (float(np.mean([*by.values()])) for by in (self.challenger, self.incumbent))
        domains = "domain" if len(self.challenger) == 1 else "domains"
        where = f"{self.episodes} held-out source episodes of {len(self.challenger)} {domains}"
        if not self.unseen:
            where += ", on some of which one of the two was trained"
        if self.in_time:
            values = f"{self.difference:+.3f} nats, 95 % interval {self.low:+.3f} to {self.high:+.3f}"
            return f"log-likelihood {ours:.3f} against {theirs:.3f} of version {self.against} on {where} ({values})"
        points = [f"{100 * value:+.1f}" for value in (self.difference, self.low, self.high)]
        values = f"{points[0]} points, 95 % interval {points[1]} to {points[2]}"
        what = f"accuracy {100 * ours:.1f} % against {100 * theirs:.1f} % of version {self.against}"
        return f"{what} on {where} ({values})"


@dataclass(frozen=True)
class Decision:
    """What the gate decided, why in a sentence, and the version in service that this holds for (None: none)."""

    promote: bool
    reason: str
    incumbent: str | None

    @property
    def word(self) -> str:
        """``promoted`` or ``refused``."""
        return PROMOTED if self.promote else REFUSED


def decide(comparison: Comparison, experiment: str, asked: bool) -> Decision:
    """Decide whether a challenger that was compared with the version in service takes its place.

    Args:
        experiment: the options by which it was not made by the family's recipe; empty: by the recipe.
        asked: a person wants an experiment promoted too, if it passes.
    """
    reason = f"{comparison}: {comparison.finding}"
    if experiment and not asked:
        reason = f"an experiment with {experiment}, for which nobody asked with --promote; {reason}"
    return Decision(comparison.high >= 0 and (asked or not experiment), reason, comparison.against)


def load_incumbent(model: Registered, family: Family) -> MetaModel:
    """Return the meta-model in service.

    Raises:
        UnusableError: it cannot be read by this version, or reads the features of another encoder.
    """
    folder = model.folder  # what is kept elsewhere is fetched here: that this fails says nothing about the model
    try:
        found = MetaModel.load(folder)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, SafetensorError) as error:
        raise UnusableError(f"cannot be read ({error})") from error
    if found.encoder != encoder_identity(family):
        raise UnusableError(f"reads features of {found.encoder}, now the encoder is {encoder_identity(family)}")
    return found


def compare(
    challenger: MetaModel,
    incumbent: MetaModel,
    against: str,
    piles: Piles,
    recipe: Recipe,
    episodes: int,
    advance: Callable[[int], None] = lambda episodes: None,
) -> Comparison:
    """Let two meta-models adapt to the same episodes and compare their scores.

    The episodes are drawn from what today's data holds out, by another seed than those of checkpoint choice and of the
    prior, and equally many from each domain.

    Raises:
        UnusableError: the incumbent cannot adapt to an episode, or its predictions are not finite.
        ValueError: the challenger cannot, or its are not.
    """
    held_out, unseen = unseen_piles(piles, (challenger, incumbent), recipe)
    shape, generator = recipe.shape, torch.Generator().manual_seed(recipe.seed + 3)
    domains = [i % len(held_out) for i in range(max(episodes, 2 * len(held_out)))]
    drawn = [draw([held_out[i]], shape, generator) for i in domains]
    ours = score_episodes(challenger, drawn, advance)
    try:
        theirs = score_episodes(incumbent, drawn, advance)
    except (ValueError, RuntimeError) as error:
        raise UnusableError(f"cannot adapt to source episodes ({error})") from error
    mine = np.array(domains) == np.arange(len(held_out))[:, None]
    clusters = [(ours - theirs)[rows] for rows in mine]
    difference, low, high = metrics.clustered_bootstrap(clusters, np.random.default_rng(recipe.seed))
    scores = [
        {pile.name: float(s[rows].mean()) for pile, rows in zip(held_out, mine, strict=True)} for s in (ours, theirs)
    ]
    return Comparison(against, scores[0], scores[1], difference, low, high, len(drawn), challenger.in_time, unseen)


def score_episodes(
    model: MetaModel, episodes: Sequence[Episode], advance: Callable[[int], None] = lambda episodes: None
) -> np.ndarray:
    """Return the mean score [E] of each episode's queries, adapted to by the portfolio's choice.

    Raises:
        ValueError: an episode cannot be adapted to, or predictions are not finite.
    """
    found, strategies = [], model.strategies
    for number, episode in enumerate(episodes):
        support = replace(Support.of(episode), ways=model.ways or episode.ways)
        generator = torch.Generator().manual_seed(number)
        chosen = choose(strategies, support, model.prior, generator, in_time=model.in_time).classifier
        with torch.no_grad():
            z = chosen.logits(episode.query_x) / chosen.temperature
        if not torch.isfinite(z).all():
            raise ValueError("predictions are not finite")
        found.append(score_examples(z, episode.query_y, model.in_time).mean().item())
        advance(1)
    return np.array(found)


def unseen_piles(piles: Piles, models: Sequence[MetaModel], recipe: Recipe) -> tuple[list[Pile], bool]:
    """Return piles to compare models on, and whether neither was trained on any of their classes.

    They are the validation piles without the classes that either model was trained on, or learned its prior on, which
    would favour it: what is held out changes with the sources. Where nothing is left, those of the prior come in too,
    and only classes trained on are left out; where still nothing is left, all validation piles are returned.
    """
    found = _without(piles.validation, piles, models, ("trained_on", "prior_learned_on"), recipe)
    found = found or _without([*piles.validation, *piles.prior], piles, models, ("trained_on",), recipe)
    return (found, True) if found else (list(piles.validation), False)


def _without(
    held_out: Sequence[Pile], piles: Piles, models: Sequence[MetaModel], uses: Sequence[str], recipe: Recipe
) -> list[Pile]:
    """Return piles without the classes that a model used for such purposes, where they can still be drawn from."""
    found = []
    for pile in held_out:
        classes = set(pile.classes)
        for model in models:
            for use in uses:
                classes -= _classes_used(model, use, pile, piles.hashes.get(pile.name, ""))
        if classes == set(pile.classes):
            found.append(pile)
        elif classes and _can_be_drawn_from(left := pile.only(torch.tensor(sorted(classes))), recipe):
            found.append(left)
    return found


def _classes_used(model: MetaModel, use: str, pile: Pile, content_hash: str) -> set[int]:
    """Return the classes of a pile that a model used for something; all where its data were others of that name.

    Models of version 0.10 and earlier do not say what their prior was learned on.
    """
    used = model.about.get(use, {}).get(pile.name)
    if used is None:
        return set()
    same = model.about.get("sources", {}).get(pile.name) == content_hash
    return set(used) if same else set(pile.classes)


def _can_be_drawn_from(pile: Pile, recipe: Recipe) -> bool:
    try:
        check_pile(pile, recipe.shape)
    except UserError:
        return False
    return True
