"""A support set: all that a learner is given to adapt to."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from scipy.sparse import csr_matrix
from torch import Tensor

from domains.episode import Episode
from learners.classifier import Classifier, Columns
from learners.examples import Examples, join_views, select_rows


@dataclass(frozen=True)
class Support:
    """The labelled examples of a new domain, and what else is known of it.

    Attributes:
        x: [S, D] features, or raw examples [S, *shape].
        y: [S] labels 0..N-1, or the targets [S, N] of a regression.
        pool_x: [U, D] unlabelled examples of the same domain, or None.
        names_x: [N, D] features of the labels' names, or None.
        labels: the N names themselves, or None.
        ngrams, pool_ngrams: [S, V] and [U, V] counts of the character n-grams of texts, or None.
        dates: [S] the day of each example, or None where examples have no order in time.
        ways: N, the number of labels, of which some may have no example; counted from ``labels`` or ``y`` unless given.
        widths: how many of the D features are of each encoder, where there are several; () where there is one.
        read: what takes these features out of those of all encoders, or None.
    """

    x: Tensor
    y: Tensor
    pool_x: Tensor | None = None
    names_x: Tensor | None = None
    labels: tuple[str, ...] | None = None
    dates: Tensor | None = None
    ways: int = 0
    ngrams: csr_matrix | None = None
    pool_ngrams: csr_matrix | None = None
    widths: tuple[int, ...] = ()
    read: Columns | None = None

    def __post_init__(self) -> None:
        if not self.ways:
            largest = 0 if self.y.is_floating_point() or not self.y.numel() else int(self.y.max())
            object.__setattr__(self, "ways", len(self.labels or ()) or largest + 1)

    @classmethod
    def of(cls, episode: Episode) -> "Support":
        """Return the support set of an episode, with its pool and the names of its labels."""
        return cls(episode.support_x, episode.support_y, episode.pool_x, episode.names_x, ways=episode.ways)

    @property
    def examples(self) -> Tensor | Examples:
        """The labelled examples in every view that there is."""
        return join_views(self.x, self.ngrams)

    @property
    def pool(self) -> Tensor | Examples | None:
        """The unlabelled examples in every view that there is."""
        return None if self.pool_x is None else join_views(self.pool_x, self.pool_ngrams)

    def select(self, rows: Tensor) -> "Support":
        """Return the support set of these examples only: indices [k], or a mask [S]."""
        dates = None if self.dates is None else self.dates[rows]
        return replace(self, x=self.x[rows], y=self.y[rows], dates=dates, ngrams=select_rows(self.ngrams, rows))

    def of_encoder(self, number: int) -> "Support":
        """Return the set with the features of one encoder alone; ``read`` says which they are."""
        if not self.widths:
            return self
        start, width = sum(self.widths[:number]), self.widths[number]
        read = Columns(torch.zeros(width), torch.ones(width), start)
        pool_x, names_x = (None if x is None else read(x) for x in (self.pool_x, self.names_x))
        return replace(self, x=read(self.x), pool_x=pool_x, names_x=names_x, widths=(), read=read)

    def reading(self, classifier: Classifier) -> Classifier:
        """Return a classifier of these features, or of words, as one that reads the features of all encoders."""
        if self.read is None or classifier.reads_ngrams:
            return classifier
        return replace(classifier, layers=(self.read, *classifier.layers))

    def compact(self) -> tuple[Tensor, "Support"]:
        """Return the labels [C] that have an example, and the support set in which these are 0..C-1."""
        present, y = self.y.unique(return_inverse=True)
        names_x = None if self.names_x is None else self.names_x[present]
        labels = None if self.labels is None else tuple(self.labels[i] for i in present.tolist())
        return present, replace(self, y=y, names_x=names_x, labels=labels, ways=len(present))


def check_support(
    support: Support, shape: Sequence[int] | None = None, ways: int | None = None, regression: bool = False
) -> int:
    """Return the number of classes N that a support set is of, or say what is wrong with it or its pool.

    Args:
        shape: of an example as the learner reads it; None: vectors of any length.
        ways: the number of labels that the learner was made for, of which a support set need not have them all; None:
            any number, and each label has an example.
        regression: labels may be numbers [S, N].

    Raises:
        ValueError: shapes do not fit, features are not finite or constant, labels are not exactly 0..N-1, or N < 2.
    """
    x, y = support.x, support.y
    if y.is_floating_point() and not regression:
        kind = str(y.dtype).removeprefix("torch.")
        raise ValueError(f"labels are {kind}, this learner tells classes apart; ridge and maml take numbers as targets")
    wanted = x.shape[1:2] if shape is None else tuple(shape)
    if x.ndim != 1 + len(wanted) or y.ndim != 1 + y.is_floating_point() or len(x) != len(y):
        what = "features [S, D]" if len(wanted) == 1 else f"examples {['S', *wanted]}"
        raise ValueError(f"support must be {what} and labels [S], not {list(x.shape)} and {list(y.shape)}")
    if len(wanted) == 1 and x.shape[1] != wanted[0]:
        raise ValueError(f"features have {x.shape[1]} dimensions, the learner was made for {wanted[0]}")
    if x.shape[1:] != wanted:
        raise ValueError(f"examples are {list(x.shape[1:])}, the learner was made for {list(wanted)}")
    _check_finite(x, "support")
    if support.pool_x is not None:
        if support.pool_x.shape[1:] != x.shape[1:]:
            raise ValueError(
                f"pool examples are {list(support.pool_x.shape[1:])}, those of the support {list(x.shape[1:])}"
            )
        _check_finite(support.pool_x, "pool")
    if support.dates is not None and len(support.dates) != len(y):
        raise ValueError(f"there are {len(support.dates)} dates for {len(y)} support examples; give each its own")
    if y.is_floating_point():  # targets of a regression
        return ways or 1
    classes = y.unique()
    if ways is not None:
        if len(y) == 0 or classes[0] < 0 or classes[-1] >= ways:
            raise ValueError(f"labels must be within 0..{ways - 1}, found {classes.tolist()[:20]}")
    elif len(classes) < 2:
        raise ValueError(f"support has {len(classes)} class; at least 2 are needed")
    elif classes[0] != 0 or classes[-1] != len(classes) - 1:
        raise ValueError(f"labels must be 0..{len(classes) - 1} with none missing, found {classes.tolist()[:20]}")
    elif support.names_x is not None and len(support.names_x) != len(classes):
        raise ValueError(f"there are {len(support.names_x)} label names for {len(classes)} classes; give each its own")
    if len(classes) > 1 and torch.equal(x, x[:1].expand_as(x)):
        raise ValueError(f"all {len(x)} support examples are the same, so nothing tells {len(classes)} classes apart")
    return ways or len(classes)


def _check_finite(x: Tensor, what: str) -> None:
    """Raise a ValueError that names the first of examples [n, ...] that holds infinity or no number."""
    if not torch.isfinite(x.sum()) and not torch.isfinite(x).all():  # a sum is quick, and finite as a rule
        row = int((~torch.isfinite(x)).flatten(1).any(1).nonzero()[0])
        raise ValueError(f"{what} row {row} has a feature that is not finite")
