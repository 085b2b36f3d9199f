"""What an adaptation is made of: its settings, its key, and a domain's examples as features."""

import hashlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from importlib.metadata import version
from typing import Any

import numpy as np
import torch
from scipy.sparse import csr_matrix, vstack
from torch import Tensor

from domains.domain import Domain
from domains.episode import draw_support
from domains.errors import UserError
from domains.labelled_examples import sample_rows
from domains.objective import ACCURACY, Objective
from domains.same_example import content_keys
from learners import BASELINES, plain_strategies
from learners.base import Learner
from learners.encoders.ngrams import count_ngrams
from learners.examples import Examples, join_views, select_rows
from learners.meta_model import MetaModel
from learners.support import Support
from tasks.adapt.usable_examples import distance_warning, find_usable, sample_warning
from tasks.base.settings import Settings
from tasks.features.encoders import domain_encoders, exact, identity_of, names_given
from tasks.features.encoding import encode, encode_names
from tasks.features.reading import readable
from tasks.features.spec import EncoderSpec

MOST = 100_000  # labelled examples that are used at most
LABELLED, SUPPORTS = 50, 5  # examples of a class that supports of K are drawn from: 50, or 5 K where that is more
FOLDS = 5  # of labelled examples, where the test is too small
LARGE_TEST = 1000  # test examples, from which a score is sure enough: 3 points to either side of 70 %
AUTO = "auto"
BASELINE_NAMES = tuple(kind.name for kind in BASELINES)


@dataclass(frozen=True)
class Adaptation:
    """How to adapt, all of it part of an adapted model's identity.

    Args:
        method: a strategy's name, or ``auto``: the portfolio chooses.
        k: at most so many labels a class are used, an experiment; None: all labels.
        draws: support sets of K labels a class for the interval, the first of which makes the challenger. All labels
            make one support set.
        pool: at most so many unlabelled examples are used.
        objective: what the model is to be best in.
        budget: seconds that tuning an encoder to the labels may take; 0: none is tuned.
    """

    k: int | None = None
    draws: int = 10
    method: str = AUTO
    pool: int = 2000
    seed: int = 0
    objective: Objective = ACCURACY
    budget: int = 0

    @property
    def trials(self) -> int:
        """How many support sets are adapted to."""
        return 1 if self.k is None else self.draws


