"""The one contract of every learner: a loss over episodes to meta-train with, and a way to adapt."""

import torch
from torch import Tensor, nn

from domains.episode import Episode
from learners.classifier import Classifier

SOURCE_WEIGHT = 20.0  # examples
ABSENT = -20.0  # how far the logit of a label without a support example lies below the others


class Learner(nn.Module):
    """A meta-learning algorithm over feature vectors.

    Args:
        dim: length D of a feature vector.
        ways: the number of labels when they mean the same in every domain (market states), else None: an
            episode may then have any number of classes in any order.

    Buffers ``mean`` and ``scale`` [D] are the statistics of the source domains' features.
    """

    name = "learner"
    meta_trained = True  # False for the plain baselines, which have nothing to learn from other domains

    def __init__(self, dim: int, ways: int | None = None) -> None:
        super().__init__()
        self.dim, self.ways = dim, ways
        self.register_buffer("mean", torch.zeros(dim))
        self.register_buffer("scale", torch.ones(dim))
        self.mean: Tensor
        self.scale: Tensor

    def fit_scale(self, x: Tensor) -> None:
        """Take the standardisation from source features [n, D]."""
        self.mean.copy_(x.mean(0))
        self.scale.copy_(x.std(0).clamp_min(1e-6))

    def scaling(self, support_x: Tensor, pool_x: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return the mean and scale [D] that standardise a task's features.

        Where labels are shared, features have one meaning everywhere: the source statistics hold. Else a domain may
        lie elsewhere in feature space, and its own n examples speak, with the sources counting as SOURCE_WEIGHT more.
        """
        if self.ways is not None:
            return self.mean, self.scale
        x = support_x if pool_x is None else torch.cat([support_x, pool_x])
        own = len(x) / (len(x) + SOURCE_WEIGHT)
        mean = own * x.mean(0) + (1 - own) * self.mean
        variance = own * x.var(0, correction=0) + (1 - own) * self.scale.square()
        return mean, variance.sqrt()

    def meta_loss(self, episode: Episode) -> Tensor:
        """Return the loss [] on the query set after adaptation to the support set; pure in the parameters."""
        raise NotImplementedError(f"{self.name} learns nothing from other domains")

    def adapt(self, support_x: Tensor, support_y: Tensor, pool_x: Tensor | None = None) -> Classifier:
        """Return a classifier for the labels 0..N-1 of a support set.

        Args:
            support_x: [S, D] features; support_y: [S] labels; pool_x: [U, D] unlabelled features, or None.

        Raises:
            ValueError: see ``check_support``.
        """
        raise NotImplementedError


def check_support(x: Tensor, y: Tensor, dim: int | None = None, ways: int | None = None) -> int:
    """Return the number of classes N of a support set, or say what is wrong with it.

    With shared labels (``ways`` given) a support need not have them all.

    Raises:
        ValueError: shapes do not fit, features are not finite, labels are not exactly 0..N-1, or N < 2.
    """
    if x.ndim != 2 or y.ndim != 1 or len(x) != len(y):
        raise ValueError(f"support must be features [S, D] and labels [S], not {list(x.shape)} and {list(y.shape)}")
    if dim is not None and x.shape[1] != dim:
        raise ValueError(f"features have {x.shape[1]} dimensions, the learner was made for {dim}")
    if not torch.isfinite(x).all():
        row = int((~torch.isfinite(x)).any(1).nonzero()[0])
        raise ValueError(f"support row {row} has a feature that is not finite")
    classes = y.unique()
    if ways is not None:
        if len(y) == 0 or classes[0] < 0 or classes[-1] >= ways:
            raise ValueError(f"labels must be within 0..{ways - 1}, found {classes.tolist()[:20]}")
        return ways
    if len(classes) < 2:
        raise ValueError(f"support has {len(classes)} class; at least 2 are needed")
    if classes[0] != 0 or classes[-1] != len(classes) - 1:
        raise ValueError(f"labels must be 0..{len(classes) - 1} with none missing, found {classes.tolist()[:20]}")
    return len(classes)


def prototypes(x: Tensor, y: Tensor, ways: int) -> Tensor:
    """Return class means [N, D] of features [S, D] (differentiable, unequal shots allowed); 0 of an absent class."""
    one_hot = nn.functional.one_hot(y, ways).to(x.dtype)
    return one_hot.T @ x / one_hot.sum(0).clamp_min(1)[:, None]
