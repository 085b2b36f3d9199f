"""The one contract of every learner: a loss over episodes to meta-train with, and a way to adapt."""

from collections.abc import Callable, Sequence
from itertools import groupby
from typing import Any

import torch
from torch import Tensor, nn

from domains.episode import Episode
from learners.bodies import Body, Features
from learners.classifier import Classifier, Network

SOURCE_WEIGHT = 20.0  # examples
ABSENT = -20.0  # how far the logit of a label without a support example lies below the others


class Learner(nn.Module):
    """A meta-learning algorithm.

    Args:
        body: the network from examples to vectors that the learner owns and may train; or a number: examples are
            feature vectors of that length, made by a frozen encoder.
        ways: the number of labels when they mean the same in every domain (market states) or the head has a fixed
            number of rows (the classical benchmarks); None: an episode may have any number of classes in any order.

    Attributes:
        mean, scale: [D] the statistics of the source domains' features; 0 and 1 for raw examples.
        progress: how much of meta-training is done, 0 to 1; set before every meta-update, for schedules.
        together: at most so many episodes of one shape are run at once by ``vmap``; 1: one after the other.
    """

    name = "learner"
    meta_trained = True  # False for the plain baselines, which have nothing to learn from other domains
    progress, together = 0.0, 1
    scaled_loss = False  # True: the meta-loss is that at the temperature which suits an episode, as a later fit will be
    regression = False  # True: a support may have numbers [S, N] in place of labels
    reads_names = False  # True: ``adapt`` takes ``names_x`` too, the features of the labels' names

    def __init__(self, body: int | Body, ways: int | None = None) -> None:
        super().__init__()
        self.body = Features(body) if isinstance(body, int) else body
        self.dim, self.ways, self.shape = self.body.dim, ways, self.body.shape
        self.raw = not isinstance(self.body, Features)
        size = 1 if self.raw else self.dim
        self.register_buffer("mean", torch.zeros(size))
        self.register_buffer("scale", torch.ones(size))
        self.mean: Tensor
        self.scale: Tensor

    @property
    def trunk(self) -> nn.Module:
        """The body, wherever the learner keeps it."""
        return self.body

    def fit_scale(self, x: Tensor) -> None:
        """Take the standardisation from source features [n, D]."""
        if not self.raw:
            self.mean.copy_(x.mean(0))
            self.scale.copy_(x.std(0).clamp_min(1e-6))

    def scaling(self, support_x: Tensor, pool_x: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return the mean and scale [D] that standardise a task's features.

        Where labels are shared, features have one meaning everywhere: the source statistics hold. Else a domain may
        lie elsewhere in feature space, and its own n examples speak, with the sources counting as SOURCE_WEIGHT more.
        Raw examples are left as they are.
        """
        if self.raw or self.ways is not None:
            return self.mean, self.scale
        x = support_x if pool_x is None else torch.cat([support_x, pool_x])
        own = len(x) / (len(x) + SOURCE_WEIGHT)
        mean = own * x.mean(0) + (1 - own) * self.mean
        variance = own * x.var(0, correction=0) + (1 - own) * self.scale.square()
        return mean, variance.sqrt()

    def meta_loss(self, episode: Episode) -> Tensor:
        """Return the loss [] on the query set after adaptation to the support set; pure in the parameters."""
        raise NotImplementedError(f"{self.name} learns nothing from other domains")

    def meta_losses(self, episodes: Sequence[Episode]) -> Tensor:
        """Return the losses [E] of episodes of one shape, run at once."""
        return at_once(self.meta_loss, episodes)

    def backward(self, episodes: Sequence[Episode]) -> list[float]:
        """Add the gradient of the episodes' mean loss to every parameter's ``grad`` and return their losses [E].

        Each group of at most ``together`` episodes is differentiated before the next one starts, so memory does not
        grow with their number.
        """
        losses = []
        for group in groups(episodes, self.together):
            values = self.meta_losses(group) if len(group) > 1 else self.meta_loss(group[0])[None]
            (values.sum() / len(episodes)).backward()
            losses += values.tolist()
        return losses

    def adapt(self, support_x: Tensor, support_y: Tensor, pool_x: Tensor | None = None) -> Classifier:
        """Return a classifier for the labels 0..N-1 of a support set.

        Args:
            support_x: [S, D] features or [S, *shape] raw examples; support_y: [S] labels; pool_x: [U, D] unlabelled
                features, or None.

        Raises:
            ValueError: see ``check_support``.
        """
        raise NotImplementedError

    def embedding(self) -> tuple[Network, ...]:
        """Return the layers of a classifier that the body is: none where examples are features already."""
        return (Network.of(self.body),) if self.raw else ()


def at_once(function: Callable[[Episode], Any], episodes: Sequence[Episode]) -> Any:
    """Return what a function gives for episodes of one shape, stacked [E, ...], by ``vmap``."""
    stacks = [None if t[0] is None else torch.stack(t) for t in zip(*(e.tensors for e in episodes), strict=True)]

    def one(*tensors: Tensor | None) -> Any:
        return function(Episode(*tensors, episodes[0].ways))  # type: ignore[call-arg, arg-type]

    dims = tuple(None if stack is None else 0 for stack in stacks)
    return torch.vmap(one, in_dims=dims, randomness="different")(*stacks)


def groups(episodes: Sequence[Episode], together: int) -> list[list[Episode]]:
    """Return episodes in groups of one shape and at most ``together``, shapes in their order of appearance."""
    if together == 1:
        return [[episode] for episode in episodes]
    shapes = [(e.ways, *(None if t is None else t.shape for t in e.tensors)) for e in episodes]
    order = sorted(range(len(episodes)), key=lambda i: (shapes.index(shapes[i]), i))
    found = []
    for _, same in groupby(order, key=lambda i: shapes[i]):
        members = [episodes[i] for i in same]
        found += [members[i : i + together] for i in range(0, len(members), together)]
    return found


def check_support(
    x: Tensor,
    y: Tensor,
    shape: int | Sequence[int] | None = None,
    ways: int | None = None,
    pool: Tensor | None = None,
    regression: bool = False,
) -> int:
    """Return the number of classes N of a support set, or say what is wrong with it or its pool.

    With shared labels (``ways`` given) a support need not have them all; for a regression labels may be numbers [S, N].

    Raises:
        ValueError: shapes do not fit, features are not finite or constant, labels are not exactly 0..N-1, or N < 2.
    """
    if y.is_floating_point() and not regression:
        kind = str(y.dtype).removeprefix("torch.")
        raise ValueError(f"labels are {kind}, this learner tells classes apart; ridge and maml take numbers as targets")
    wanted = x.shape[1:2] if shape is None else (shape,) if isinstance(shape, int) else tuple(shape)
    if x.ndim != 1 + len(wanted) or y.ndim != 1 + y.is_floating_point() or len(x) != len(y):
        what = "features [S, D]" if len(wanted) == 1 else f"examples {['S', *wanted]}"
        raise ValueError(f"support must be {what} and labels [S], not {list(x.shape)} and {list(y.shape)}")
    if len(wanted) == 1 and x.shape[1] != wanted[0]:
        raise ValueError(f"features have {x.shape[1]} dimensions, the learner was made for {wanted[0]}")
    if x.shape[1:] != wanted:
        raise ValueError(f"examples are {list(x.shape[1:])}, the learner was made for {list(wanted)}")
    check_finite(x, "support")
    if pool is not None and pool.shape[1:] != x.shape[1:]:
        raise ValueError(f"pool examples are {list(pool.shape[1:])}, those of the support {list(x.shape[1:])}")
    if pool is not None:
        check_finite(pool, "pool")
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
    if len(classes) > 1 and torch.equal(x, x[:1].expand_as(x)):
        raise ValueError(f"all {len(x)} support examples are the same, so nothing tells {len(classes)} classes apart")
    return ways or len(classes)


def check_finite(x: Tensor, what: str) -> None:
    """Raise a ValueError that names the first of examples [n, ...] with a number that is none."""
    if not torch.isfinite(x).all():
        row = int((~torch.isfinite(x)).flatten(1).any(1).nonzero()[0])
        raise ValueError(f"{what} row {row} has a feature that is not finite")


def one_hot(y: Tensor, ways: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """Return labels [n] as [n, N] (``F.one_hot`` reads its input's values, which ``vmap`` does not allow)."""
    return (y[:, None] == torch.arange(ways, device=y.device)).to(dtype)


def prototypes(x: Tensor, y: Tensor, ways: int) -> Tensor:
    """Return class means [N, D] of features [S, D] (differentiable, unequal shots allowed); 0 of an absent class."""
    members = one_hot(y, ways, x.dtype)
    return members.T @ x / members.sum(0).clamp_min(1)[:, None]
