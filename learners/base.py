"""The one contract of every learner: a loss over episodes to meta-train with, and a way to adapt to a support set."""

from collections.abc import Callable, Sequence
from itertools import groupby
from typing import Any

import torch
from torch import Tensor, nn

from domains.episode import Episode
from learners.bodies import Body, Features
from learners.capabilities import Capabilities
from learners.classifier import Classifier, FixedPart
from learners.moments import mean_and_variance
from learners.support import Support, check_support

SOURCE_WEIGHT = 20.0  # examples
ABSENT = -20.0  # how far the logit of a label without a support example lies below the others


class Learner(nn.Module):
    """A meta-learning algorithm.

    Args:
        body: the network from examples to vectors, which the learner owns and may train; or the length of the feature
            vectors that a frozen encoder makes of examples.
        ways: the number of labels when they mean the same in every domain (market states) or the head has a fixed
            number of rows (the classical benchmarks); None: an episode may have any number of classes in any order.

    Attributes:
        mean, scale: [D] the statistics of the source domains' features; 0 and 1 for raw examples.
        capabilities: what the learner can adapt to, and what it reads.
        progress: how much of meta-training is done, 0 to 1; set before every meta-update, for schedules.
        together: ``vmap`` runs at most so many episodes of one shape at once; 1: one after the other.
    """

    name = "learner"
    capabilities = Capabilities()
    progress, together = 0.0, 1

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
        """Set the standardisation from source features [n, D]."""
        if not self.raw:
            mean, variance = mean_and_variance(x)
            self.mean.copy_(mean)
            self.scale.copy_((variance * len(x) / (len(x) - 1)).sqrt().clamp_min(1e-6))

    def scaling(self, support_x: Tensor, pool_x: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return the mean and scale [D] that standardise a task's features.

        Where all domains share their labels, features have one meaning everywhere, so the source statistics hold.
        Otherwise a domain may lie elsewhere in feature space: its own n examples count, and the sources count as
        SOURCE_WEIGHT more. Raw examples are left as they are.
        """
        if self.raw or self.ways is not None:
            return self.mean, self.scale
        x = support_x if pool_x is None else torch.cat([support_x, pool_x])
        own = len(x) / (len(x) + SOURCE_WEIGHT)
        mean, variance = mean_and_variance(x)
        return (
            own * mean + (1 - own) * self.mean,
            (own * variance + (1 - own) * self.scale.square()).sqrt(),
        )

    def meta_loss(self, episode: Episode) -> Tensor:
        """Return the loss [] on the query set after adaptation to the support set; pure in the parameters."""
        raise NotImplementedError(f"{self.name} learns nothing from other domains")

    def meta_losses(self, episodes: Sequence[Episode]) -> Tensor:
        """Return the losses [E] of episodes of one shape, run at once."""
        return vmap_episodes(self.meta_loss, episodes)

    def backward(self, episodes: Sequence[Episode]) -> list[float]:
        """Add the gradient of the episodes' mean loss to every parameter's ``grad`` and return their losses [E].

        Each group of at most ``together`` episodes is differentiated before the next one starts, so that memory does
        not grow with their number.
        """
        losses = []
        for group in group_by_shape(episodes, self.together):
            values = self.meta_losses(group) if len(group) > 1 else self.meta_loss(group[0])[None]
            (values.sum() / len(episodes)).backward()
            losses += values.tolist()
        return losses

    def adapt(self, support: Support) -> Classifier:
        """Return a classifier for the labels 0..N-1 of a support set.

        Raises:
            ValueError: see ``check_support``.
        """
        raise NotImplementedError

    def tune(self, support: Support) -> "Learner":
        """Return the learner with what ``adapt`` would tune fixed as suits a support set; itself if that is nothing.

        Parts of the set then need not tune it again.
        """
        return self

    def check(self, support: Support) -> int:
        """Return the number of classes N of a support set, or say what is wrong with it; see ``check_support``."""
        return check_support(support, self.shape, self.ways, self.capabilities.regression)

    def set_progress(self, done: float) -> None:
        """Tell a learner, and those within it, how much of meta-training is done, 0 to 1."""
        for module in self.modules():
            if isinstance(module, Learner):
                module.progress = done

    def embedding(self) -> tuple[FixedPart, ...]:
        """Return the body as layers of a classifier: none where examples are features already."""
        return (FixedPart.of(self.body),) if self.raw else ()


def unable(learner: Learner, support: Support) -> str | None:
    """Return in one line why a learner cannot adapt to a support set, however good its examples are; None: it can."""
    shape = tuple(support.x.shape[1:])
    if shape != tuple(learner.shape):
        return f"it reads examples {list(learner.shape)}, and these are {list(shape)}"
    return learner.capabilities.missing(support, learner.ways)


def vmap_episodes(function: Callable[[Episode], Any], episodes: Sequence[Episode]) -> Any:
    """Return what a function gives for episodes of one shape, stacked [E, ...], by ``vmap``."""
    stacks = [None if t[0] is None else torch.stack(t) for t in zip(*(e.tensors for e in episodes), strict=True)]

    def one(*tensors: Tensor | None) -> Any:
        return function(Episode(*tensors, episodes[0].ways))  # type: ignore[call-arg, arg-type]

    dims = tuple(None if stack is None else 0 for stack in stacks)
    return torch.vmap(one, in_dims=dims, randomness="different")(*stacks)


def group_by_shape(episodes: Sequence[Episode], together: int) -> list[list[Episode]]:
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


def one_hot(y: Tensor, ways: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """Return labels [n] as [n, N] (``F.one_hot`` reads its input's values, which ``vmap`` does not allow)."""
    return (y[:, None] == torch.arange(ways, device=y.device)).to(dtype)


def compute_prototypes(x: Tensor, y: Tensor, ways: int) -> Tensor:
    """Return the class means [N, D] of features [S, D] with labels [S]; 0 for a class without an example.

    They are differentiable, and classes may have unequal numbers of examples.
    """
    members = one_hot(y, ways, x.dtype)
    return members.T @ x / members.sum(0).clamp_min(1)[:, None]