@dataclass(frozen=True)
class Encoded:
    """A target domain as features: labelled [n, D], pool [U, D], test [m, D], label names [N, D]; or None.

    ``train_rows`` and ``pool_rows`` are the rows of the shards that are used; ``warnings`` say what is wrong with the
    examples; ``keys`` [n + m] tell the labelled examples, train and then test, apart by content.

    ``encoders`` are those whose features stand side by side, () of a market.

    ``fold`` [n + m] is there where the test is too small: each labelled example is scored by what was adapted to the
    other folds, but the only example of a label (-1), which is in every training part. Without it the test is scored.
    """

    train_x: Tensor
    train_y: Tensor
    pool_x: Tensor | None
    test_x: Tensor
    test_y: Tensor
    labels: tuple[str, ...]
    seconds: float = 0.0
    names_x: Tensor | None = None
    pool_rows: tuple[int, ...] = ()
    warnings: tuple[str, ...] = ()
    train_ngrams: csr_matrix | None = None
    pool_ngrams: csr_matrix | None = None
    test_ngrams: csr_matrix | None = None
    train_rows: tuple[int, ...] = ()
    keys: np.ndarray | None = None
    fold: Tensor | None = None
    encoders: tuple[EncoderSpec, ...] = ()

    @property
    def widths(self) -> tuple[int, ...]:
        """How many features are of each encoder; () where there is one, or none."""
        return widths_of(self.encoders)

    @property
    def others(self) -> list[Mapping[str, Learner]]:
        """The strategies for the features of each encoder but the first."""
        return strategies_beside(self.encoders)

    def with_opinions(self, spec: EncoderSpec, train: Tensor, pool: Tensor | None, test: Tensor) -> "Encoded":
        """Return the same with what a tuned encoder says of the examples [., N], each held out where it is labelled."""

        def beside(x: Tensor | None, more: Tensor | None) -> Tensor | None:
            return None if x is None or more is None else torch.cat([x, more], 1)

        names_x = beside(self.names_x, torch.zeros(len(self.labels), spec.dim))
        train_x, test_x = torch.cat([self.train_x, train], 1), torch.cat([self.test_x, test], 1)
        pool_x, encoders = beside(self.pool_x, pool), (*self.encoders, spec)
        return replace(self, train_x=train_x, pool_x=pool_x, test_x=test_x, names_x=names_x, encoders=encoders)

    @property
    def without_opinions(self) -> "Encoded":
        """The same without what tuned encoders say, which all labels are part of."""
        encoders = tuple(spec for spec in self.encoders if not spec.opinions)
        if encoders == self.encoders:
            return self
        width = sum(spec.dim for spec in encoders)
        pool_x, names_x = (None if x is None else x[:, :width] for x in (self.pool_x, self.names_x))
        train_x, test_x = self.train_x[:, :width], self.test_x[:, :width]
        return replace(self, encoders=encoders, train_x=train_x, pool_x=pool_x, test_x=test_x, names_x=names_x)

    @property
    def test(self) -> Tensor | Examples:
        """The test examples in every view that there is."""
        return join_views(self.test_x, self.test_ngrams)

    @property
    def pool(self) -> Tensor | Examples | None:
        """The pool in every view that there is."""
        return None if self.pool_x is None else join_views(self.pool_x, self.pool_ngrams)

    @cached_property
    def labelled(self) -> Support:
        """All labelled examples as a support set: train, and then test."""
        views = (self.train_ngrams, self.test_ngrams)
        ngrams = None if views[0] is None or views[1] is None else vstack(views, "csr")
        x, y = torch.cat([self.train_x, self.test_x]), torch.cat([self.train_y, self.test_y])
        return replace(self.support(torch.arange(0)), x=x, y=y, ngrams=ngrams)

    @property
    def examples(self) -> Tensor | Examples:
        """All labelled examples in every view that there is: train, and then test."""
        return self.labelled.examples

    @property
    def scored_rows(self) -> Tensor:
        """Which of the labelled examples are scored [m], by their place: train, and then test."""
        if self.fold is None:
            return torch.arange(len(self.train_y), len(self.train_y) + len(self.test_y))
        return (self.fold >= 0).nonzero()[:, 0]

    @property
    def scored(self) -> Tensor | Examples:
        """The scored examples in every view that there is."""
        return self.test if self.fold is None else self.examples[self.scored_rows]

    @property
    def scored_y(self) -> Tensor:
        """The labels [m] of the scored examples."""
        return self.test_y if self.fold is None else self.labelled.y[self.fold >= 0]

    def support(self, rows: Tensor) -> Support:
        """Return these examples of train as a support set, with the pool and the names of the labels."""
        x, y = self.train_x[rows], self.train_y[rows]
        views = select_rows(self.train_ngrams, rows), self.pool_ngrams
        return Support(x, y, self.pool_x, self.names_x, self.labels, None, len(self.labels), *views, self.widths)


def adaptation_key(domain: Domain, meta_version: str, how: Adaptation) -> str:
    """Return the name of a piece of work: the same domain bytes, meta-model and settings give the same key."""
    parts = [
        domain.name,
        domain.content_hash,
        identity_of(domain_encoders(domain)) + (" alone" if names_given(domain) else ""),
        meta_version,
        version("acclimate"),
    ]
    how = replace(how, draws=how.trials, budget=tuning_budget(domain, how))
    parts.append(json.dumps(vars(how), sort_keys=True))
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def tuning_budget(domain: Domain, how: Adaptation) -> int:
    """Return the seconds that tuning an encoder may take: 0 of an experiment, of a method by name, and of a market."""
    return how.budget if how.k is None and how.method == AUTO and domain.family != "market" else 0


