"""Which of an encoder's layers a learner reads."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import torch
from torch import Tensor, nn

from domains.episode import Episode
from learners.base import Learner
from learners.classifier import Classifier, Columns, Layer
from learners.moments import mean_and_variance
from learners.support import Support


class Reader(Protocol):
    """What a learner reads of the features of all layers, by the examples of the task."""

    def layers(self, support_x: Tensor, pool_x: Tensor | None) -> tuple[Layer, ...]:
        """Return the first layers of a classifier: the map from all features [n, D] to those that are read."""


@dataclass(frozen=True)
class LastLayer:
    """The first ``size`` features: the encoder's last layer, as its users know it."""

    size: int

    def layers(self, support_x: Tensor, pool_x: Tensor | None) -> tuple[Layer, ...]:
        zero = support_x.new_zeros(self.size)
        return (Columns(zero, zero + 1),)


@dataclass(frozen=True)
class EveryLayer:
    """All features, each centred and scaled by the task's own examples, then to unit length.

    x -> ((x - mean) / deviation) / |...|, over support and pool. What inner layers measure (texture, colour, size)
    varies by orders of magnitude between them and between domains; in images unlike those that the encoder was
    pretrained on, they tell more than its last layer does. A feature that hardly varies is not blown up.
    """

    def layers(self, support_x: Tensor, pool_x: Tensor | None) -> tuple[Layer, ...]:
        x = support_x if pool_x is None else torch.cat([support_x, pool_x])
        mean, variance = mean_and_variance(x)
        deviation = variance.sqrt()
        return Columns(mean, deviation + 0.01 * deviation.mean() + 1e-12), "normalise"


class OnLayers(Learner):
    """A learner that reads what a reader makes of all layers' features: of supports and episodes alike.

    Label names are not handed on: what encodes them has no such layers.

    Args:
        learner: made for features as the reader returns them.
        dim: the length of the whole feature vector.
    """

    def __init__(self, learner: Learner, reader: Reader, dim: int) -> None:
        super().__init__(dim, learner.ways)
        self.learner, self.reader = learner, reader
        self.name, self.together = learner.name, learner.together
        self.capabilities = replace(learner.capabilities, examples="features", reads_names=False)

    @property
    def trunk(self) -> nn.Module:
        return self.learner.trunk

    def fit_scale(self, x: Tensor) -> None:
        self.learner.fit_scale(_read(self.reader.layers(x, None), x))

    def read_support(self, support: Support) -> tuple[tuple[Layer, ...], Support]:
        """Return the layers that read a support set's features, and the support set as the learner within reads it."""
        layers = self.reader.layers(support.x, support.pool_x)
        pool_x = None if support.pool_x is None else _read(layers, support.pool_x)
        return layers, replace(support, x=_read(layers, support.x), pool_x=pool_x, names_x=None)

    def read_episode(self, episode: Episode) -> Episode:
        """Return an episode as the learner within reads it."""
        layers, support = self.read_support(Support.of(episode))
        query_x = _read(layers, episode.query_x)
        return replace(episode, support_x=support.x, query_x=query_x, pool_x=support.pool_x, names_x=None)

    def meta_loss(self, episode: Episode) -> Tensor:
        return self.learner.meta_loss(self.read_episode(episode))

    def backward(self, episodes: Sequence[Episode]) -> list[float]:
        self.learner.together = self.together
        return self.learner.backward([self.read_episode(episode) for episode in episodes])

    def tune(self, support: Support) -> Learner:
        return OnLayers(self.learner.tune(self.read_support(support)[1]), self.reader, self.dim)

    def adapt(self, support: Support) -> Classifier:
        self.check(support)  # before its features are mixed
        layers, read = self.read_support(support)
        classifier = self.learner.adapt(read)
        return replace(classifier, layers=(*layers, *classifier.layers))


def _read(layers: tuple[Layer, ...], x: Tensor) -> Tensor:
    """Return what layers make of features [n, D]."""
    return Classifier(layers).logits(x)
