"""Episodes: small N-way K-shot problems drawn from domains, all randomness from one generator."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

TRIES = 100  # to find a span of dates with examples of two labels
ALL = 1_000_000  # shots: all that a class has
NATURAL = 0.0  # in place of a concentration: as frequent as in the pile


@dataclass(frozen=True)
class Episode:
    """One few-shot problem (Vinyals et al. 2016).

    Attributes:
        support_x: [S, D] labelled examples, S = N * K when classes are equally large; raw ones are [S, C, H, W].
        support_y: [S] labels 0..N-1.
        query_x: [Q, D] examples the adapted model is judged on.
        query_y: [Q] their labels.
        pool_x: [U, D] unlabelled examples of the same domain, or None.
        names_x: [N, D] features of the labels' names, or None.
        ways: N, the number of classes; counted from the labels unless given (targets of a regression have none).
    """

    support_x: Tensor
    support_y: Tensor
    query_x: Tensor
    query_y: Tensor
    pool_x: Tensor | None = None
    names_x: Tensor | None = None
    ways: int = 0

    def __post_init__(self) -> None:
        if not self.ways:
            labelled = not self.support_y.is_floating_point()
            object.__setattr__(self, "ways", int(self.support_y.max()) + 1 if labelled else 1)

    @property
    def tensors(self) -> tuple[Tensor | None, ...]:
        """The six tensors, in order."""
        return self.support_x, self.support_y, self.query_x, self.query_y, self.pool_x, self.names_x

    def to(self, where: torch.device | torch.dtype) -> "Episode":
        """Return the episode on a device, or with its numbers (not its labels) of another type."""
        numbers = isinstance(where, torch.dtype)
        moved = [t if t is None or (numbers and not t.is_floating_point()) else t.to(where) for t in self.tensors]
        return Episode(*moved, self.ways)  # type: ignore[call-arg, arg-type]


@dataclass(frozen=True)
class Pile:
    """The encoded examples of one domain that episodes are drawn from.

    Attributes:
        name: of the domain.
        x: [n, D] features, or raw examples [n, C, H, W]; bytes (uint8) are kept as bytes and drawn as numbers 0 to 1.
        y: [n] labels.
        shared: the labels mean the same in every domain of the family (market states do), so an episode keeps
            their order and uses them all.
        time: [n] day of each example, for domains where the support must lie before the query; or None.
        names: [C, D] features of the names of labels 0..C-1, or None where they say nothing or cannot be encoded.
    """

    name: str
    x: Tensor
    y: Tensor
    shared: bool = False
    time: Tensor | None = None
    names: Tensor | None = None

    @cached_property
    def classes(self) -> dict[int, Tensor]:
        """The indices of the examples of every class, in the order of the pile."""
        order = self.y.argsort(stable=True)
        found, counts = self.sizes
        return dict(zip(found.tolist(), order.split(counts.tolist()), strict=True))

    @cached_property
    def sizes(self) -> tuple[Tensor, Tensor]:
        """The classes and how many examples each has."""
        found, counts = self.y.unique(return_counts=True)
        return found, counts

    def examples(self, index: Tensor) -> Tensor:
        """Return examples [k, ...] as numbers."""
        x = self.x[index]
        return x.float() / 255 if x.dtype == torch.uint8 else x

    def only(self, classes: Tensor) -> "Pile":
        """Return the pile restricted to some classes."""
        return self.where(torch.isin(self.y, classes))

    def where(self, keep: Tensor) -> "Pile":
        """Return the pile of the examples for which the mask [n] is true."""
        time = None if self.time is None else self.time[keep]
        return Pile(self.name, self.x[keep], self.y[keep], self.shared, time, self.names)


@dataclass(frozen=True)
class Shape:
    """The range of problems to draw: each number is uniform between its bounds, both included.

    Args:
        ways: classes an episode.
        shots: the support sizes K to choose from; an uneven support has N * K examples too, at least one a class.
        queries: query examples a class.
        pool: pool sizes U to choose from (0: no pool).
        imbalance: the concentration of the Dirichlet that class frequencies of a pool follow; drawn from these,
            with ``inf`` for a balanced pool and NATURAL for one of the pile's own class frequencies.
        support_imbalance: the same of the support.
        alike: the share of episodes whose queries have the class frequencies of the pool, and whose pool has those of
            the support if that is uneven: all are of one population, or the support was drawn evenly from it. In the
            others queries are balanced, and pool and support have frequencies of their own.
        at_most: K may be more than a class has, which then gives all but a third; two are kept for query and pool.
        days: for domains in time: the support is drawn from a span of so many dates of the pile, one date is left
            out, and the query is drawn from as many dates after it.
        nameless: the share of episodes without label names; in half as many they are shuffled, as codes that say
            nothing would be.
    """

    ways: tuple[int, int] = (5, 20)
    shots: tuple[int, ...] = (1, 5, 10)
    queries: int = 10
    pool: tuple[int, ...] = (0, 300)
    imbalance: tuple[float, ...] = (1.0, float("inf"))
    days: int = 12
    nameless: float = 0.2
    support_imbalance: tuple[float, ...] = (float("inf"),)
    alike: float = 0.0
    at_most: bool = False

    @property
    def least(self) -> int:
        """How many examples a class needs to be in an episode of the most shots."""
        return 3 if self.at_most else max(self.shots) + 2


def draw(piles: Sequence[Pile], shape: Shape, generator: torch.Generator) -> Episode:
    """Draw one episode: a domain, then classes, then disjoint support, query and pool examples.

    Raises:
        ValueError: a class has too few examples for the support and at least one query.
    """
    pile = piles[_choose(len(piles), generator)]
    if pile.time is not None:
        return _draw_in_time(pile, shape, generator)
    shots = shape.shots[_choose(len(shape.shots), generator)]
    size = shape.pool[_choose(len(shape.pool), generator)]
    least = 3 if shape.at_most else shots + 2
    classes, counts = pile.sizes
    classes = classes[counts >= least]
    if len(classes) < 2:
        raise ValueError(f"domain {pile.name}: fewer than 2 classes have the {least} examples that {shots} shots need")
    if not pile.shared:
        if len(classes) < shape.ways[0] == shape.ways[1]:
            raise ValueError(
                f"domain {pile.name}: {shape.ways[0]} ways asked, {len(classes)} classes have the {least} examples "
                f"that {shots} shots need"
            )
        low, high = (min(n, len(classes)) for n in shape.ways)
        ways = low + _choose(high - low + 1, generator)
        classes = classes[torch.randperm(len(classes), generator=generator)[:ways]]
    index = [_shuffle(pile.classes[c], generator) for c in classes.tolist()]
    sizes = torch.tensor([len(part) for part in index])
    pool_share = _frequencies(sizes, shape.imbalance[_choose(len(shape.imbalance), generator)], generator)
    taken = _support_counts(sizes, shots, shape, generator)
    query_share = torch.full((len(sizes),), 1 / len(sizes))
    if shape.alike and float(torch.rand((), generator=generator)) < shape.alike:
        if size == 0 or int(taken.min()) != int(taken.max()):
            pool_share = taken / taken.sum()
        query_share = pool_share
    support, query, rest = [], [], []
    for part, k, share in zip(index, taken.tolist(), query_share.tolist(), strict=True):
        room = len(part) - k if size == 0 else max(1, (len(part) - k) // 2)
        end = k + min(round(share * len(sizes) * shape.queries), room)
        support.append(part[:k])
        query.append(part[k:end])
        rest.append(part[end:])
    pool = torch.cat([part[: round(s * size)] for part, s in zip(rest, pool_share.tolist(), strict=True)])
    pool = _shuffle(pool, generator)  # its order tells nothing
    return Episode(
        pile.examples(torch.cat(support)),
        _labels(support, pile, classes),
        pile.examples(torch.cat(query)),
        _labels(query, pile, classes),
        pile.examples(pool) if len(pool) else None,
        None if pile.names is None else _names(pile.names[classes], shape.nameless, generator),
    )


def draw_support(y: Tensor, shots: int, generator: torch.Generator) -> Tensor:
    """Return the indices of at most K examples of every class, [S]."""
    parts = []
    for c in y.unique():
        index = (y == c).nonzero()[:, 0]
        parts.append(index[torch.randperm(len(index), generator=generator)[:shots]])
    return torch.cat(parts)


def _choose(n: int, generator: torch.Generator) -> int:
    return int(torch.randint(n, (1,), generator=generator))


def _labels(parts: list[Tensor], pile: Pile, classes: Tensor) -> Tensor:
    names = classes.tolist() if pile.shared else range(len(classes))
    return torch.cat([torch.full((len(part),), name) for name, part in zip(names, parts, strict=True)])


def _names(names: Tensor, nameless: float, generator: torch.Generator) -> Tensor | None:
    chance = float(torch.rand((), generator=generator))
    if chance < nameless:
        return None
    return names[torch.randperm(len(names), generator=generator)] if chance < 1.5 * nameless else names


def _draw_in_time(pile: Pile, shape: Shape, generator: torch.Generator) -> Episode:
    """Draw support, then, after a date in between, query; the pool is the rest of the support's span.

    Raises:
        ValueError: too few dates, or spans of one label only.
    """
    assert pile.time is not None
    dates = pile.time.unique()
    if len(dates) < 2 * shape.days + 1:
        raise ValueError(f"domain {pile.name}: {len(dates)} dates, an episode needs {2 * shape.days + 1}")
    for _ in range(TRIES):
        start = _choose(len(dates) - 2 * shape.days, generator)
        span = torch.isin(pile.time, dates[start : start + shape.days]).nonzero()[:, 0]
        if len(pile.y[span].unique()) > 1:
            break
    else:
        raise ValueError(f"domain {pile.name}: hardly ever two labels within {shape.days} dates; use longer spans")
    after = torch.isin(pile.time, dates[start + shape.days + 1 : start + 2 * shape.days + 1]).nonzero()[:, 0]
    shots = shape.shots[_choose(len(shape.shots), generator)]
    support = span[draw_support(pile.y[span], shots, generator)]
    after = after[torch.randperm(len(after), generator=generator)[: shape.queries * int(pile.y.max() + 1)]]
    rest = span[~torch.isin(span, support)]
    size = min(shape.pool[_choose(len(shape.pool), generator)], len(rest))
    pool = rest[torch.randperm(len(rest), generator=generator)[:size]]
    return Episode(pile.x[support], pile.y[support], pile.x[after], pile.y[after], pile.x[pool] if size else None)


def _shuffle(index: Tensor, generator: torch.Generator) -> Tensor:
    return index[torch.randperm(len(index), generator=generator)]


def _frequencies(sizes: Tensor, concentration: float, generator: torch.Generator) -> Tensor:
    """Return class frequencies [N] from a symmetric Dirichlet, even ones, or those of classes of such sizes [N]."""
    if concentration == float("inf"):
        return torch.full((len(sizes),), 1 / len(sizes))
    if concentration == NATURAL:
        return sizes / sizes.sum()
    share = torch._standard_gamma(torch.full((len(sizes),), concentration), generator=generator)
    return share / share.sum()


def _support_counts(sizes: Tensor, shots: int, shape: Shape, generator: torch.Generator) -> Tensor:
    """Return how many support examples each of the classes of such sizes [N] has, [N]."""
    most = torch.minimum(sizes - 2, 2 * sizes // 3).clamp_min(1)
    kinds = shape.support_imbalance
    concentration = kinds[_choose(len(kinds), generator)] if len(kinds) > 1 else kinds[0]
    if concentration == float("inf") or shots == 1:
        return torch.full_like(sizes, shots) if not shape.at_most else most.clamp_max(shots)
    share = _frequencies(sizes, concentration, generator)
    return torch.minimum((share * min(shots, int(most.max())) * len(sizes)).round().long().clamp_min(1), most)