def work_key(domain: Domain, meta_version: str, how: Adaptation) -> str:
    """Return the same of any number of draws, as the model is that of the first."""
    return adaptation_key(domain, meta_version, replace(how, draws=1))


def encode_domain(
    settings: Settings, domain: Domain, how: Adaptation, advance: Callable[[int], None] = lambda n: None
) -> Encoded:
    """Encode what is used of a target domain's shards (``tasks/adapt/usable_examples.py``).

    Raises:
        UserError: the domain has no labelled or no test examples, or fewer than two classes with labels.
    """
    for split in ("train", "test"):
        if not domain.has(split):
            raise UserError(f"domain {domain.name} has no {split} examples: see `acclimate domains show {domain.name}`")
    started = time.perf_counter()
    good = find_usable(domain)
    used = [good.train[i] for i in labelled_sample(domain, good.train, how)]
    train_y, test_y = torch.tensor(domain.targets("train"))[used], torch.tensor(domain.targets("test"))
    pool_rows = [good.pool[i] for i in pool_sample(len(good.pool), how)]
    parts = [domain.column("train", used), domain.column("test")]
    if pool_rows:
        parts.append(domain.column("pool", pool_rows))
    every = [example for part in parts for example in part]
    images_join = how.k != 1 and int(train_y.bincount().max()) > 1
    named = bool(names_given(domain))
    encoders, doubts = readable(settings, domain_encoders(domain), every, named, images_join)
    x = encode(settings, domain.family, every, advance, encoders)
    train_x, test_x, *rest = x.split([len(part) for part in parts])
    pool_x = rest[0] if rest else None
    (names_x,) = encode_names(settings, domain.family, [domain.labels], encoders)
    warnings = (
        *good.warnings,
        *doubts,
        *sample_warning("train", len(good.train), len(used), how.seed),
        *sample_warning("pool", len(good.pool), len(pool_rows), how.seed),
        *distance_warning(domain.family, pool_x, train_x, encoders[0].last or encoders[0].dim if encoders else None),
    )
    keys = None if domain.family == "market" else content_keys([*parts[0], *parts[1]])
    fold = None
    if how.k is None and keys is not None and divided_by_class(domain) and len(test_y) < LARGE_TEST:
        fold = assign_folds(torch.cat([train_y, test_y]).numpy(), keys, how.seed)
    views = [count_ngrams(part) for part in parts] if domain.family == "text" else []
    train_ngrams, test_ngrams, pool_ngrams = (*views, None, None, None)[:3]
    seconds = time.perf_counter() - started
    return Encoded(
        *(train_x, train_y, pool_x, test_x, test_y, domain.labels, seconds, names_x, tuple(pool_rows), warnings),
        *(train_ngrams, pool_ngrams, test_ngrams, tuple(used), keys, fold, encoders),
    )


def divided_by_class(domain: Domain) -> bool:
    """Whether train and test are one pile, divided at random: not by time or group, or by whoever made the domain."""
    division = domain.meta.get("split")
    return isinstance(division, dict) and division.get("by") == "class"


def assign_folds(y: np.ndarray, keys: np.ndarray, seed: int, folds: int = FOLDS) -> Tensor | None:
    """Return the fold [n] of each labelled example, each label spread evenly and copies of an example together.

    -1 is the only example of a label; None: there is no label with two.
    """
    rng, fold = np.random.default_rng(seed), np.full(len(y), -1)
    first = np.unique(keys, return_index=True)[1]
    for number, label in enumerate(np.unique(y)):
        rows = rng.permutation(first[y[first] == label])
        if len(rows) > 1:
            fold[rows] = (np.arange(len(rows)) + number) % folds
    at = dict(zip(keys[first].tolist(), fold[first].tolist(), strict=True))
    fold = np.array([at[key] for key in keys.tolist()])
    return torch.from_numpy(fold) if (fold >= 0).any() else None


def scored_examples(domain: Domain, data: Encoded) -> list[Any]:
    """Return the scored examples themselves, as the shards have them."""
    if data.fold is None:
        return domain.column("test")
    every = [*domain.column("train", data.train_rows), *domain.column("test")]
    return [every[i] for i in data.scored_rows.tolist()]


def examples_used(domain: Domain, how: Adaptation) -> int:
    """Return how many examples of a target an adaptation encodes, counted by each encoder."""
    train = len(labelled_sample(domain, range(domain.counts.get("train", 0)), how))
    every = train + domain.counts.get("test", 0) + min(domain.counts.get("pool", 0), how.pool)
    return every * max(1, len(domain_encoders(domain)))


def labelled_sample(domain: Domain, rows: Sequence[int], how: Adaptation) -> list[int]:
    """Return which of the rows of train are used, by their place in ``rows``.

    All are, up to ``MOST``; with K, at most so many a class that K needs. Markets need no encoder: there K needs all.
    """
    y = np.asarray(domain.targets("train"))[list(rows)]
    if how.k is None:
        return np.sort(shuffle_rows(y, how.seed)[:MOST]).tolist()
    if domain.family == "market":
        return list(range(len(rows)))
    return sample_rows(y, len(domain.labels), max(LABELLED, SUPPORTS * how.k), seed=how.seed)


def shuffle_rows(y: np.ndarray, seed: int) -> np.ndarray:
    """Return the rows of y [n] at random, one of each label first, so that the first rows lack no label."""
    order = np.random.default_rng(seed).permutation(len(y))
    first = np.unique(y[order], return_index=True)[1]
    return np.concatenate([order[first], np.delete(order, first)])


def pool_sample(size: int, how: Adaptation) -> list[int]:
    """Return the rows of the pool that are used: all, or a fixed sample of a larger one."""
    generator = torch.Generator().manual_seed(how.seed)
    return sorted(torch.randperm(size, generator=generator)[: how.pool].tolist())


def support_of(data: Encoded, how: Adaptation, number: int) -> tuple[Tensor, torch.Generator]:
    """Return the rows of a support draw, and the generator that drew them, for what follows; without K all rows."""
    generator = torch.Generator().manual_seed(how.seed * 1000 + number)
    if how.k is None:
        return torch.arange(len(data.train_y)), generator
    return draw_support(data.train_y, how.k, generator), generator


def widths_of(encoders: Sequence[EncoderSpec]) -> tuple[int, ...]:
    """Return how many features are of each encoder; () where there is one, or none."""
    return tuple(spec.dim for spec in encoders) if len(encoders) > 1 else ()


def strategies_beside(encoders: Sequence[EncoderSpec]) -> list[Mapping[str, Learner]]:
    """Return the strategies for the features of each encoder but the first, by name: none is meta-trained.

    What tuned encoders say needs none.
    """
    return [plain_strategies(spec.dim, spec.last) for spec in encoders[1:] if not spec.opinions]


def model_for(model: MetaModel, encoders: Sequence[EncoderSpec]) -> MetaModel:
    """Return a meta-model for the features of the first encoder.

    Where it was trained on another's, plain strategies are left, and what source domains say of these.
    """
    if not encoders or model.encoder == exact(encoders[0]).identity:
        return model
    first = encoders[0]
    return replace(model, encoder=first.identity, dim=first.dim, last=first.last, learners={})


def encoder_warning(model: MetaModel, encoders: Sequence[EncoderSpec]) -> list[str]:
    """Return a line where no meta-trained learner reads the first encoder."""
    if not encoders or model.encoder == exact(encoders[0]).identity:
        return []
    return [f"no meta-model reads {encoders[0].identity}: strategies that are not meta-trained adapt"]
